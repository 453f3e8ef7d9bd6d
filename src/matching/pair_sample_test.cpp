#include "matching/pair_sample.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "core/error.hpp"

namespace featflow {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

/// Two edges of one parent and one of another; correlations uniform in [0.4, 1).
std::vector<EdgePairs> random_edges(int64_t features, uint64_t seed) {
  Rng rng(seed);
  std::vector<EdgePairs> edges = {
      {"Base", "Lua", {}}, {"Base", "Stories", {}}, {"Lua", "Merged", {}}};
  for (EdgePairs& edge : edges) {
    for (int32_t j = 0; j < features; ++j) {
      edge.best.push_back(
          {j, static_cast<int32_t>(rng.below(100)), static_cast<float>(0.4 + 0.6 * rng.uniform())});
    }
  }
  return edges;
}

TEST(CorrelationBands, HoldTheirLowerEndAndTheLastOneBoth) {
  const std::vector<CorrelationBand> bands = correlation_bands({0.5, 0.75, 1});
  EXPECT_EQ(bands[0].name(), "0.5-0.75");
  EXPECT_TRUE(bands[0].holds(0.5) && !bands[0].holds(0.75) && bands[1].holds(0.75));
  EXPECT_TRUE(bands[1].holds(1) && !bands[0].holds(0.4999));
  for (const std::vector<double>& limits :
       {std::vector<double>{0.5}, {0.6, 0.6}, {0.8, 0.5}, {-0.1, 0.5}, {0.5, 1.1}, {0.5, NAN}}) {
    EXPECT_THAT([&] { correlation_bands(limits); }, ThrowsMessage<Error>(HasSubstr("--bands")));
  }
}

TEST(BestMeasurablePairs, PassOverBetterPartnersThatAreTooRare) {
  Matches matches;
  matches.floor = 0.3;
  matches.a.active_tokens = {40, 40, 5, 40};
  matches.b.active_tokens = {40, 3, 40, 40};
  matches.pairs = {{0, 0, 0.6f}, {0, 1, 0.9f}, {0, 3, 0.7f}, {1, 0, 0.8f},
                   {1, 2, 0.8f}, {2, 0, 0.9f}, {3, 2, 0.4f}};
  EXPECT_THAT(best_measurable_pairs(matches, 0.5),
              ElementsAre(FeaturePair{0, 3, 0.7f}, FeaturePair{1, 0, 0.8f}));
  EXPECT_THAT([&] { best_measurable_pairs(matches, 0.2); },
              ThrowsMessage<Error>(HasSubstr("floor")));
}

TEST(SamplePairs, BandsAreFilledFromTheirPairsAndNoParentFeatureStandsTwice) {
  const std::vector<EdgePairs> edges = random_edges(400, 1);
  Rng rng(2);
  const PairSample sample =
      sample_pairs(edges, correlation_bands({0.5, 0.6, 0.7, 0.99, 1}), 30, rng);
  std::set<std::pair<std::string, int32_t>> parents;
  std::map<int64_t, int64_t> left;
  for (const SampledPair& sampled : sample.pairs) {
    const EdgePairs& edge = edges[static_cast<size_t>(sampled.edge)];
    EXPECT_TRUE(sample.bands[static_cast<size_t>(sampled.band)].holds(sampled.pair.correlation));
    EXPECT_THAT(edge.best, testing::Contains(sampled.pair));
    EXPECT_TRUE(parents.emplace(edge.parent, sampled.pair.feature_a).second) << "stands twice";
    ++left[sampled.parent_left];
  }
  std::vector<int64_t> in_band(4, 0);
  for (const EdgePairs& edge : edges) {
    for (const FeaturePair& pair : edge.best) {
      for (size_t b = 0; b < 4; ++b) in_band[b] += sample.bands[b].holds(pair.correlation) ? 1 : 0;
    }
  }
  EXPECT_EQ(sample.available, in_band);
  for (const int64_t band : {0, 1, 2}) EXPECT_EQ(sample.sampled(band), 30);
  EXPECT_LE(sample.sampled(3), sample.available[3]);
  EXPECT_GT(left[0], 25);
  EXPECT_GT(left[1], 25);
  // The order tells nothing of the band: all bands stand in both halves.
  std::set<int64_t> first_half;
  for (size_t i = 0; i < sample.pairs.size() / 2; ++i) first_half.insert(sample.pairs[i].band);
  EXPECT_GE(first_half.size(), 3u);
}

TEST(SamplePairs, TheSeedDecides) {
  const std::vector<EdgePairs> edges = random_edges(300, 3);
  const std::vector<CorrelationBand> bands = correlation_bands({0.5, 0.8, 1});
  Rng first(7), same(7), other(8);
  const PairSample sample = sample_pairs(edges, bands, 20, first);
  EXPECT_EQ(sample.pairs, sample_pairs(edges, bands, 20, same).pairs);
  EXPECT_NE(sample.pairs, sample_pairs(edges, bands, 20, other).pairs);
}

// 2,000 draws of 10 from 40 pairs: each is drawn 500 times, with a standard deviation of 19.4.
TEST(SamplePairs, EveryPairOfABandIsAsLikelyAsAnother) {
  std::vector<EdgePairs> edges = {{"A", "B", {}}, {"C", "D", {}}};
  for (int32_t j = 0; j < 30; ++j) edges[0].best.push_back({j, 0, 0.7f});
  for (int32_t j = 0; j < 10; ++j) edges[1].best.push_back({j, 0, 0.7f});
  std::map<std::pair<int64_t, int32_t>, int64_t> drawn;
  Rng rng(9);
  for (int trial = 0; trial < 2000; ++trial) {
    for (const SampledPair& sampled :
         sample_pairs(edges, correlation_bands({0.5, 1}), 10, rng).pairs) {
      ++drawn[{sampled.edge, sampled.pair.feature_a}];
    }
  }
  ASSERT_EQ(drawn.size(), 40u);
  for (const auto& [pair, count] : drawn) EXPECT_NEAR(count, 500, 5 * 19.4);
}

// The scarce band's only pair shares its parent's feature with a pair of the full band.
TEST(SamplePairs, TheScarcestBandChoosesFirst) {
  std::vector<EdgePairs> edges = {{"Base", "Lua", {{0, 0, 0.95f}}}, {"Base", "Stories", {}}};
  for (int32_t j = 0; j < 5; ++j) edges[1].best.push_back({j, 0, 0.6f});
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Rng rng(seed);
    const PairSample sample = sample_pairs(edges, correlation_bands({0.5, 0.9, 1}), 5, rng);
    EXPECT_EQ(sample.sampled(1), 1);
    EXPECT_EQ(sample.sampled(0), 4);
  }
}

}  // namespace
}  // namespace featflow
