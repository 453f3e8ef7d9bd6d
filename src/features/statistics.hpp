#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "features/columns.hpp"

namespace featflow {

/// What the activations of each feature on the matching text add up to; n rows are counted.
struct FeatureStatistics {
  int64_t row_count = 0;                  ///< n: rows inside the mask
  std::vector<int64_t> active_tokens;     ///< [m] rows with f > 0
  std::vector<int64_t> active_documents;  ///< [m]; empty if the file has no documents
  std::vector<double> mass;               ///< [m] Σ f
  std::vector<double> sum_of_squares;     ///< [m] Σ f²
  std::vector<float> minimum, maximum;    ///< [m] over active rows; 0 if there are none
  std::vector<std::string> corpus_names;  ///< [c]; empty if the file has no corpora
  std::vector<int64_t> corpus_rows;       ///< [c]
  std::vector<int64_t> corpus_active;     ///< [c, m] active tokens per corpus
  std::vector<double> corpus_mass;        ///< [c, m] Σ f per corpus

  int64_t feature_count() const { return static_cast<int64_t>(active_tokens.size()); }
  /// Share of tokens on which the feature is active (definitions 7).
  double density(int64_t feature) const;
  /// Mean over the rows on which it is active; 0 if there are none.
  double mean_active(int64_t feature) const;
};

/// Rows inside the mask, summed in float64 in row order.
FeatureStatistics feature_statistics(const FeatureActivations& activations, RowMask mask = {});
/// The same numbers, shard by shard; `mask` is that of all rows.
FeatureStatistics feature_statistics(const ActivationShards& shards, RowMask mask = {});
/// Of A and of B under one mask, a thread for each, or one after the other (shards of only one of
/// them are in memory then).
std::pair<FeatureStatistics, FeatureStatistics> statistics_of_both(const ActivationShards& a,
                                                                   const ActivationShards& b,
                                                                   RowMask mask,
                                                                   bool at_once = true);

/// Definitions 9.
struct MeasurableLimits {
  int64_t min_tokens = 30;
  int64_t min_documents = 10;  ///< Not asked of activations without documents.
};

/// [m] 1 where a feature is active on enough tokens in enough documents. `active_documents` is
/// empty where documents are unknown.
std::vector<uint8_t> measurable(const std::vector<int64_t>& active_tokens,
                                const std::vector<int64_t>& active_documents,
                                const MeasurableLimits& limits = {});
std::vector<uint8_t> measurable(const FeatureStatistics& statistics,
                                const MeasurableLimits& limits = {});

}  // namespace featflow
