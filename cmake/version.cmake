# cmake -D FEATFLOW_VERSION=.. -D OUTPUT=build_version.hpp -P version.cmake: writes OUTPUT if it would differ.
execute_process(
  COMMAND git describe --always --dirty --abbrev=12 --exclude=*
  WORKING_DIRECTORY ${CMAKE_CURRENT_LIST_DIR}
  OUTPUT_VARIABLE FEATFLOW_GIT_REVISION OUTPUT_STRIP_TRAILING_WHITESPACE
  RESULT_VARIABLE result ERROR_QUIET)
if(NOT result EQUAL 0 OR FEATFLOW_GIT_REVISION STREQUAL "")
  set(FEATFLOW_GIT_REVISION unknown)
endif()
configure_file(${CMAKE_CURRENT_LIST_DIR}/build_version.hpp.in ${OUTPUT} @ONLY)
