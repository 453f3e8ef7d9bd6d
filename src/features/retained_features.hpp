#pragma once

#include <cstdint>
#include <vector>

#include "features/statistics.hpp"

namespace featflow {

/// One dictionary read through two models: for each feature of a parent's autoencoder, Pearson's
/// correlation of its activation in the parent itself with its activation in another model, on the
/// same rows. Only the diagonal of what correlate() computes, so memory is O(m) beside the
/// parent's own activations, however many rows there are.
class RetainedSums {
 public:
  /// `parent` is borrowed: all rows of the parent through its own autoencoder. A mask counts some
  /// of its rows only, and is borrowed too.
  explicit RetainedSums(const FeatureActivations& parent, RowMask mask = {});

  /// The next rows of the other model through the same autoencoder: adds Σ f_m, Σ f_m², Σ f_p f_m
  /// in float64, in row order.
  void add(const SparseRows& other);

  /// [m] r over all rows added; NaN where one side has no variance, as inverse_deviations says.
  /// Every row of the parent must have been added.
  std::vector<double> correlations() const;
  /// Of the parent's own activations on the rows counted.
  const FeatureStatistics& parent_statistics() const { return parent_statistics_; }

 private:
  const FeatureActivations* parent_;
  RowMask mask_;
  int64_t next_row_ = 0;
  FeatureStatistics parent_statistics_, other_statistics_;
  std::vector<double> products_;  // [m] Σ f_p f_m
};

/// Features of a parent that are still there in another model.
struct RetainedCount {
  int64_t measurable = 0;       ///< Of the parent's, by its own activations on the rows counted.
  int64_t retained = 0;         ///< Of those: r ≥ τ.
  double mean_correlation = 0;  ///< Of the measurable ones; no correlation counts as 0.

  double share() const {
    return measurable ? static_cast<double>(retained) / static_cast<double>(measurable) : 0;
  }
};

RetainedCount count_retained(const RetainedSums& sums, double threshold,
                             const MeasurableLimits& limits);

}  // namespace featflow
