#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "merging/merge.hpp"

namespace featflow {

/// The tensors of two models that can be merged, side by side; norms and angles are computed once,
/// in the constructor.
class TensorPairs {
 public:
  struct Pair {
    std::string name;
    const Tensor* a;
    const Tensor* b;
    double norm_a = 0, norm_b = 0;
    double cosine = 0;  ///< Of u_a·u_b, u = v/‖v‖ (v itself if ‖v‖ ≤ 1e-8).
  };
  /// Elements [begin, end) of one tensor: the unit of parallel work, and of float64 partial sums.
  struct Chunk {
    size_t tensor;
    size_t begin, end;
  };

  /// Both are borrowed. Throws Error naming the tensor, both shapes and the likely cause if the
  /// models differ in vocabulary, shapes or architecture, or if a weight is NaN or infinite.
  TensorPairs(const Checkpoint& a, const Checkpoint& b, const ParentNames& names);

  const std::vector<Pair>& pairs() const { return pairs_; }
  const Checkpoint& a() const { return *a_; }
  const Checkpoint& b() const { return *b_; }

  /// All chunks, in parallel.
  void for_each_chunk(const std::function<void(const Chunk& chunk)>& work) const;
  /// N measures of a chunk, summed per tensor, in the order of the chunks whichever thread computed
  /// them.
  template <size_t N>
  std::vector<std::array<double, N>> sums(
      const std::function<std::array<double, N>(const Chunk& chunk)>& measure) const;

  /// Gives `out` A's config and A's tensors, of unspecified content, reusing its memory.
  void prepare(Checkpoint& out) const;
  /// One report per tensor, by name; `branch` is left to the caller.
  std::vector<TensorReport> reports(const Checkpoint& merged) const;

 private:
  const Checkpoint *a_, *b_;
  std::vector<Pair> pairs_;
  std::vector<Chunk> chunks_;
};

}  // namespace featflow
