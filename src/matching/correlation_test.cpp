#include "matching/correlation.hpp"

#include <gmock/gmock.h>

#include <cmath>

#include "core/error.hpp"
#include "core/parallel.hpp"
#include "features/dense_activations.hpp"
#include "storage/temporary_folder.hpp"

namespace featflow {
namespace {

constexpr double kTolerance = 1e-6;

/// Every list of `matches` against two-pass float64 on dense matrices.
void expect_dense(const Matches& matches, const DenseRows& a, int64_t m_a, const DenseRows& b,
                  int64_t m_b, const std::vector<uint8_t>& mask = {}) {
  std::vector<FeaturePair> pairs;
  std::vector<double> best_a(m_a, -2), best_b(m_b, -2);
  for (int32_t i = 0; i < m_a; ++i) {
    for (int32_t j = 0; j < m_b; ++j) {
      const std::optional<double> r = dense_pearson(a, i, b, j, mask);
      if (!r) continue;
      if (*r >= matches.floor) pairs.push_back({i, j, static_cast<float>(*r)});
      best_a[i] = std::max(best_a[i], *r);
      best_b[j] = std::max(best_b[j], *r);
    }
  }
  ASSERT_EQ(matches.pairs.size(), pairs.size());
  for (size_t k = 0; k < pairs.size(); ++k) {
    EXPECT_EQ(matches.pairs[k].feature_a, pairs[k].feature_a);
    EXPECT_EQ(matches.pairs[k].feature_b, pairs[k].feature_b);
    EXPECT_NEAR(matches.pairs[k].correlation, pairs[k].correlation, kTolerance);
  }
  const auto has_partner = [](double r) { return r > -2; };
  EXPECT_EQ(std::ssize(matches.best_of_a),
            std::count_if(best_a.begin(), best_a.end(), has_partner));
  EXPECT_EQ(std::ssize(matches.best_of_b),
            std::count_if(best_b.begin(), best_b.end(), has_partner));
  for (const FeaturePair& best : matches.best_of_a) {
    EXPECT_NEAR(best.correlation, best_a[best.feature_a], kTolerance);
    EXPECT_NEAR(*dense_pearson(a, best.feature_a, b, best.feature_b, mask), best.correlation,
                kTolerance);
  }
  for (const FeaturePair& best : matches.best_of_b) {
    EXPECT_NEAR(best.correlation, best_b[best.feature_b], kTolerance);
    EXPECT_NEAR(*dense_pearson(a, best.feature_a, b, best.feature_b, mask), best.correlation,
                kTolerance);
  }
}

bool same(const Matches& x, const Matches& y) {
  return x.pairs == y.pairs && x.best_of_a == y.best_of_a && x.best_of_b == y.best_of_b &&
         x.a.active_tokens == y.a.active_tokens && x.row_count == y.row_count;
}

/// B shares some of A's features, with noise; one feature of each is constant and one silent.
struct Planted {
  DenseRows a, b;
  FeatureActivations sparse_a, sparse_b;
};
Planted planted(int64_t n, int64_t m_a, int64_t m_b, uint64_t seed) {
  Planted p{random_dense(n, m_a, 0.08, seed), random_dense(n, m_b, 0.08, seed + 1), {}, {}};
  Rng rng(seed + 2);
  for (int64_t row = 0; row < n; ++row) {
    for (int64_t j = 0; j < std::min(m_a, m_b); j += 3) {
      if (p.a[row][j] > 0 && rng.uniform() < 0.9) p.b[row][(j * 7 + 2) % m_b] = p.a[row][j] * 2;
    }
    if (m_a > 5) p.a[row][4] = 0.3f, p.a[row][5] = 0;
    if (m_b > 5) p.b[row][0] = 0.7f, p.b[row][1] = 0;
  }
  p.sparse_a = activations_from_dense(p.a, m_a);
  p.sparse_b = activations_from_dense(p.b, m_b);
  add_documents(p.sparse_a, 9, {"x", "y", "z"});
  add_documents(p.sparse_b, 9, {"x", "y", "z"});
  return p;
}

TEST(Correlate, AgreesWithDenseAtEveryMemoryLimitAndThreadCount) {
  for (const auto& [n, m_a, m_b] : {std::tuple(701, 37, 53), std::tuple(500, 64, 16),
                                    std::tuple(97, 1, 1), std::tuple(97, 1, 20)}) {
    const Planted p = planted(n, m_a, m_b, n);
    const TemporaryFolder folder;
    save_in_shards(p.sparse_a, 111, folder / "a");
    save_in_shards(p.sparse_b, 100, folder / "b");
    std::optional<Matches> first;
    for (const int threads : {1, 3}) {
      set_thread_count(threads);
      const ActivationShards a(folder / "a"), b(folder / "b");
      const int64_t reading = std::max(a.working_bytes(), b.working_bytes());
      // What blocks of features may take: the least, in eighths; a few of them; all at once.
      for (const int64_t blocks : {0, 15'000, 25'000, 1 << 30}) {
        CorrelationOptions options;
        options.memory_bytes = blocks;
        const Matches matches = correlate(p.sparse_a, p.sparse_b, options);
        if (!first) {
          first = matches;
          expect_dense(matches, p.a, m_a, p.b, m_b);
        }
        EXPECT_TRUE(same(*first, matches)) << threads << " threads, " << blocks << " bytes";
        options.memory_bytes = reading + blocks;
        EXPECT_TRUE(same(*first, correlate(a, b, options)))
            << "of files, " << threads << " threads, " << blocks << " bytes";
      }
    }
  }
  set_thread_count(default_thread_count());
}

TEST(Correlate, FindsSomethingInThePlantedPair) {
  const Planted p = planted(701, 37, 53, 701);
  EXPECT_GT(count_matches(correlate(p.sparse_a, p.sparse_b), 0.8).pairs, 8);
}

TEST(Correlate, CountsOnlyTheRowsOfChosenCorpora) {
  const Planted p = planted(800, 12, 15, 3);
  CorrelationOptions options;
  options.corpora = {"z", "x"};
  const Matches matches = correlate(p.sparse_a, p.sparse_b, options);
  const std::vector<uint8_t> mask = rows_of_corpora(p.sparse_b, options.corpora);
  const TemporaryFolder folder;
  save_in_shards(p.sparse_a, 60, folder / "a");
  save_in_shards(p.sparse_b, 90, folder / "b");
  options.memory_bytes = 9000;
  EXPECT_TRUE(same(
      matches, correlate(ActivationShards(folder / "a"), ActivationShards(folder / "b"), options)));
  EXPECT_EQ(matches.row_count, std::count(mask.begin(), mask.end(), 1));
  EXPECT_EQ(matches.corpora, options.corpora);
  expect_dense(matches, p.a, 12, p.b, 15, mask);
}

TEST(Correlate, OnlyFeaturesAskedForHaveCorrelations) {
  const Planted p = planted(600, 12, 15, 4);
  const std::vector<uint8_t> of_a = {1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0};
  const std::vector<uint8_t> of_b = {1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 1};
  DenseRows a = p.a, b = p.b;  // without the others, which then are silent
  for (auto& row : a) {
    for (size_t j = 0; j < row.size(); ++j) row[j] *= static_cast<float>(of_a[j]);
  }
  for (auto& row : b) {
    for (size_t j = 0; j < row.size(); ++j) row[j] *= static_cast<float>(of_b[j]);
  }
  CorrelationOptions options;
  options.features_a = of_a;
  options.features_b = of_b;
  options.floor = 0.05;
  expect_dense(correlate(p.sparse_a, p.sparse_b, options), a, 12, b, 15);
}

TEST(Correlate, OfOneRowFindsNothing) {
  const FeatureActivations one = activations_from_dense({{0.5F, 0, 1}}, 3);
  EXPECT_TRUE(correlate(one, one).best_of_a.empty()) << "a constant has no correlation";
}

TEST(Correlate, FromOneFileWithLittleMemory) {
  const Planted p = planted(701, 37, 53, 2);
  const TemporaryFolder folder;
  save_feature_activations(p.sparse_a, folder / "a.safetensors");
  save_feature_activations(p.sparse_b, folder / "b.safetensors");
  CorrelationOptions options;
  options.memory_bytes = 1;
  EXPECT_TRUE(same(correlate(p.sparse_a, p.sparse_b),
                   correlate(ActivationShards(folder / "a.safetensors"),
                             ActivationShards(folder / "b.safetensors"), options)));
}

TEST(Correlate, IsExactForDenseFeaturesWithALargeMean) {
  Rng rng(9);
  DenseRows a(4000, {0, 0}), b(4000, {0});
  for (size_t row = 0; row < a.size(); ++row) {
    a[row] = {static_cast<float>(1000 + rng.normal()), static_cast<float>(rng.uniform() + 0.01)};
    b[row] = {static_cast<float>(0.01 * (a[row][0] - 1000) + 0.03 * a[row][1] + 5)};
  }
  CorrelationOptions options;
  options.floor = -1;
  expect_dense(correlate(activations_from_dense(a, 2), activations_from_dense(b, 1), options), a, 2,
               b, 1);
}

TEST(Correlate, OfAModelWithItselfIsOne) {
  const Planted p = planted(500, 20, 20, 5);
  const Matches matches = correlate(p.sparse_a, p.sparse_a);
  EXPECT_EQ(matches.best_of_a.size(), 18u);  // neither the constant nor the silent one
  for (const FeaturePair& best : matches.best_of_a) {
    EXPECT_EQ(best.feature_a, best.feature_b);
    EXPECT_EQ(best.correlation, 1.0f);
  }
}

TEST(Correlate, OfNoRowsOrNoActivityFindsNothing) {
  const FeatureActivations none = activations_from_dense({}, 3);
  const FeatureActivations silent = activations_from_dense(DenseRows(50, {0, 0, 0}), 3);
  for (const FeatureActivations* x : {&none, &silent}) {
    const Matches matches = correlate(*x, *x);
    EXPECT_TRUE(matches.pairs.empty() && matches.best_of_a.empty() && matches.best_of_b.empty());
  }
}

TEST(Correlate, RefusesOtherRows) {
  EXPECT_THROW(correlate(activations_from_dense(DenseRows(3, {1}), 1),
                         activations_from_dense(DenseRows(4, {1}), 1)),
               Error);
}

}  // namespace
}  // namespace featflow
