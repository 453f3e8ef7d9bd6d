#include "flow/edge_sample.hpp"

#include <algorithm>
#include <map>

namespace featflow {
namespace {

// Best partner of the features of one side, `own`, on the other.
std::map<int32_t, FeaturePair> best_partners(const Matches& matches, int32_t FeaturePair::*own,
                                             int32_t FeaturePair::*other,
                                             const std::vector<uint8_t>& measurable_other,
                                             const std::vector<FeaturePair>& best_of_all) {
  std::map<int32_t, FeaturePair> best;
  for (const FeaturePair& pair : matches.pairs) {
    if (measurable_other[static_cast<size_t>(pair.*other)] == 0) continue;
    const auto [found, fresh] = best.emplace(pair.*own, pair);
    if (!fresh && pair.correlation > found->second.correlation) found->second = pair;
  }
  for (const FeaturePair& pair : best_of_all) {  // below the floor, if any of them is measurable
    if (measurable_other[static_cast<size_t>(pair.*other)] != 0) best.emplace(pair.*own, pair);
  }
  return best;
}

std::vector<FeaturePair> draw(std::vector<int32_t> features, int64_t count,
                              const std::map<int32_t, FeaturePair>& partners, Rng& rng) {
  std::erase_if(features, [&](int32_t j) { return !partners.contains(j); });
  rng.shuffle(features);
  features.resize(static_cast<size_t>(std::min(count, std::ssize(features))));
  std::ranges::sort(features);
  std::vector<FeaturePair> pairs;
  for (const int32_t j : features) pairs.push_back(partners.at(j));
  return pairs;
}

}  // namespace

EdgeSample sample_edge(const EdgeFlow& edge, const Matches& matches, const MeasurableLimits& limits,
                       int64_t count, Rng& rng) {
  const auto of_parent = best_partners(
      matches, &FeaturePair::feature_a, &FeaturePair::feature_b,
      measurable(matches.b.active_tokens, matches.b.active_documents, limits), matches.best_of_a);
  const auto of_child = best_partners(
      matches, &FeaturePair::feature_b, &FeaturePair::feature_a,
      measurable(matches.a.active_tokens, matches.a.active_documents, limits), matches.best_of_b);
  EdgeSample sample;
  sample.persisting = draw(edge.persisting_parents, count, of_parent, rng);
  sample.disappearing = draw(edge.disappearing, count, of_parent, rng);
  sample.emerging = draw(edge.emerging, count, of_child, rng);
  return sample;
}

}  // namespace featflow
