#pragma once

#include <cstdint>
#include <string>

namespace featflow {

enum class Transpose { kNo, kYes };

/// C = alpha · op(A) op(B) + beta · C, row-major float32; op(A) is [rows, inner], op(B) is
/// [inner, cols], C is [rows, cols]. ld* are the row strides of A, B, C as stored. On the calling
/// thread of the process it uses all BLAS threads; inside parallel_for it is single-threaded.
/// The one place that names cblas.
void sgemm(Transpose a_op, Transpose b_op, int64_t rows, int64_t cols, int64_t inner, float alpha,
           const float* a, int64_t lda, const float* b, int64_t ldb, float beta, float* c,
           int64_t ldc);

struct BlasInfo {
  std::string library;  ///< Path of the shared library that sgemm really comes from.
  std::string config;   ///< OpenBLAS's own description, with its version and kernel.
  int threads = 0;
};
BlasInfo blas_info();

/// Gflop/s of a 1024³ product, best of a few (a reference BLAS reaches 2, OpenBLAS over 50).
double blas_gflops();

/// Threads for whole-matrix BLAS and LibTorch's OpenMP regions on the main thread.
void set_blas_threads(int count);

}  // namespace featflow
