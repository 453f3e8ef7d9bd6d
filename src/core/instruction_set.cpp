#include "core/instruction_set.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <string_view>

#include "core/error.hpp"
#include "core/process.hpp"

namespace featflow {
namespace {

constexpr std::array<const char*, 3> kNames = {"baseline", "avx2", "avx512"};

}  // namespace

const char* instruction_set_name(InstructionSet set) { return kNames[static_cast<size_t>(set)]; }

InstructionSet widest_instruction_set() {
#if defined(__x86_64__)
  // Asks whether the operating system saves the wide registers, too.
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
      !__builtin_cpu_supports("bmi") || !__builtin_cpu_supports("bmi2")) {
    return InstructionSet::kBaseline;
  }
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  return avx512 ? InstructionSet::kAvx512 : InstructionSet::kAvx2;
#else
  return InstructionSet::kBaseline;
#endif
}

InstructionSet choose_instruction_set(const char* wanted, InstructionSet widest) {
  if (wanted == nullptr || *wanted == '\0') return widest;
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (std::string_view(wanted) != kNames[i]) continue;
    const auto set = static_cast<InstructionSet>(i);
    if (set <= widest) return set;
    throw Error(
        fmt::format("FEATFLOW_CPU is {}, but this processor ({}) runs at most {}; leave it "
                    "unset to use that",
                    wanted, processor_name(), instruction_set_name(widest)));
  }
  throw Error(
      fmt::format("FEATFLOW_CPU is {}, expected baseline, avx2 or avx512 (unset: the "
                  "widest that this processor runs, {})",
                  in_quotes(wanted), instruction_set_name(widest)));
}

InstructionSet instruction_set() {
  static const InstructionSet set =
      choose_instruction_set(std::getenv("FEATFLOW_CPU"), widest_instruction_set());
  return set;
}

}  // namespace featflow
