#include "features/example_text.hpp"

#include <gmock/gmock.h>

#include <algorithm>

#include "features/dense_activations.hpp"

namespace featflow {
namespace {

TEST(ExampleText, WindowsEndWithTheirDocument) {
  TokenShard text{{}, {0, 6, 20}, 50};
  for (int32_t i = 0; i < 30; ++i) text.tokens.push_back(i);
  for (int64_t position = 0; position < 30; ++position) {
    const TextWindow window = window_around(text, position, 4, 2);
    const int64_t begin = position < 6 ? 0 : position < 20 ? 6 : 20;
    const int64_t end = position < 6 ? 6 : position < 20 ? 20 : 30;
    EXPECT_EQ(window.begin, std::max(begin, position - 4));
    EXPECT_EQ(window.end, std::min(end, position + 3));
    EXPECT_EQ(window.peak, position);
    EXPECT_EQ(tokens_in(text, window).front(), window.begin);
    EXPECT_EQ(std::ssize(tokens_in(text, window)), window.end - window.begin);
  }
}

// Rows leave out every fifth token, as they leave out the first of a document.
TEST(ExampleText, ActivationsAreThoseOfTheWindowsTokens) {
  const int64_t n = 300;
  const DenseRows dense = random_dense(n, 3, 0.4, 1);
  const FeatureColumns columns = transpose(activations_from_dense(dense, 3).rows);
  std::vector<int64_t> positions;
  for (int64_t row = 0; row < n; ++row) positions.push_back(row + row / 4 + 1);
  Rng rng(2);
  for (int trial = 0; trial < 200; ++trial) {
    const auto begin = static_cast<int64_t>(rng.below(380));
    const TextWindow window{begin, begin + static_cast<int64_t>(rng.below(20)), begin};
    const auto feature = static_cast<int64_t>(rng.below(3));
    std::vector<std::pair<int64_t, float>> expected;
    for (int64_t row = 0; row < n; ++row) {
      const float value = dense[row][feature];
      if (value == 0 || positions[row] < window.begin || positions[row] >= window.end) continue;
      expected.emplace_back(positions[row] - window.begin, value);
    }
    EXPECT_EQ(activations_in(columns.column(feature), positions, window), expected);
  }
}

TEST(ExampleText, LevelsAreNeverOff) {
  EXPECT_EQ(activation_level(2, 2), 255);
  EXPECT_EQ(activation_level(1, 2), 128);
  EXPECT_EQ(activation_level(1e-6f, 2), 1);
}

}  // namespace
}  // namespace featflow
