#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "features/statistics.hpp"
#include "features/token_set.hpp"

namespace featflow {

/// How well one feature fits a token set S (definitions 20).
struct TokenSetScore {
  int32_t feature = 0;
  int64_t active_tokens = 0;  ///< Rows with f > 0.
  int64_t active_in_set = 0;  ///< Of these, rows of S.
  double mass = 0;            ///< Σ f
  double share = 0;           ///< q = Σ_{S} f / Σ f, the share of its activation mass on S
  double bits = 0;            ///< log2(q / p(S)); −∞ if q = 0
  double nats = 0;            ///< The same as a natural logarithm.
  double active_bits = 0;     ///< log2(P(S | f > 0) / p(S)); −∞ if never active on S
  double elsewhere = 0;       ///< (1 − q) / q, "times more active elsewhere"; +∞ if q = 0
  double correlation = 0;     ///< Pearson of f with the indicator of S; NaN if f is constant
};

struct TokenSetScores {
  double probability = 0;  ///< p(S); 0 if S does not occur, and then no feature has a score.
  double row_share = 0;    ///< Share of rows that end a string of S (= p(S) for single tokens).
  double bound_bits = 0;   ///< −log2 p(S): no feature can score more bits.
  std::vector<TokenSetScore> features;  ///< By feature; those with Σ f = 0 have no row.

  /// nullptr if the feature has no score.
  const TokenSetScore* find(int64_t feature) const;
};

/// `statistics` are those of all rows of `activations`.
TokenSetScores token_set_scores(const FeatureActivations& activations,
                                const FeatureStatistics& statistics, const TokenSetRows& set);

/// The measurable feature (definitions 9) that fits S best: the one whose activation correlates
/// most with the indicator of S. A likelihood ratio alone would choose a feature that fires on one
/// single "=" of thousands; the correlation asks for both, S and little else, and all of S. Ties go
/// to the lower feature; nullopt if no measurable feature is active on S.
std::optional<TokenSetScore> best_feature(const TokenSetScores& scores,
                                          const FeatureStatistics& statistics,
                                          const MeasurableLimits& limits = {});

}  // namespace featflow
