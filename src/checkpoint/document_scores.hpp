#pragma once

#include <cstdint>
#include <vector>

namespace featflow {

/// How well a model predicts each document of a split. Kept per document so that halves can be
/// split and documents bootstrapped (D19).
struct DocumentScores {
  std::vector<int64_t> predicted;  ///< [documents] positions
  std::vector<int64_t> correct;    ///< [documents] positions where argmax is the next token
  std::vector<double> loss;        ///< [documents] summed cross-entropy, nats

  int64_t total_predicted() const;
  double accuracy() const;   ///< Micro-averaged over positions; NaN if there are none.
  double mean_loss() const;  ///< Nats per position.
  double perplexity() const;
  /// Further documents, after those here.
  void append(const DocumentScores& more);
  /// Documents whose index is even (half 0) or odd (half 1).
  DocumentScores half(int which) const;
};

}  // namespace featflow
