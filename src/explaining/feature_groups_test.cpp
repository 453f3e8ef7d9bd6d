#include "explaining/feature_groups.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "features/dense_activations.hpp"

namespace featflow {
namespace {

/// Six rows of a program, two of prose, and features that stand for the four groups.
TEST(FeatureGroups, FollowTheActivation) {
  const std::vector<std::string> vocabulary = {"x", "=", "(", ")", "\n", " tree"};
  TokenShard text;
  text.vocab_size = std::ssize(vocabulary);
  text.tokens = {0, 1, 2, 3, 4, 0, 5, 5};
  text.document_starts = {0, 6};
  std::vector<int64_t> positions = {0, 1, 2, 3, 4, 5, 6, 7};
  const TextAttributes attributes = text_attributes(
      text, positions, [&](int32_t id) { return vocabulary[static_cast<size_t>(id)]; }, 24);
  const DenseRows dense = {{0, 0, 1, 0, 0}, {0, 0, 2, 0, 0}, {2, 0, 0, 0, 0}, {1, 1, 0, 0, 0},
                           {0, 3, 0, 0, 0}, {1, 0, 0, 1, 0}, {1, 0, 0, 1, 0}, {0, 0, 0, 1, 0}};
  const std::vector<FeatureGroup> groups =
      feature_groups(transpose(activations_from_dense(dense, 5).rows), attributes);
  // The fourth has 1 of its 3 in the program, whose rows are 6 of 8. The last is silent.
  EXPECT_THAT(groups, ::testing::ElementsAre(FeatureGroup::kPunctuation, FeatureGroup::kFormatting,
                                             FeatureGroup::kCode, FeatureGroup::kLanguage,
                                             FeatureGroup::kLanguage));
  // Without the prose nothing is left that code could be told from.
  TokenShard program = text;
  program.tokens.resize(6);
  program.document_starts = {0};
  positions.resize(6);
  const TextAttributes of_code = text_attributes(
      program, positions, [&](int32_t id) { return vocabulary[static_cast<size_t>(id)]; }, 24);
  const DenseRows code_rows(dense.begin(), dense.begin() + 6);
  EXPECT_THAT(
      feature_groups(transpose(activations_from_dense(code_rows, 5).rows), of_code),
      ::testing::ElementsAre(FeatureGroup::kPunctuation, FeatureGroup::kFormatting,
                             FeatureGroup::kCode, FeatureGroup::kCode, FeatureGroup::kLanguage));
  EXPECT_THAT(group_shares(groups, {0, 1, 2, 4}), ::testing::ElementsAre(0.25, 0.25, 0.25, 0.25));
  EXPECT_THAT(group_shares(groups, {}), ::testing::ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(group_shares_by_mass(groups, std::vector<double>{5, 4, 3, 3, 0}),
              ::testing::ElementsAre(5.0 / 15, 4.0 / 15, 3.0 / 15, 3.0 / 15));
}

}  // namespace
}  // namespace featflow
