#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace featflow {

/// Eight floats of one AVX register; the compiler splits it where there is none.
typedef float Float8 __attribute__((vector_size(32)));

inline Float8 load8(const float* p) {
  Float8 value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

/// Whether any of 16 sums a_i + b_i is positive.
inline bool any_positive16(const float* a, const float* b) {
  const auto positive = ((load8(a) + load8(b)) > 0) | ((load8(a + 8) + load8(b + 8)) > 0);
  uint64_t parts[4];
  std::memcpy(parts, &positive, sizeof parts);
  return (parts[0] | parts[1] | parts[2] | parts[3]) != 0;
}

inline float sum8(Float8 v) {
  return ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7]));
}

/// Σ a_i b_i. A sum of floats does not vectorise by itself, so the lanes are spelled out.
inline float dot(const float* a, const float* b, int64_t n) {
  Float8 lanes[4] = {};
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    for (int k = 0; k < 4; ++k) lanes[k] += load8(a + i + 8 * k) * load8(b + i + 8 * k);
  }
  float total = sum8((lanes[0] + lanes[1]) + (lanes[2] + lanes[3]));
  for (; i < n; ++i) total += a[i] * b[i];
  return total;
}

inline float sum(const float* x, int64_t n) {
  Float8 lanes[4] = {};
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    for (int k = 0; k < 4; ++k) lanes[k] += load8(x + i + 8 * k);
  }
  float total = sum8((lanes[0] + lanes[1]) + (lanes[2] + lanes[3]));
  for (; i < n; ++i) total += x[i];
  return total;
}

/// y += alpha x
inline void add_scaled(float alpha, const float* __restrict x, float* __restrict y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += alpha * x[i];
}

/// y += Σ_k factor(k) row(k), k in [first, last), four rows at a time so that y is loaded and
/// stored once for four; added in order, so the result is that of add_scaled one by one.
template <typename Factor, typename Row>
inline void add_rows(int64_t first, int64_t last, const Factor& factor, const Row& row,
                     float* __restrict y, int64_t n) {
  int64_t k = first;
  for (; k + 4 <= last; k += 4) {
    const float f0 = factor(k), f1 = factor(k + 1), f2 = factor(k + 2), f3 = factor(k + 3);
    const float *r0 = row(k), *r1 = row(k + 1), *r2 = row(k + 2), *r3 = row(k + 3);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) {
      y[i] = (((y[i] + f0 * r0[i]) + f1 * r1[i]) + f2 * r2[i]) + f3 * r3[i];
    }
  }
  for (; k < last; ++k) add_scaled(factor(k), row(k), y, n);
}

inline void multiply(float factor, float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] *= factor;
}

/// One step of Adam (Kingma and Ba 2015, algorithm 1) with its bias corrections worked in.
struct AdamStep {
  float beta1, new1;  ///< β₁, 1 − β₁
  float beta2, new2;  ///< β₂, 1 − β₂
  float rate;         ///< learning rate / (1 − β₁ᵗ)
  float root_scale;   ///< 1 / √(1 − β₂ᵗ)
  float epsilon;

  /// `age`: steps that these moments have seen, this one included (t ≥ 1).
  AdamStep(double learning_rate, double b1, double b2, double eps, int64_t age)
      : beta1(static_cast<float>(b1)),
        new1(static_cast<float>(1 - b1)),
        beta2(static_cast<float>(b2)),
        new2(static_cast<float>(1 - b2)),
        rate(static_cast<float>(learning_rate / (1 - std::pow(b1, static_cast<double>(age))))),
        root_scale(static_cast<float>(1 / std::sqrt(1 - std::pow(b2, static_cast<double>(age))))),
        epsilon(static_cast<float>(eps)) {}

  void update(const float* __restrict gradient, float* __restrict weight, float* __restrict moment1,
              float* __restrict moment2, int64_t n) const {
    // The first moment of a silent feature would decay into denormals, which are slow, and stay.
    constexpr float kTiny = 1e-30f;
    for (int64_t i = 0; i < n; ++i) {
      const float g = gradient[i];
      const float m = beta1 * moment1[i] + new1 * g;
      const float v = beta2 * moment2[i] + new2 * g * g;
      moment1[i] = std::fabs(m) < kTiny ? 0.0f : m;
      moment2[i] = v;
      weight[i] -= rate * m / (std::sqrt(v) * root_scale + epsilon);
    }
  }
};

}  // namespace featflow
