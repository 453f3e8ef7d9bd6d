option(FEATFLOW_TESTS "Build the tests (needs GoogleTest)" ON)
option(FEATFLOW_TORCH "Build the layers that need LibTorch; OFF for sanitizer builds" ON)
option(FEATFLOW_BENCH "Build the benchmarks, bench/ (needs FEATFLOW_TORCH)" OFF)
option(FEATFLOW_CUDA "Build the autoencoder's training step for GPUs (needs nvcc and cuBLAS)" OFF)
option(FEATFLOW_FUZZ "Build the libFuzzer targets (needs clang)" OFF)
set(FEATFLOW_SANITIZE "" CACHE STRING "Sanitizers for -fsanitize, e.g. address,undefined")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O3 -g1 -DNDEBUG")

# Warnings and code generation for our own code only; never for dependencies.
add_library(featflow_flags INTERFACE)
target_compile_options(featflow_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
  # g++ 12 sees overlaps in std::string's operator+ that are not there (GCC bug 105329).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  # -fno-trapping-math lets comparisons vectorise; NaN checks stay valid (no -ffast-math).
  -fno-math-errno -fno-trapping-math)
if(FEATFLOW_SANITIZE)
  target_compile_options(featflow_flags INTERFACE -fsanitize=${FEATFLOW_SANITIZE}
                         -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(featflow_flags INTERFACE -fsanitize=${FEATFLOW_SANITIZE})
endif()

# The hot loops (*_simd.cpp) are compiled once for each of these, and one is chosen at run time
# (docs/decisions/0006-run-time-dispatch.md); everything else is compiled for the baseline.
set(FEATFLOW_INSTRUCTION_SETS baseline)
set(FEATFLOW_OPTIONS_baseline)
include(CheckCXXSourceCompiles)
check_cxx_source_compiles("#ifndef __x86_64__\n#error\n#endif\nint main() {}" FEATFLOW_X86_64)
if(FEATFLOW_X86_64)
  list(APPEND FEATFLOW_INSTRUCTION_SETS avx2 avx512)
  set(FEATFLOW_OPTIONS_avx2 -march=x86-64-v3)
  set(FEATFLOW_OPTIONS_avx512 -march=x86-64-v4 -mprefer-vector-width=512)
endif()
