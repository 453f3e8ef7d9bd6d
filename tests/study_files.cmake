# `study` needs LibTorch to run a study, but not to read one. Builds without LibTorch (sanitizers, fuzz
# targets) take that half of it, with what it asks of `training`, and its unit tests.
if(TARGET featflow_report)
  set(study ${CMAKE_SOURCE_DIR}/src/study)
  add_library(featflow_study_files STATIC
              ${study}/settings.cpp ${study}/study_file.cpp ${study}/stage_graph.cpp
              ${CMAKE_SOURCE_DIR}/src/training/schedule.cpp)
  target_include_directories(featflow_study_files PUBLIC ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(featflow_study_files
    PUBLIC featflow_report featflow_merging
    PRIVATE featflow_flags nlohmann_json::nlohmann_json tomlplusplus::tomlplusplus fmt::fmt)

  add_executable(study_files_test ${study}/study_file_test.cpp ${study}/stage_graph_test.cpp)
  target_link_libraries(study_files_test PRIVATE featflow_study_files featflow_flags
                        nlohmann_json::nlohmann_json fmt::fmt
                        GTest::gtest GTest::gmock GTest::gtest_main)
  add_test(NAME unit.study_files COMMAND study_files_test)
  set_tests_properties(unit.study_files PROPERTIES LABELS unit TIMEOUT 300)
endif()
