#include "features/pearson.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.hpp"
#include "features/dense_activations.hpp"

namespace featflow {
namespace {

TEST(PairCorrelations, AgreeWithDense) {
  const DenseRows a = random_dense(1500, 5, 0.2, 11), b = random_dense(1500, 7, 0.2, 12);
  const FeatureActivations sparse_a = activations_from_dense(a, 5);
  const FeatureActivations sparse_b = activations_from_dense(b, 7);
  std::vector<uint8_t> mask(1500);
  for (size_t row = 0; row < mask.size(); ++row) mask[row] = row % 5 < 2;
  std::vector<FeaturePair> pairs;
  for (int32_t i = 0; i < 5; ++i) {
    for (int32_t j = 0; j < 7; ++j) pairs.push_back({i, j, 0});
  }
  const std::vector<double> all = pair_correlations(sparse_a, sparse_b, pairs);
  const std::vector<double> masked = pair_correlations(sparse_a, sparse_b, pairs, mask);
  for (size_t i = 0; i < pairs.size(); ++i) {
    EXPECT_NEAR(all[i], *dense_pearson(a, pairs[i].feature_a, b, pairs[i].feature_b), 1e-12);
    EXPECT_NEAR(masked[i], *dense_pearson(a, pairs[i].feature_a, b, pairs[i].feature_b, mask),
                1e-12);
  }
}

TEST(PairCorrelations, AreUndefinedWithoutVariance) {
  DenseRows dense(100, {0, 0.1f, 0.7f, 0});
  for (int row = 0; row < 50; ++row) dense[row][3] = 1;
  dense[0][2] = std::nextafter(0.7f, 1.0f);  // constant but for rounding
  const FeatureActivations activations = activations_from_dense(dense, 4);
  const std::vector<FeaturePair> pairs = {{0, 3, 0}, {1, 3, 0}, {2, 3, 0}, {3, 3, 0}};
  const std::vector<double> r = pair_correlations(activations, activations, pairs);
  EXPECT_TRUE(std::isnan(r[0]));
  EXPECT_TRUE(std::isnan(r[1]));
  EXPECT_TRUE(std::isnan(r[2]));
  EXPECT_DOUBLE_EQ(r[3], 1);
}

TEST(PackedRows, HoldTheEntriesOfARangeOfFeaturesInsideTheMask) {
  const int64_t n = 90, m = 13, first = 3, end = 10;
  DenseRows dense = random_dense(n, m, 0.3, 21);
  for (float& value : dense[40]) value = 2;  // all active
  std::vector<uint8_t> mask(n, 1);
  for (int64_t row = 0; row < n; row += 4) mask[row] = 0;
  const FeatureStatistics statistics = feature_statistics(activations_from_dense(dense, m), mask);
  int64_t active = 0;
  for (int64_t j = first; j < end; ++j) active += statistics.active_tokens[j];

  PackedRows packed(first, end, n, active);
  const int64_t cut = 37;
  packed.append(activations_from_dense({dense.begin(), dense.begin() + cut}, m).rows,
                RowMask(mask).first(cut));
  packed.append(activations_from_dense({dense.begin() + cut, dense.end()}, m).rows,
                RowMask(mask).subspan(cut));
  EXPECT_EQ(packed.feature_count(), end - first);
  const int64_t* offsets = packed.offsets();
  EXPECT_EQ(offsets[n], active);
  for (int64_t row = 0; row < n; ++row) {
    std::vector<float> values(end - first, 0);
    for (int64_t e = offsets[row]; e < offsets[row + 1]; ++e) {
      values[packed.entries()[e].feature] = packed.entries()[e].value;
    }
    for (int64_t j = first; j < end; ++j) {
      EXPECT_EQ(values[j - first], mask[row] ? dense[row][j] : 0) << row << ", " << j;
    }
  }
}

TEST(RequireSameRows, NamesBothTexts) {
  FeatureActivations a = activations_from_dense(DenseRows(3, {1}), 1);
  FeatureActivations b = activations_from_dense(DenseRows(4, {1}), 1);
  b.corpus = "other text";
  try {
    require_same_rows(a, b);
    FAIL();
  } catch (const Error& error) {
    const std::string message = error.what();
    for (const char* part : {"3 rows", "4 rows", "'text'", "'other text'"}) {
      EXPECT_NE(message.find(part), std::string::npos) << message;
    }
  }
}

}  // namespace
}  // namespace featflow
