#include "features/retained_features.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.hpp"
#include "features/dense_activations.hpp"

namespace featflow {
namespace {

// Rows [first, end) alone, as a stream hands them out.
SparseRows rows_between(const DenseRows& dense, size_t first, size_t end, int64_t feature_count) {
  return activations_from_dense({dense.begin() + static_cast<std::ptrdiff_t>(first),
                                 dense.begin() + static_cast<std::ptrdiff_t>(end)},
                                feature_count)
      .rows;
}

// The parent's values with noise that grows with the feature's number.
DenseRows noisy_copy(const DenseRows& parent, uint64_t seed) {
  Rng rng(seed);
  DenseRows other = parent;
  for (std::vector<float>& row : other) {
    for (size_t j = 0; j < row.size(); ++j) {
      const double noise = 0.05 * static_cast<double>(j) * rng.normal();
      row[j] = std::max(0.0F, row[j] + static_cast<float>(row[j] > 0 || j % 3 == 0 ? noise : 0));
    }
  }
  return other;
}

TEST(RetainedFeatures, CorrelationsAgreeWithDense) {
  constexpr size_t kRows = 900, kFeatures = 12;
  const DenseRows parent = random_dense(kRows, kFeatures, 0.25, 3), other = noisy_copy(parent, 4);
  const FeatureActivations own = activations_from_dense(parent, kFeatures);
  std::vector<uint8_t> mask(kRows);
  for (size_t row = 0; row < kRows; ++row) mask[row] = row % 7 < 3;
  RetainedSums all(own), some(own, mask);
  // Batches of uneven size, an empty one among them.
  size_t first = 0;
  for (const size_t size : {1, 300, 0, 255, 344}) {
    const SparseRows batch = rows_between(other, first, first + size, kFeatures);
    all.add(batch);
    some.add(batch);
    first += size;
  }
  const std::vector<double> r = all.correlations(), masked = some.correlations();
  for (size_t j = 0; j < kFeatures; ++j) {
    EXPECT_NEAR(r[j], *dense_pearson(parent, j, other, j), 1e-12) << j;
    EXPECT_NEAR(masked[j], *dense_pearson(parent, j, other, j, mask), 1e-12) << j;
  }
  EXPECT_GT(r.front(), 0.99);
  EXPECT_LT(r.back(), 0.9);
}

TEST(RetainedFeatures, CountsMeasurableFeaturesOfTheParent) {
  // Feature 0 as it was, scaled; 1 elsewhere; 2 silent in the other model; 3 too rare; 4 never.
  DenseRows parent(200, std::vector<float>(5)), other = parent;
  for (size_t row = 0; row < 200; ++row) {
    if (row % 4 == 0) parent[row][0] = static_cast<float>(1 + row % 3);
    other[row][0] = 3 * parent[row][0];
    if (row % 5 == 0) parent[row][1] = 1;
    if (row % 5 == 1) other[row][1] = 1;
    if (row % 6 == 0) parent[row][2] = 1;
  }
  parent[7][3] = other[7][3] = 1;
  const FeatureActivations own = activations_from_dense(parent, 5);
  RetainedSums sums(own);
  sums.add(activations_from_dense(other, 5).rows);
  const RetainedCount count = count_retained(sums, 0.8, {30, 10});
  EXPECT_EQ(count.measurable, 3);
  EXPECT_EQ(count.retained, 1);
  EXPECT_NEAR(count.share(), 1.0 / 3, 1e-12);
  // 1, −(1/5)² / (1/5 · 4/5) = −1/4, and nothing.
  EXPECT_NEAR(count.mean_correlation, (1 - 0.25) / 3, 1e-12);
  EXPECT_TRUE(std::isnan(sums.correlations()[2]));
  EXPECT_EQ(count_retained(sums, 0.8, {1, 1}).retained, 2);
  EXPECT_EQ(count_retained(sums, 0.8, {1000, 1}).share(), 0);
}

TEST(RetainedFeatures, RefusesOtherRows) {
  const DenseRows dense = random_dense(20, 3, 0.5, 1);
  const FeatureActivations own = activations_from_dense(dense, 3);
  RetainedSums sums(own);
  sums.add(rows_between(dense, 0, 19, 3));
  EXPECT_THROW(sums.correlations(), InternalError);
  EXPECT_THROW(sums.add(rows_between(dense, 0, 2, 3)), InternalError);
  EXPECT_THROW(sums.add(activations_from_dense({{1}}, 1).rows), InternalError);
  sums.add(rows_between(dense, 19, 20, 3));
  EXPECT_NEAR(sums.correlations()[0], 1, 1e-12);
}

}  // namespace
}  // namespace featflow
