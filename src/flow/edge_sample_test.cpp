#include "flow/edge_sample.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

namespace featflow {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Parent features 0-5, child features 0-3; child feature 3 is too rare to be measurable.
Matches some_matches() {
  Matches matches;
  matches.a = {"parent", {50, 50, 50, 50, 50, 50}, {20, 20, 20, 20, 20, 20}};
  matches.b = {"child", {50, 50, 50, 2}, {20, 20, 20, 2}};
  matches.floor = 0.3;
  matches.pairs = {{0, 0, 0.9F},  {0, 1, 0.95F}, {0, 3, 1.0F}, {1, 0, 0.4F},
                   {1, 3, 0.99F}, {2, 1, 0.5F},  {2, 2, 0.5F}, {5, 3, 0.85F}};
  matches.best_of_a = {{0, 3, 1.0F}, {1, 3, 0.99F}, {2, 1, 0.5F}, {3, 2, 0.1F}, {5, 3, 0.85F}};
  matches.best_of_b = {{0, 0, 0.9F}, {0, 1, 0.95F}, {2, 2, 0.5F}, {0, 3, 1.0F}};
  return matches;
}

TEST(EdgeSample, TakesTheBestMeasurablePartner) {
  EdgeFlow edge;
  edge.persisting_parents = {0};
  edge.disappearing = {1, 2, 3, 4, 5};
  edge.emerging = {2};
  Rng rng(1);
  const EdgeSample sample = sample_edge(edge, some_matches(), {}, 100, rng);
  EXPECT_THAT(sample.persisting, ElementsAre(FeaturePair{0, 1, 0.95F}));
  // 1: its match with an unmeasurable feature does not count; 2: two partners alike; 3: none is at
  // the floor; 4: constant, without any correlation; 5: only an unmeasurable one, which is no
  // match.
  EXPECT_THAT(sample.disappearing, ElementsAre(FeaturePair{1, 0, 0.4F}, FeaturePair{2, 1, 0.5F},
                                               FeaturePair{3, 2, 0.1F}));
  EXPECT_THAT(sample.emerging, ElementsAre(FeaturePair{2, 2, 0.5F}));
}

TEST(EdgeSample, DrawsWithoutReplacementByTheGeneratorAlone) {
  constexpr int64_t kFeatures = 200;
  EdgeFlow edge;
  Matches matches;
  matches.a.active_tokens.assign(kFeatures, 100);
  matches.b.active_tokens.assign(kFeatures, 100);
  for (int32_t j = 0; j < kFeatures; ++j) {
    edge.persisting_parents.push_back(j);
    matches.pairs.push_back({j, j, 0.9F});
  }
  std::map<int32_t, int> drawn;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    Rng rng(seed), again(seed);
    const auto pairs = sample_edge(edge, matches, {}, 10, rng).persisting;
    EXPECT_EQ(pairs, sample_edge(edge, matches, {}, 10, again).persisting);
    ASSERT_EQ(pairs.size(), 10U);
    std::set<int32_t> distinct;
    for (const FeaturePair& pair : pairs) distinct.insert(pair.feature_a), ++drawn[pair.feature_a];
    EXPECT_EQ(distinct.size(), 10U);
  }
  // Each of 200 is drawn 20 times on average, with a standard deviation of 4.4.
  EXPECT_EQ(std::ssize(drawn), kFeatures);
  for (const auto& [feature, times] : drawn) EXPECT_LT(times, 45) << feature;

  Rng rng(1);
  EXPECT_THAT(sample_edge(edge, matches, {}, 0, rng).persisting, IsEmpty());
  EXPECT_THAT(sample_edge({}, matches, {}, 5, rng).persisting, IsEmpty());
}

}  // namespace
}  // namespace featflow
