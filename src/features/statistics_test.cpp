#include "features/statistics.hpp"

#include <gmock/gmock.h>

#include <set>

#include "features/dense_activations.hpp"
#include "storage/temporary_folder.hpp"

namespace featflow {
namespace {

TEST(FeatureStatistics, AgreeWithDenseSums) {
  const int64_t n = 1003, m = 9;
  DenseRows dense = random_dense(n, m, 0.05, 2);
  for (auto& row : dense) row[4] = 0;  // never active
  FeatureActivations activations = activations_from_dense(dense, m);
  add_documents(activations, 10, {"x", "y"});
  std::vector<uint8_t> odd(n);
  for (int64_t row = 0; row < n; ++row) odd[row] = row % 2;

  for (const std::vector<uint8_t>& mask : {std::vector<uint8_t>(), odd}) {
    const FeatureStatistics statistics = feature_statistics(activations, mask);
    for (int64_t j = 0; j < m; ++j) {
      int64_t rows = 0, active = 0;
      std::set<int32_t> documents;
      double mass = 0, squares = 0, corpus_mass[2] = {0, 0};
      float maximum = 0, minimum = 0;
      for (int64_t row = 0; row < n; ++row) {
        if (!mask.empty() && !mask[row]) continue;
        ++rows;
        const float f = dense[row][j];
        if (f == 0) continue;
        minimum = active++ == 0 ? f : std::min(minimum, f);
        maximum = std::max(maximum, f);
        mass += f;
        squares += static_cast<double>(f) * f;
        documents.insert(activations.documents[row]);
        corpus_mass[activations.corpora[row]] += f;
      }
      EXPECT_EQ(statistics.row_count, rows);
      EXPECT_EQ(statistics.active_tokens[j], active);
      EXPECT_EQ(statistics.active_documents[j], std::ssize(documents));
      EXPECT_EQ(statistics.minimum[j], minimum);
      EXPECT_EQ(statistics.maximum[j], maximum);
      EXPECT_NEAR(statistics.mass[j], mass, 1e-12 * (1 + mass));
      EXPECT_NEAR(statistics.sum_of_squares[j], squares, 1e-12 * (1 + squares));
      EXPECT_NEAR(statistics.corpus_mass[j], corpus_mass[0], 1e-12 * (1 + mass));
      EXPECT_NEAR(statistics.corpus_mass[m + j], corpus_mass[1], 1e-12 * (1 + mass));
      EXPECT_EQ(statistics.corpus_active[j] + statistics.corpus_active[m + j], active);
      EXPECT_NEAR(statistics.density(j), static_cast<double>(active) / rows, 1e-15);
      EXPECT_NEAR(statistics.mean_active(j), active ? mass / active : 0, 1e-12);
    }
    EXPECT_EQ(statistics.corpus_rows[0] + statistics.corpus_rows[1], statistics.row_count);
  }
}

TEST(FeatureStatistics, OfShardsAreTheSameBits) {
  const int64_t n = 503, m = 9;
  FeatureActivations activations = activations_from_dense(random_dense(n, m, 0.2, 3), m);
  add_documents(activations, 10, {"x", "y"});  // documents go on from shard to shard
  std::vector<uint8_t> odd(n);
  for (int64_t row = 0; row < n; ++row) odd[row] = row % 2;
  const TemporaryFolder folder;
  for (const int64_t shard_rows : {64, 251, 503}) {  // 251: the last has one row
    save_in_shards(activations, shard_rows, folder / std::to_string(shard_rows));
    const ActivationShards shards(folder / std::to_string(shard_rows));
    for (const std::vector<uint8_t>& mask : {std::vector<uint8_t>(), odd}) {
      const FeatureStatistics whole = feature_statistics(activations, mask);
      const FeatureStatistics parts = feature_statistics(shards, mask);
      EXPECT_EQ(parts.row_count, whole.row_count);
      EXPECT_EQ(parts.active_tokens, whole.active_tokens);
      EXPECT_EQ(parts.active_documents, whole.active_documents);
      EXPECT_EQ(parts.mass, whole.mass);
      EXPECT_EQ(parts.sum_of_squares, whole.sum_of_squares);
      EXPECT_EQ(parts.minimum, whole.minimum);
      EXPECT_EQ(parts.maximum, whole.maximum);
      EXPECT_EQ(parts.corpus_names, whole.corpus_names);
      EXPECT_EQ(parts.corpus_rows, whole.corpus_rows);
      EXPECT_EQ(parts.corpus_active, whole.corpus_active);
      EXPECT_EQ(parts.corpus_mass, whole.corpus_mass);
    }
  }
}

TEST(Measurable, NeedsTokensAndDocuments) {
  EXPECT_THAT(measurable({29, 30, 30, 0}, {10, 9, 10, 0}), testing::ElementsAre(0, 0, 1, 0));
  EXPECT_THAT(measurable({29, 30, 0}, {}), testing::ElementsAre(0, 1, 0));
  EXPECT_THAT(measurable({1, 0}, {1, 0}, {0, 0}), testing::ElementsAre(1, 0));
}

}  // namespace
}  // namespace featflow
