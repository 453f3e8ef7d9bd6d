#pragma once

#include <cstdint>
#include <span>

namespace featflow {

/// Euclidean norm, summed in float64 in an order that does not depend on the threads.
double global_norm(std::span<const float> values);

/// One AdamW update of a contiguous range of parameters, in one visit to memory.
struct AdamWUpdate {
  int64_t step = 1;  ///< 1 for the first update.
  double learning_rate = 0;
  double weight_decay = 0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double gradient_scale = 1;  ///< Clipping.

  /// m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²;  w ← w(1 − ηλ) − η m̂ / (√v̂ + ε), where
  /// m̂ = m/(1−β₁ᵗ), v̂ = v/(1−β₂ᵗ) and g is the scaled gradient.
  void apply(std::span<float> weights, std::span<const float> gradients, std::span<float> m,
             std::span<float> v) const;
};

}  // namespace featflow
