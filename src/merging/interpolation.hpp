#pragma once

#include <vector>

#include "merging/tensor_pairs.hpp"

namespace featflow {

/// kLinear and kSlerp. Each tensor is one flat vector, norm vectors and embeddings too. SLERP's
/// branches are mergekit's: the angle is that of normalised copies, θ = acos(u_a·u_b), and its
/// weights apply to the originals:
///
///   merged = sin((1 − t)θ)/sin θ · a + sin(tθ)/sin θ · b,    or, if |u_a·u_b| > 0.9995,
///   merged = (1 − t)·a + t·b.
///
/// t = 0 gives a and t = 1 gives b, bit for bit; t outside [0, 1] extrapolates.
class Interpolation : public MergeCurve {
 public:
  Interpolation(const Checkpoint& a, const Checkpoint& b, MergeMethod method,
                const ParentNames& names);

  void at(double t, Checkpoint& out) const override;
  std::vector<TensorReport> reports(const Checkpoint& merged) const override;

 private:
  bool slerp(const TensorPairs::Pair& pair) const;

  TensorPairs tensors_;
  MergeMethod method_;
};

}  // namespace featflow
