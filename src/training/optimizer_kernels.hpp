#pragma once

#include <cstdint>

#include "core/instruction_set.hpp"

namespace featflow {

/// AdamWUpdate's numbers, as one element needs them.
struct AdamWFactors {
  float beta1, new1;     ///< β₁, 1 − β₁
  float beta2, new2;     ///< β₂, 1 − β₂
  float gradient_scale;  ///< Clipping.
  float keep;            ///< 1 − ηλ
  float rate;            ///< η / (1 − β₁ᵗ)
  float root_scale;      ///< 1 / √(1 − β₂ᵗ)
  float epsilon;
};

/// The optimiser's loops, as optimizer_kernels_simd.cpp defines them for every instruction set.
struct OptimizerKernels {
  /// AdamWUpdate::apply for one range.
  void (*adamw)(const AdamWFactors& factors, const float* gradients, float* weights, float* m,
                float* v, int64_t count);
};
FEATFLOW_DECLARE_TABLES(OptimizerKernels, optimizer_kernels)

inline const OptimizerKernels& optimizer_kernels() {
  static const OptimizerKernels& kernels = FEATFLOW_CHOOSE(optimizer_kernels);
  return kernels;
}

}  // namespace featflow
