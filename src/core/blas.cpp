#include "core/blas.hpp"

#include <cblas.h>
#include <dlfcn.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <vector>

namespace featflow {

void sgemm(Transpose a_op, Transpose b_op, int64_t rows, int64_t cols, int64_t inner, float alpha,
           const float* a, int64_t lda, const float* b, int64_t ldb, float beta, float* c,
           int64_t ldc) {
  const auto op = [](Transpose t) { return t == Transpose::kYes ? CblasTrans : CblasNoTrans; };
  const auto size = [](int64_t value) { return static_cast<blasint>(value); };
  if (rows == 0 || cols == 0) return;
  cblas_sgemm(CblasRowMajor, op(a_op), op(b_op), size(rows), size(cols), size(inner), alpha, a,
              size(lda), b, size(ldb), beta, c, size(ldc));
}

BlasInfo blas_info() {
  BlasInfo info;
  Dl_info found = {};
  if (dladdr(reinterpret_cast<void*>(&cblas_sgemm), &found) != 0 && found.dli_fname) {
    info.library = found.dli_fname;
  }
  info.config = openblas_get_config();
  info.threads = omp_get_max_threads();
  return info;
}

double blas_gflops() {
  constexpr int64_t kSize = 1024;
  std::vector<float> a(kSize * kSize, 0.5f), b(kSize * kSize, 0.25f), c(kSize * kSize);
  double best = 0;
  for (int repeat = 0; repeat < 4; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    sgemm(Transpose::kNo, Transpose::kYes, kSize, kSize, kSize, 1, a.data(), kSize, b.data(), kSize,
          0, c.data(), kSize);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    best = std::max(best, 2.0 * kSize * kSize * kSize / elapsed.count() / 1e9);
  }
  return best;
}

void set_blas_threads(int count) {
  openblas_set_num_threads(count);
  omp_set_num_threads(count);  // openblas_set_num_threads(1) would leave OpenMP at 1 for good
}

}  // namespace featflow
