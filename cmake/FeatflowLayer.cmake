# featflow_layer(name [TORCH] [GLUE] [DEPENDS layer...] [LIBS lib...] [TEST_LIBS lib...] [SIMD_TESTS filter])
#
# One static library per folder of src/: every *.cpp but *_test.cpp, which make one test program
# per layer (<name>_test). DEPENDS are public, LIBS private: third-party headers stay in .cpp files.
# GLUE calls what computes and does not compute itself: it is optimised less, to be built sooner.
# *_simd.cpp are compiled once for each instruction set, each time into the namespace
# FEATFLOW_INSTRUCTION_SET; the tests of SIMD_TESTS (a GoogleTest filter) are run with each.
function(featflow_layer name)
  cmake_parse_arguments(LAYER "TORCH;GLUE" "SIMD_TESTS" "DEPENDS;LIBS;TEST_LIBS" ${ARGN})
  if(LAYER_TORCH AND NOT FEATFLOW_TORCH)
    return()
  endif()
  foreach(below IN LISTS LAYER_DEPENDS)
    if(NOT TARGET featflow_${below})
      return()  # a layer above LibTorch, in a build without it
    endif()
  endforeach()

  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cpp)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  set(simd ${sources})
  list(FILTER sources EXCLUDE REGEX "_simd\\.cpp$")
  list(FILTER simd INCLUDE REGEX "_simd\\.cpp$")

  if(NOT sources)
    return()
  endif()
  set(target featflow_${name})
  add_library(${target} STATIC ${sources})
  target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  list(TRANSFORM LAYER_DEPENDS PREPEND featflow_)
  target_link_libraries(${target} PUBLIC ${LAYER_DEPENDS} PRIVATE featflow_flags ${LAYER_LIBS})
  if(LAYER_TORCH)
    target_link_libraries(${target} PRIVATE torch)
    target_include_directories(${target} SYSTEM PRIVATE ${TORCH_INCLUDE_DIRS})
  endif()

  if(LAYER_GLUE)
    target_compile_options(${target} PRIVATE -O1)
  endif()

  if(simd)
    foreach(set IN LISTS FEATFLOW_INSTRUCTION_SETS)
      add_library(${target}_${set} OBJECT ${simd})
      target_include_directories(${target}_${set} PRIVATE ${CMAKE_SOURCE_DIR}/src)
      target_compile_definitions(${target}_${set} PRIVATE FEATFLOW_INSTRUCTION_SET=${set})
      # Vectors wider than a register are passed between functions of one file only.
      target_compile_options(${target}_${set} PRIVATE
        ${FEATFLOW_OPTIONS_${set}} -fopenmp-simd -Wno-psabi)
      target_link_libraries(${target}_${set} PRIVATE featflow_flags)
      target_sources(${target} PRIVATE $<TARGET_OBJECTS:${target}_${set}>)
      set_property(GLOBAL APPEND PROPERTY FEATFLOW_KERNELS ${target}_${set})
    endforeach()
  endif()

  if(FEATFLOW_TESTS AND tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE ${target} featflow_flags ${LAYER_LIBS} ${LAYER_TEST_LIBS}
                          GTest::gtest GTest::gmock GTest::gtest_main)
    target_compile_options(${name}_test PRIVATE -O1)  # Building it would take longer than it runs.
    if(LAYER_TORCH)
      target_link_libraries(${name}_test PRIVATE torch)
    endif()
    add_test(NAME unit.${name} COMMAND ${name}_test)
    set_tests_properties(unit.${name} PROPERTIES LABELS unit TIMEOUT 300)
    if(simd)
      foreach(set IN LISTS FEATFLOW_INSTRUCTION_SETS)
        add_test(NAME simd.${name}.${set} COMMAND ${name}_test --gtest_filter=${LAYER_SIMD_TESTS})
        set_tests_properties(simd.${name}.${set} PROPERTIES
          LABELS unit TIMEOUT 300 ENVIRONMENT FEATFLOW_CPU=${set}
          # How choose_instruction_set says that this machine cannot.
          SKIP_REGULAR_EXPRESSION "FEATFLOW_CPU is ${set}, but this processor")
      endforeach()
    endif()
  endif()
endfunction()
