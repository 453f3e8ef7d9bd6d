#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "features/pearson.hpp"

namespace featflow {

struct BestCorrelationOptions {
  MeasurableLimits limits;  ///< Only measurable features are candidates, on both sides.
  /// Working memory beside both inputs: one row of the matrix per thread, a packed copy of B,
  /// always whole, and the transpose of A, in as few blocks as fit, but at most about eight. The
  /// result does not depend on it.
  int64_t memory_bytes = int64_t{2} << 30;
  /// Only rows of these corpora count; empty: all rows.
  std::vector<std::string> corpora;
  std::string progress_label = "matching";
};

/// The features of one side and how well each correlates with its best partner.
struct BestOfSide {
  std::vector<int64_t> active_tokens;  ///< [m] on the rows counted
  std::vector<uint8_t> measurable;     ///< [m]
  /// [runs, m] max over the measurable features of the other side; NaN for a feature that is not
  /// measurable or without variance, or where the other side has no candidate.
  std::vector<float> best;
};

struct BestCorrelations {
  int64_t rows = 0;  ///< Counted.
  int64_t runs = 0;
  BestOfSide a, b;
};

/// A permutation [n] of A's rows for one run: row t of A is taken to be row order[t]. It must keep
/// every row in its corpus, so that A's own sums hold for the permuted rows too.
using RowOrderOfRun = std::function<std::vector<int32_t>(int64_t run)>;

/// The best correlation of every measurable feature, A's and B's, computed again in each of `runs`
/// runs with A's rows permuted (without `row_order`: as they are, which gives what was observed).
/// The same sums as `correlate`, but no pair is kept: everything that does not depend on the order
/// of rows (statistics, packed rows of B, transpose of A) is made once for all runs, and features
/// that are not measurable take no part. One run costs (active A) × (active B) products per row and
/// one vectorised pass over the matrix. The result does not depend on the thread count. Throws
/// Error if the rows differ.
BestCorrelations best_correlations(const FeatureActivations& a, const FeatureActivations& b,
                                   const BestCorrelationOptions& options = {}, int64_t runs = 1,
                                   const RowOrderOfRun& row_order = {});

}  // namespace featflow
