#include "matching/pair_sample.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

#include "core/error.hpp"

namespace featflow {

std::string CorrelationBand::name() const { return fmt::format("{}-{}", low, high); }

std::vector<CorrelationBand> correlation_bands(const std::vector<double>& limits) {
  const bool ascending = std::ranges::adjacent_find(limits, std::greater_equal<>()) == limits.end();
  // Written so that NaN is refused too.
  if (limits.size() < 2 || !ascending || !(limits.front() >= 0 && limits.back() <= 1)) {
    throw Error(
        fmt::format("--bands {}: expected at least two ascending limits between 0 and 1, such "
                    "as 0.5,0.8,1",
                    fmt::join(limits, ",")));
  }
  std::vector<CorrelationBand> bands;
  for (size_t i = 0; i + 1 < limits.size(); ++i) {
    bands.push_back({limits[i], limits[i + 1], i + 2 == limits.size()});
  }
  return bands;
}

std::vector<FeaturePair> best_measurable_pairs(const Matches& matches, double threshold,
                                               const MeasurableLimits& limits) {
  std::vector<FeaturePair> best;
  for (const FeaturePair& pair : measurable_pairs(matches, threshold, limits)) {
    if (best.empty() || best.back().feature_a != pair.feature_a) {
      best.push_back(pair);
    } else if (pair.correlation > best.back().correlation) {
      best.back() = pair;
    }
  }
  return best;
}

int64_t PairSample::sampled(int64_t band) const {
  return std::ranges::count(pairs, band, &SampledPair::band);
}

PairSample sample_pairs(std::span<const EdgePairs> edges, std::vector<CorrelationBand> bands,
                        int64_t per_band, Rng& rng) {
  FEATFLOW_CHECK(per_band >= 0, "pairs per band");
  std::vector<std::vector<SampledPair>> candidates(bands.size());
  for (size_t e = 0; e < edges.size(); ++e) {
    for (const FeaturePair& pair : edges[e].best) {
      const auto band = std::ranges::find_if(
          bands, [&](const CorrelationBand& b) { return b.holds(pair.correlation); });
      if (band == bands.end()) continue;
      const auto b = band - bands.begin();
      candidates[static_cast<size_t>(b)].push_back({static_cast<int64_t>(e), b, pair});
    }
  }

  PairSample sample{std::move(bands), {}, {}};
  for (const auto& of_band : candidates) sample.available.push_back(std::ssize(of_band));
  std::vector<size_t> order(candidates.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t band) { return sample.available[band]; });
  std::set<std::pair<std::string, int32_t>> used;  // features of parents
  for (const size_t band : order) {
    rng.shuffle(candidates[band]);
    int64_t taken = 0;
    for (const SampledPair& candidate : candidates[band]) {
      if (taken == per_band) break;
      const std::string& parent = edges[static_cast<size_t>(candidate.edge)].parent;
      if (!used.emplace(parent, candidate.pair.feature_a).second) continue;
      sample.pairs.push_back(candidate);
      ++taken;
    }
  }
  rng.shuffle(sample.pairs);
  for (SampledPair& pair : sample.pairs) pair.parent_left = rng.below(2) == 0;
  return sample;
}

}  // namespace featflow
