#pragma once

#include <cstdint>
#include <vector>

#include "core/rng.hpp"
#include "matching/correlation.hpp"

namespace featflow {

/// A random permutation [n] of whole rows that leaves each row in its corpus: which features are
/// active together in A stays, which text they are active on does not.
std::vector<int32_t> permute_rows_within_corpora(const FeatureActivations& activations, Rng& rng);

struct NullControl {
  double threshold = 0.8;
  MatchCounts observed, permuted;
};

/// The control of the matches: the same count with A's rows permuted at random, which leaves
/// chance only. Costs one more correlation of all pairs.
NullControl null_control(const FeatureActivations& a, const FeatureActivations& b,
                         const Matches& observed, double threshold, Rng& rng,
                         const MeasurableLimits& limits = {}, CorrelationOptions options = {});

}  // namespace featflow
