#pragma once

#include <cstdint>

#include "core/instruction_set.hpp"

namespace featflow {

/// The transformer's loops over one row of floats, as transformer_kernels_simd.cpp defines them for
/// every instruction set; layer_kernels.hpp and output_head.hpp say what is made of them. Pointers
/// need no alignment. exp is a polynomial with a relative error below 2e-7; it saturates outside
/// [-87.3, 88.3] (1.2e-38, 2.2e38) and keeps NaN.
struct TransformerKernels {
  /// y = exp(x − shift); returns Σ y. x may be y.
  float (*exponentials)(const float* x, float shift, int64_t count, float* y);
  /// Σ exp(x − shift)
  float (*sum_of_exponentials)(const float* x, float shift, int64_t count);
  /// max x, for count ≥ 1
  float (*maximum)(const float* x, int64_t count);
  /// x *= factor
  void (*multiply)(float factor, float* x, int64_t count);
  /// ds = p (ds − p·ds): from the gradient of probabilities p to that of their logits.
  void (*softmax_backward)(const float* p, int64_t count, float* ds);

  /// y = x / sqrt(mean(x²) + epsilon) · weight
  void (*rms_norm)(const float* x, const float* weight, int64_t width, float epsilon, float* y);
  /// dx is overwritten, d_weight is added to.
  void (*rms_norm_backward)(const float* x, const float* weight, const float* dy, int64_t width,
                            float epsilon, float* dx, float* d_weight);
  /// y = silu(gate) · up
  void (*swiglu)(const float* gate, const float* up, int64_t width, float* y);
  void (*swiglu_backward)(const float* gate, const float* up, const float* dy, int64_t width,
                          float* d_gate, float* d_up);
};
FEATFLOW_DECLARE_TABLES(TransformerKernels, transformer_kernels)

inline const TransformerKernels& transformer_kernels() {
  static const TransformerKernels& kernels = FEATFLOW_CHOOSE(transformer_kernels);
  return kernels;
}

}  // namespace featflow
