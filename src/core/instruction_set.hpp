#pragma once

namespace featflow {

/// What the hot loops (`*_simd.cpp`) are compiled for, each in a namespace of its own: `baseline`
/// (x86-64 without extensions; the only one elsewhere), `avx2` (x86-64-v3: AVX2, FMA, BMI2) and
/// `avx512` (x86-64-v4: AVX-512 F, BW, CD, DQ, VL). All else is compiled for the baseline.
enum class InstructionSet { kBaseline, kAvx2, kAvx512 };

/// The one in use: the widest that this processor runs, or what the environment variable
/// FEATFLOW_CPU names. Decided at the first call. Throws Error as choose_instruction_set does.
InstructionSet instruction_set();
/// "baseline", "avx2" or "avx512": the values of FEATFLOW_CPU.
const char* instruction_set_name(InstructionSet set);

InstructionSet widest_instruction_set();
/// `wanted` (null or empty: `widest`). Throws Error if it names none, or one above `widest`.
InstructionSet choose_instruction_set(const char* wanted, InstructionSet widest);

/// The one of three tables of functions that belongs to instruction_set().
template <typename Table>
const Table& choose(const Table& baseline, const Table& avx2, const Table& avx512) {
  switch (instruction_set()) {
    case InstructionSet::kAvx512:
      return avx512;
    case InstructionSet::kAvx2:
      return avx2;
    case InstructionSet::kBaseline:
      break;
  }
  return baseline;
}

}  // namespace featflow

/// Declares `const Type name` as `*_simd.cpp` defines it for every instruction set, and
/// FEATFLOW_CHOOSE(name) picks one. To be used in namespace featflow.
#if defined(__x86_64__)
#define FEATFLOW_DECLARE_TABLES(Type, name) \
  namespace baseline {                      \
  extern const Type name;                   \
  }                                         \
  namespace avx2 {                          \
  extern const Type name;                   \
  }                                         \
  namespace avx512 {                        \
  extern const Type name;                   \
  }
#define FEATFLOW_CHOOSE(name) ::featflow::choose(baseline::name, avx2::name, avx512::name)
#else
#define FEATFLOW_DECLARE_TABLES(Type, name) \
  namespace baseline {                      \
  extern const Type name;                   \
  }
#define FEATFLOW_CHOOSE(name) baseline::name
#endif
