#pragma once

#include <cstdint>

#include "core/instruction_set.hpp"

namespace featflow {

struct AdamStep;

/// The autoencoder's loops over rows of floats, as kernels_simd.cpp defines them for every
/// instruction set. Pointers need no alignment, counts may be zero. What they compute stands at the
/// functions below, which are how to call them.
struct AutoencoderKernels {
  float (*dot)(const float* a, const float* b, int64_t n);
  float (*sum)(const float* x, int64_t n);
  void (*add_scaled)(float alpha, const float* x, float* y, int64_t n);
  void (*add_rows)(const float* factors, const int32_t* rows, int64_t count, const float* matrix,
                   float* y, int64_t n);
  void (*dot_rows)(const int32_t* rows, int64_t count, const float* matrix, const float* x,
                   float* products, int64_t n);
  void (*multiply)(float factor, float* x, int64_t n);
  int64_t (*compact)(const float* product, const float* bias, int64_t count, int32_t first_feature,
                     int32_t* features, float* values);
  void (*adam)(const AdamStep& step, const float* gradient, float* weight, float* moment1,
               float* moment2, int64_t n);
};
FEATFLOW_DECLARE_TABLES(AutoencoderKernels, autoencoder_kernels)

inline const AutoencoderKernels& autoencoder_kernels() {
  static const AutoencoderKernels& kernels = FEATFLOW_CHOOSE(autoencoder_kernels);
  return kernels;
}

/// Σ a_i b_i
inline float dot(const float* a, const float* b, int64_t n) {
  return autoencoder_kernels().dot(a, b, n);
}

/// Σ x_i
inline float sum(const float* x, int64_t n) { return autoencoder_kernels().sum(x, n); }

/// y += alpha x
inline void add_scaled(float alpha, const float* x, float* y, int64_t n) {
  autoencoder_kernels().add_scaled(alpha, x, y, n);
}

/// y += Σ_k factors[k] · matrix[rows[k]], k in [0, count), for a matrix of rows of n. Added in
/// order, so the result is that of add_scaled one by one.
inline void add_rows(const float* factors, const int32_t* rows, int64_t count, const float* matrix,
                     float* y, int64_t n) {
  autoencoder_kernels().add_rows(factors, rows, count, matrix, y, n);
}

/// products[k] = Σ_i matrix[rows[k]]_i x_i, k in [0, count), for a matrix of rows of n.
inline void dot_rows(const int32_t* rows, int64_t count, const float* matrix, const float* x,
                     float* products, int64_t n) {
  autoencoder_kernels().dot_rows(rows, count, matrix, x, products, n);
}

/// x *= factor
inline void multiply(float factor, float* x, int64_t n) {
  autoencoder_kernels().multiply(factor, x, n);
}

/// Appends the positive ones of product[j] + bias[j], j in [0, count), with first_feature + j at
/// (features, values), which have room for `count`; returns how many.
inline int64_t compact(const float* product, const float* bias, int64_t count,
                       int32_t first_feature, int32_t* features, float* values) {
  return autoencoder_kernels().compact(product, bias, count, first_feature, features, values);
}

/// One step of Adam (Kingma and Ba 2015, algorithm 1) with its bias corrections worked in.
struct AdamStep {
  float beta1, new1;  ///< β₁, 1 − β₁
  float beta2, new2;  ///< β₂, 1 − β₂
  float rate;         ///< learning rate / (1 − β₁ᵗ)
  float root_scale;   ///< 1 / √(1 − β₂ᵗ)
  float epsilon;

  /// `age`: steps that these moments have seen, this one included (t ≥ 1).
  AdamStep(double learning_rate, double b1, double b2, double eps, int64_t age);

  /// First moments below 1e-30 become zero: those of a silent feature would decay into denormals,
  /// which are slow, and stay.
  void update(const float* gradient, float* weight, float* moment1, float* moment2,
              int64_t n) const {
    autoencoder_kernels().adam(*this, gradient, weight, moment1, moment2, n);
  }
};

}  // namespace featflow
