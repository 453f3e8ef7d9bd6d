#include "features/log_likelihood.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.hpp"
#include "features/pearson.hpp"

namespace featflow {

const TokenSetScore* TokenSetScores::find(int64_t feature) const {
  const auto found =
      std::lower_bound(features.begin(), features.end(), feature,
                       [](const TokenSetScore& score, int64_t j) { return score.feature < j; });
  return found != features.end() && found->feature == feature ? &*found : nullptr;
}

TokenSetScores token_set_scores(const FeatureActivations& activations,
                                const FeatureStatistics& statistics, const TokenSetRows& set) {
  const SparseRows& rows = activations.rows;
  FEATFLOW_CHECK(rows.rows() == statistics.row_count && set.row_count == statistics.row_count,
                 "the same rows");
  TokenSetScores scores;
  scores.probability = set.probability;
  scores.bound_bits = -std::log2(set.probability);
  if (set.row_count == 0 || set.probability == 0) return scores;
  const auto n = static_cast<double>(set.row_count);
  const auto set_size = static_cast<double>(set.rows.size());
  scores.row_share = set_size / n;

  std::vector<double> mass_in_set(rows.feature_count, 0);
  std::vector<int64_t> active_in_set(rows.feature_count, 0);
  for (const int32_t row : set.rows) {
    for (int64_t e = rows.row_offsets[row]; e < rows.row_offsets[row + 1]; ++e) {
      mass_in_set[rows.features[e]] += rows.values[e];
      ++active_in_set[rows.features[e]];
    }
  }

  const std::vector<double> inverse = inverse_deviations(statistics);
  const double set_variance = n * set_size - set_size * set_size;
  const double set_inverse =
      set_variance > 0 ? 1 / std::sqrt(set_variance) : std::numeric_limits<double>::quiet_NaN();
  for (int64_t j = 0; j < rows.feature_count; ++j) {
    if (statistics.mass[j] == 0) continue;
    TokenSetScore score;
    score.feature = static_cast<int32_t>(j);
    score.active_tokens = statistics.active_tokens[j];
    score.active_in_set = active_in_set[j];
    score.mass = statistics.mass[j];
    // A feature active on S alone must not reach q > 1 because its two sums were rounded apart.
    score.share = std::min(1.0, mass_in_set[j] / statistics.mass[j]);
    score.bits = std::log2(score.share / set.probability);
    score.nats = std::log(score.share / set.probability);
    score.active_bits = std::log2(static_cast<double>(score.active_in_set) /
                                  static_cast<double>(score.active_tokens) / set.probability);
    score.elsewhere = (1 - score.share) / score.share;
    score.correlation = pearson(set.row_count, mass_in_set[j], statistics.mass[j], set_size,
                                inverse[j], set_inverse);
    scores.features.push_back(score);
  }
  return scores;
}

std::optional<TokenSetScore> best_feature(const TokenSetScores& scores,
                                          const FeatureStatistics& statistics,
                                          const MeasurableLimits& limits) {
  const std::vector<uint8_t> usable = measurable(statistics, limits);
  std::optional<TokenSetScore> best;
  for (const TokenSetScore& score : scores.features) {
    if (!usable[score.feature] || score.active_in_set == 0) continue;
    if (!best ? !std::isnan(score.correlation) : score.correlation > best->correlation) {
      best = score;
    }
  }
  return best;
}

}  // namespace featflow
