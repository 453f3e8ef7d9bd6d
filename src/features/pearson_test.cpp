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
