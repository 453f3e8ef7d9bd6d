#include "matching/one_to_one.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <set>

#include "core/rng.hpp"

namespace featflow {
namespace {

double weight(const std::vector<FeaturePair>& pairs) {
  double sum = 0;
  for (const FeaturePair& pair : pairs) sum += pair.correlation;
  return sum;
}

std::vector<FeaturePair> random_pairs(int32_t m_a, int32_t m_b, double density, Rng& rng,
                                      int levels) {
  std::vector<FeaturePair> pairs;
  for (int32_t a = 0; a < m_a; ++a) {
    for (int32_t b = 0; b < m_b; ++b) {
      if (rng.uniform() >= density) continue;
      const double r =
          levels > 0 ? static_cast<double>(1 + rng.below(levels)) / levels : rng.uniform();
      pairs.push_back({a, b, static_cast<float>(r)});
    }
  }
  rng.shuffle(pairs);
  return pairs;
}

void expect_matching(const std::vector<FeaturePair>& matched, const std::vector<FeaturePair>& pairs,
                     double threshold) {
  std::set<int32_t> a, b;
  for (const FeaturePair& pair : matched) {
    EXPECT_TRUE(a.insert(pair.feature_a).second);
    EXPECT_TRUE(b.insert(pair.feature_b).second);
    EXPECT_GE(pair.correlation, threshold);
    EXPECT_NE(std::find(pairs.begin(), pairs.end(), pair), pairs.end());
  }
  EXPECT_TRUE(std::is_sorted(matched.begin(), matched.end(), [](const auto& x, const auto& y) {
    return x.feature_a < y.feature_a;
  }));
}

/// Every choice of partners, a by a.
double brute_force(const std::vector<FeaturePair>& pairs, int32_t m_a, double threshold) {
  const std::function<double(int32_t, uint32_t)> best_from = [&](int32_t a, uint32_t used) {
    if (a == m_a) return 0.0;
    double best = best_from(a + 1, used);
    for (const FeaturePair& pair : pairs) {
      if (pair.feature_a != a || pair.correlation < threshold || (used >> pair.feature_b & 1)) {
        continue;
      }
      best = std::max(best, pair.correlation + best_from(a + 1, used | 1u << pair.feature_b));
    }
    return best;
  };
  return best_from(0, 0);
}

/// The O(n³) Hungarian algorithm on the dense cost matrix; absent pairs cost 0.
double hungarian(const std::vector<FeaturePair>& pairs, int32_t size, double threshold) {
  std::vector<std::vector<double>> cost(size + 1, std::vector<double>(size + 1, 0));
  for (const FeaturePair& pair : pairs) {
    if (pair.correlation >= threshold) {
      cost[pair.feature_a + 1][pair.feature_b + 1] = -static_cast<double>(pair.correlation);
    }
  }
  std::vector<double> u(size + 1, 0), v(size + 1, 0);
  std::vector<int> row_of(size + 1, 0), way(size + 1, 0);
  for (int i = 1; i <= size; ++i) {
    row_of[0] = i;
    int column = 0;
    std::vector<double> slack(size + 1, std::numeric_limits<double>::infinity());
    std::vector<bool> used(size + 1, false);
    do {
      used[column] = true;
      double delta = std::numeric_limits<double>::infinity();
      int next = 0;
      for (int j = 1; j <= size; ++j) {
        if (used[j]) continue;
        const double reduced = cost[row_of[column]][j] - u[row_of[column]] - v[j];
        if (reduced < slack[j]) slack[j] = reduced, way[j] = column;
        if (slack[j] < delta) delta = slack[j], next = j;
      }
      for (int j = 0; j <= size; ++j) {
        if (used[j]) {
          u[row_of[j]] += delta, v[j] -= delta;
        } else {
          slack[j] -= delta;
        }
      }
      column = next;
    } while (row_of[column] != 0);
    for (; column != 0; column = way[column]) row_of[column] = row_of[way[column]];
  }
  double total = 0;
  for (int j = 1; j <= size; ++j) total -= cost[row_of[j]][j];
  return total;
}

TEST(OneToOne, HasTheWeightOfBruteForce) {
  Rng rng(1);
  for (int trial = 0; trial < 400; ++trial) {
    const auto m_a = static_cast<int32_t>(1 + rng.below(7));
    const auto m_b = static_cast<int32_t>(1 + rng.below(7));
    const auto pairs = random_pairs(m_a, m_b, rng.uniform(), rng, trial % 2 ? 0 : 4);
    const double threshold = trial % 3 ? 0.3 : 0.6;
    const auto matched = one_to_one(pairs, threshold);
    expect_matching(matched, pairs, threshold);
    EXPECT_NEAR(weight(matched), brute_force(pairs, m_a, threshold), 1e-9);
  }
}

TEST(OneToOne, HasTheWeightOfTheHungarianAlgorithm) {
  Rng rng(2);
  for (int trial = 0; trial < 30; ++trial) {
    const auto pairs = random_pairs(60, 60, trial < 10 ? 0.03 : 0.3, rng, trial % 2 ? 0 : 10);
    for (const double threshold : {0.05, 0.3, 0.8}) {
      const auto matched = one_to_one(pairs, threshold);
      expect_matching(matched, pairs, threshold);
      EXPECT_NEAR(weight(matched), hungarian(pairs, 60, threshold), 1e-9);
    }
  }
}

TEST(OneToOne, PrefersWeightToCount) {
  // Three pairs fit (0.31 · 3); one heavy pair in the middle with what it leaves is worth more.
  const std::vector<FeaturePair> pairs = {{0, 0, 0.31f}, {1, 1, 0.31f}, {0, 1, 0.9f}};
  EXPECT_THAT(one_to_one(pairs, 0.3), testing::ElementsAre(FeaturePair{0, 1, 0.9f}));
  EXPECT_TRUE(one_to_one({}, 0.3).empty());
  EXPECT_TRUE(one_to_one(pairs, 0.95).empty());
}

}  // namespace
}  // namespace featflow
