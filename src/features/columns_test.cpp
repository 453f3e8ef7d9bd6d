#include "features/columns.hpp"

#include <gmock/gmock.h>

#include <numeric>

#include "core/error.hpp"
#include "core/parallel.hpp"
#include "features/dense_activations.hpp"
#include "features/statistics.hpp"
#include "storage/temporary_folder.hpp"

namespace featflow {
namespace {

void expect_columns(const FeatureColumns& columns, const DenseRows& dense, RowMask mask,
                    const std::vector<int32_t>& order) {
  for (int64_t j = columns.first_feature; j < columns.end_feature(); ++j) {
    std::vector<int32_t> rows;
    std::vector<float> values;
    for (size_t row = 0; row < dense.size(); ++row) {
      const float value = dense[order.empty() ? row : order[row]][j];
      if (value == 0 || (!mask.empty() && !mask[row])) continue;
      rows.push_back(static_cast<int32_t>(row));
      values.push_back(value);
    }
    EXPECT_THAT(columns.column(j).rows, testing::ElementsAreArray(rows));
    EXPECT_THAT(columns.column(j).values, testing::ElementsAreArray(values));
  }
}

TEST(Transpose, HoldsEachFeaturesRows) {
  const DenseRows dense = random_dense(9001, 13, 0.1, 1);
  const FeatureActivations activations = activations_from_dense(dense, 13);
  std::vector<uint8_t> mask(9001);
  for (size_t row = 0; row < mask.size(); ++row) mask[row] = row % 3 == 0;
  std::vector<int32_t> order(9001);
  std::iota(order.begin(), order.end(), 0);
  Rng(5).shuffle(order);
  for (const int threads : {1, 3}) {
    set_thread_count(threads);
    expect_columns(transpose(activations.rows), dense, {}, {});
    expect_columns(transpose(activations.rows, {.first_feature = 4, .end_feature = 9}), dense, {},
                   {});
    expect_columns(transpose(activations.rows, {.mask = mask, .row_order = order}), dense, mask,
                   order);
  }
  set_thread_count(default_thread_count());
}

TEST(Transpose, OfNothingIsEmpty) {
  SparseRows rows;
  rows.feature_count = 3;
  const FeatureColumns columns = transpose(rows);
  EXPECT_EQ(columns.end_feature(), 3);
  EXPECT_TRUE(columns.column(2).rows.empty());
}

TEST(RowsOfCorpora, SelectsByName) {
  FeatureActivations activations = activations_from_dense(DenseRows(6, {1.0f}), 1);
  EXPECT_THROW(rows_of_corpora(activations, {"lua"}), Error);
  add_documents(activations, 2, {"lua", "stories", "python"});
  EXPECT_THAT(rows_of_corpora(activations, {"python", "lua"}),
              testing::ElementsAre(1, 1, 0, 0, 1, 1));
  EXPECT_THROW(rows_of_corpora(activations, {"rust"}), Error);
}

TEST(Columns, KeptFeaturesHaveTheColumnsThatTheyHadAmongAll) {
  const FeatureActivations activations = activations_from_dense(random_dense(500, 9, 0.3, 4), 9);
  const FeatureColumns all = transpose(activations.rows);
  const std::vector<int32_t> features = {1, 4, 8};
  const FeatureColumns kept = transpose(keep_features(activations.rows, features));
  ASSERT_EQ(kept.end_feature(), 3);
  EXPECT_EQ(kept.row_count, 500);
  for (size_t i = 0; i < features.size(); ++i) {
    const Column expected = all.column(features[i]), column = kept.column(static_cast<int64_t>(i));
    EXPECT_TRUE(std::ranges::equal(column.rows, expected.rows));
    EXPECT_TRUE(std::ranges::equal(column.values, expected.values));
  }
  EXPECT_EQ(keep_features(activations.rows, {}).active(), 0);
}

TEST(TransposeShards, IsTheTransposeOfTheWhole) {
  const int64_t n = 307, m = 11;
  DenseRows dense = random_dense(n, m, 0.3, 8);
  for (auto& row : dense) row[5] = 0;         // silent
  for (float& value : dense[100]) value = 1;  // all active
  const FeatureActivations activations = activations_from_dense(dense, m);
  std::vector<uint8_t> mask(n);
  for (int64_t row = 0; row < n; ++row) mask[row] = row % 3 != 0;
  const TemporaryFolder folder;
  for (const int64_t shard_rows : {100, 153, 307}) {  // 153: the last has one row
    save_in_shards(activations, shard_rows, folder / std::to_string(shard_rows));
    const ActivationShards shards(folder / std::to_string(shard_rows));
    EXPECT_EQ(shards.rows(), n);
    EXPECT_EQ(shards.active(), activations.rows.active());
    for (const RowMask rows : {RowMask(), RowMask(mask)}) {
      const FeatureStatistics statistics = feature_statistics(activations, rows);
      for (const auto& [first, end] : {std::pair(0, -1), std::pair(4, 9), std::pair(5, 6)}) {
        const TransposeOptions options = {.first_feature = first, .end_feature = end, .mask = rows};
        const FeatureColumns whole = transpose(activations.rows, options);
        const FeatureColumns parts = transpose(shards, statistics.active_tokens, options);
        EXPECT_EQ(parts.row_count, whole.row_count);
        EXPECT_EQ(parts.first_feature, whole.first_feature);
        EXPECT_EQ(parts.offsets, whole.offsets);
        EXPECT_EQ(parts.rows, whole.rows);
        EXPECT_EQ(parts.values, whole.values);
      }
    }
  }
}

}  // namespace
}  // namespace featflow
