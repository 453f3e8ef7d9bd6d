# cmake -D WORK=folder -P self_test.cmake: check_layers.cmake accepts a good tree, and refuses each of
# its rules broken in turn, with a message that names the culprit.
cmake_minimum_required(VERSION 3.25)

set(layers [[
featflow_layer(core LIBS fmt::fmt)
featflow_layer(storage DEPENDS core LIBS fmt::fmt)  # a comment
featflow_layer(merging DEPENDS core)
featflow_layer(model DEPENDS storage
               TORCH LIBS fmt::fmt)
featflow_layer(study DEPENDS model merging)
]])

function(plant)
  file(REMOVE_RECURSE ${WORK})
  file(WRITE ${WORK}/CMakeLists.txt "${layers}")
  file(WRITE ${WORK}/src/core/error.hpp "#include <string>\n")
  file(WRITE ${WORK}/src/storage/files.cpp "#include \"core/error.hpp\"\n#include <fmt/format.h>\n")
  file(WRITE ${WORK}/src/merging/merge.cpp "#include \"core/error.hpp\"\n")
  file(WRITE ${WORK}/src/merging/cuda/merge.cu "#include \"merging/cuda/merge.cuh\"\n")
  file(WRITE ${WORK}/src/model/transformer.hpp "#include <torch/torch.h>\n")
  file(WRITE ${WORK}/src/model/model.cpp "#include \"model/transformer.hpp\"\n")
  file(WRITE ${WORK}/src/study/study.cpp "#include \"model/model.hpp\"\n")
  file(WRITE ${WORK}/src/cli/main.cpp "#include \"study/study.hpp\"\n#include \"cli/x.hpp\"\n")
  file(WRITE ${WORK}/links "core: fmt::fmt\nmodel: featflow_storage torch\n")
endfunction()

function(expect what message)
  execute_process(
    COMMAND ${CMAKE_COMMAND} -D ROOT=${WORK} -D LINKS=${WORK}/links
            -P ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/check_layers.cmake
    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(what STREQUAL accepted AND result EQUAL 0)
    return()
  endif()
  string(FIND "${output}" "${message}" at)
  if(what STREQUAL refused AND NOT result EQUAL 0 AND NOT at EQUAL -1)
    return()
  endif()
  message(FATAL_ERROR "expected: ${what} ${message}\nexit code ${result}\n${output}")
endfunction()

plant()
expect(accepted "")

file(APPEND ${WORK}/src/core/error.hpp "  #  include \"storage/files.hpp\"  // upward\n")
expect(refused [[src/core/error.hpp: includes "storage/files.hpp", but core does not depend on storage]])

plant()  # Before it in the list, and yet not among what it depends on.
file(WRITE ${WORK}/src/merging/merge.cpp "#include \"storage/files.hpp\"\n")
expect(refused [[src/merging/merge.cpp: includes "storage/files.hpp"]])

plant()  # In a folder of the layer, too.
file(APPEND ${WORK}/src/merging/cuda/merge.cu "#include \"storage/files.hpp\"\n")
expect(refused [[src/merging/cuda/merge.cu: includes "storage/files.hpp", but merging does not depend on storage]])

plant()
file(WRITE ${WORK}/src/merging/cuda/merge.cuh "#include <fmt/format.h>\n")
expect(refused [[src/merging/cuda/merge.cuh: includes <fmt/format.h>]])

plant()
file(WRITE ${WORK}/src/core/strings.cpp "#include \"utils/strings.hpp\"\n")
expect(refused [[no layer is called utils]])

plant()
file(WRITE ${WORK}/src/merging/merge.cpp "#include <ATen/ATen.h>\n")
expect(refused [[src/merging/merge.cpp: includes <ATen/ATen.h>, but merging is not marked TORCH]])

plant()
file(WRITE ${WORK}/src/model/model.hpp "#include <torch/types.h>\n")
expect(refused [[src/model/model.hpp: includes <torch/types.h>; of the headers]])

plant()
file(WRITE ${WORK}/src/study/study.cpp "#include \"model/transformer.hpp\"\n")
expect(refused [[src/study/study.cpp: includes "model/transformer.hpp", but study is not marked TORCH]])

plant()
foreach(i RANGE 1 12)
  file(WRITE ${WORK}/src/model/part_${i}.cpp "#include <torch/torch.h>\n")
endforeach()
expect(refused "13 files include LibTorch")

plant()
file(WRITE ${WORK}/src/storage/files.hpp "#include <nlohmann/json.hpp>\n")
expect(refused [[src/storage/files.hpp: includes <nlohmann/json.hpp>]])

plant()
file(APPEND ${WORK}/CMakeLists.txt "featflow_layer(report DEPENDS model)\n")
expect(refused "report depends on model, which needs LibTorch")

plant()
file(APPEND ${WORK}/CMakeLists.txt "featflow_layer(report DEPENDS serving)\nfeatflow_layer(serving)\n")
expect(refused "report DEPENDS on serving, which does not stand before it")

plant()
file(APPEND ${WORK}/links "merging: featflow_core torch\n")
expect(refused "merging links torch, but is not marked TORCH")

plant()
file(APPEND ${WORK}/links "merging: featflow_model\n")
expect(refused "merging links featflow_model, which is not among its DEPENDS")

file(REMOVE_RECURSE ${WORK})
