# Everything comes from Debian 12; scripts/setup installs it.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(CURL REQUIRED)
pkg_check_modules(CPP_HTTPLIB REQUIRED IMPORTED_TARGET cpp-httplib)
find_package(SQLite3 REQUIRED)
find_library(FEATFLOW_ZSTD zstd REQUIRED)
find_library(FEATFLOW_XXHASH xxhash REQUIRED)

# OpenBLAS in its OpenMP build (the pthread build fights with LibTorch's OpenMP). LibTorch itself
# asks for libblas.so.3: an RPATH (not RUNPATH) of ours makes that resolve to OpenBLAS too,
# whatever the machine's alternatives say. `featflow doctor` prints what was really loaded.
find_library(FEATFLOW_OPENBLAS openblas REQUIRED
  PATH_SUFFIXES openblas-openmp ${CMAKE_LIBRARY_ARCHITECTURE}/openblas-openmp)
find_path(FEATFLOW_CBLAS_INCLUDE cblas.h REQUIRED
  PATH_SUFFIXES openblas-openmp ${CMAKE_LIBRARY_ARCHITECTURE}/openblas-openmp)
get_filename_component(FEATFLOW_OPENBLAS_DIR ${FEATFLOW_OPENBLAS} DIRECTORY)
find_package(OpenMP REQUIRED COMPONENTS CXX)
add_library(featflow_blas INTERFACE)
target_include_directories(featflow_blas SYSTEM INTERFACE ${FEATFLOW_CBLAS_INCLUDE})
target_link_libraries(featflow_blas INTERFACE ${FEATFLOW_OPENBLAS} OpenMP::OpenMP_CXX)
target_link_options(featflow_blas INTERFACE
  -Wl,--disable-new-dtags,-rpath,${FEATFLOW_OPENBLAS_DIR})

if(FEATFLOW_TORCH)
  find_package(Torch REQUIRED)
endif()
if(FEATFLOW_TESTS)
  enable_testing()
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()
