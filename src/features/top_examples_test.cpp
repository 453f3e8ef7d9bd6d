#include "features/top_examples.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "features/dense_activations.hpp"

namespace featflow {
namespace {

using testing::ElementsAre;

TEST(TopExamples, PreferDistinctDocumentsThenStrength) {
  // Documents 0 0 0 1 1 2; the row of equal strength that comes first wins.
  const FeatureActivations activations =
      activations_from_dense({{5.f}, {4.f}, {5.f}, {1.f}, {0.f}, {2.f}}, 1);
  const std::vector<int32_t> documents = {0, 0, 0, 1, 1, 2};
  const FeatureColumns columns = transpose(activations.rows);
  EXPECT_THAT(feature_examples(columns, documents, {.top = 2})[0].top,
              ElementsAre(Example{0, 5}, Example{5, 2}));
  EXPECT_THAT(feature_examples(columns, documents, {.top = 4})[0].top,
              ElementsAre(Example{0, 5}, Example{2, 5}, Example{5, 2}, Example{3, 1}));
  EXPECT_THAT(feature_examples(columns, {}, {.top = 3})[0].top,
              ElementsAre(Example{0, 5}, Example{2, 5}, Example{1, 4}));
  EXPECT_EQ(feature_examples(columns, documents, {.top = 50})[0].top.size(), 5u);
}

TEST(TopExamples, IntervalsShareTheRowsAndHistogramCountsThem) {
  const int64_t n = 4000, m = 6;
  const DenseRows dense = random_dense(n, m, 0.2, 3);
  FeatureActivations activations = activations_from_dense(dense, m + 1);  // the last is silent
  add_documents(activations, 20, {"x"});
  const ExampleOptions options{.top = 10, .intervals = 4, .per_interval = 3, .histogram_bins = 7};
  const auto examples =
      feature_examples(transpose(activations.rows), activations.documents, options);
  for (int64_t j = 0; j < m; ++j) {
    std::vector<float> values;
    for (int64_t row = 0; row < n; ++row) {
      if (dense[row][j] > 0) values.push_back(dense[row][j]);
    }
    std::sort(values.begin(), values.end(), std::greater<>());
    std::set<int32_t> rows;
    for (const Example& example : examples[j].top) {
      EXPECT_EQ(dense[example.row][j], example.value);
      rows.insert(example.row);
    }
    EXPECT_EQ(examples[j].top.front().value, values.front());
    for (int64_t i = 0; i < 4; ++i) {
      ASSERT_EQ(examples[j].intervals[i].size(), 3u);
      for (const Example& example : examples[j].intervals[i]) {
        EXPECT_EQ(dense[example.row][j], example.value);
        EXPECT_LE(example.value, values[values.size() * i / 4]);
        EXPECT_GE(example.value, values[values.size() * (i + 1) / 4 - 1]);
        EXPECT_TRUE(rows.insert(example.row).second) << "shown twice";
      }
    }
    std::vector<int64_t> histogram(7, 0);
    for (const float value : values) {
      for (int64_t bin = 0; bin < 7; ++bin) {
        const double share = static_cast<double>(value) / values.front();
        if (share * 7 > bin && share * 7 <= bin + 1) ++histogram[bin];
      }
    }
    EXPECT_EQ(examples[j].histogram, histogram);
  }
  EXPECT_TRUE(examples[m].top.empty());
  EXPECT_THAT(examples[m].histogram, testing::Each(0));
}

}  // namespace
}  // namespace featflow
