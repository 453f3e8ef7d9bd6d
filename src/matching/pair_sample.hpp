#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/rng.hpp"
#include "matching/matches.hpp"

namespace featflow {

/// Correlations in [low, high); the last band of several holds its upper end too, as r may be 1.
struct CorrelationBand {
  double low = 0, high = 0;
  bool closed = false;

  bool holds(double correlation) const {
    return correlation >= low && (correlation < high || (closed && correlation == high));
  }
  std::string name() const;  ///< "0.5-0.6"
};

/// The bands between ascending limits. Throws Error unless there are two limits or more, ascending,
/// in [0, 1].
std::vector<CorrelationBand> correlation_bands(const std::vector<double>& limits);

/// The best partner in B of each feature of A among the pairs that flow counts: both measurable,
/// r ≥ threshold. By feature_a; of equal correlations the lower feature_b. Throws Error for a
/// threshold below the floor.
std::vector<FeaturePair> best_measurable_pairs(const Matches& matches, double threshold,
                                               const MeasurableLimits& limits = {});

/// An edge to sample from, with its best_measurable_pairs.
struct EdgePairs {
  std::string parent, child;
  std::vector<FeaturePair> best;
};

struct SampledPair {
  int64_t edge = 0;  ///< Index into the edges.
  int64_t band = 0;  ///< Index into the bands.
  FeaturePair pair;  ///< a: the parent's feature, b: the child's.
  bool parent_left = true;

  bool operator==(const SampledPair&) const = default;
};

struct PairSample {
  std::vector<CorrelationBand> bands;
  std::vector<int64_t> available;  ///< [bands] Pairs of all edges in the band.
  std::vector<SampledPair> pairs;  ///< In an order that tells nothing of band or edge.

  int64_t sampled(int64_t band) const;
};

/// Up to `per_band` pairs of each band, for people to rate: uniform over the band's pairs of all
/// edges, without replacement, with each feature of a parent in one pair at most (so a band may
/// give fewer than it has). The scarcest band chooses first. Order, and which feature stands on the
/// left, are random.
PairSample sample_pairs(std::span<const EdgePairs> edges, std::vector<CorrelationBand> bands,
                        int64_t per_band, Rng& rng);

}  // namespace featflow
