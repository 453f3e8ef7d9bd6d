#pragma once

#include <vector>

#include "merging/tensor_pairs.hpp"

namespace featflow {

/// Methods that add task vectors τ = model − base (Ilharco et al. 2023) with weights w_A = 1 − t
/// and w_B = t and a scale λ, tensor by tensor, with mergekit's arithmetic:
///
///   task_arithmetic   base + λ (w_A τ_A + w_B τ_B)
///   ties              (Yadav et al. 2023) of each τ only the ⌊density · n⌋ largest elements by
///                     magnitude stay (of equals the first), d = w τ. Each element elects the sign
///                     of Σ d (+ if it is 0); what has the other sign is dropped, and the rest
///                     is averaged: base + λ Σ d / Σ w over those that stay
///   dare_linear       (Yu et al. 2024) each element of τ stays with probability `density`, and τ
///                     is scaled back: to its L1 norm, or by 1/density as in the paper; then
///                     as task_arithmetic
///   dare_ties         the same, then signs are elected as in ties, and d is added, not averaged
///
/// Masks are drawn from the seed, the tensor's name and the side, and are the same at every t.
class TaskVectors : public MergeCurve {
 public:
  /// Borrows all three. Throws Error as TensorPairs does, for the base too, and for a density
  /// outside (0, 1].
  TaskVectors(const Checkpoint& a, const Checkpoint& b, const Checkpoint& base,
              const MergeOptions& options, const ParentNames& names);

  void at(double t, Checkpoint& out) const override;
  std::vector<TensorReport> reports(const Checkpoint& merged) const override;

 private:
  TensorPairs tensors_;
  MergeOptions options_;
  std::vector<const Tensor*> base_;                // [tensors]
  std::vector<std::vector<float>> tau_a_, tau_b_;  // [tensors][elements] sparsified
  std::vector<double> cosine_, conflicts_;         // [tensors] of the whole task vectors
};

}  // namespace featflow
