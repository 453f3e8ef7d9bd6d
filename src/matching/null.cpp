#include "matching/null.hpp"

#include <algorithm>
#include <utility>

#include "core/error.hpp"

namespace featflow {

std::vector<int32_t> permute_rows_within_corpora(const FeatureActivations& activations, Rng& rng) {
  const int64_t n = activations.rows.rows();
  const bool has_corpora = !activations.corpora.empty();
  std::vector<std::vector<int32_t>> rows_of(has_corpora ? activations.corpus_names.size() : 1);
  for (int64_t row = 0; row < n; ++row) {
    rows_of.at(has_corpora ? activations.corpora[row] : 0).push_back(static_cast<int32_t>(row));
  }
  std::vector<int32_t> order(n);
  for (const std::vector<int32_t>& rows : rows_of) {
    std::vector<int32_t> shuffled = rows;
    rng.shuffle(shuffled);
    for (size_t i = 0; i < rows.size(); ++i) order[rows[i]] = shuffled[i];
  }
  return order;
}

NullControl null_control(const FeatureActivations& a, const FeatureActivations& b,
                         const Matches& observed, double threshold, Rng& rng,
                         const MeasurableLimits& limits, CorrelationOptions options) {
  const std::vector<int32_t> order = permute_rows_within_corpora(a, rng);
  options.floor = threshold;
  options.corpora = observed.corpora;
  options.row_order = order;
  options.progress_label += " (permuted)";
  return {threshold, count_matches(observed, threshold, limits),
          count_matches(correlate(a, b, options), threshold, limits)};
}

}  // namespace featflow
