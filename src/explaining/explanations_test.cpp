#include "explaining/explanations.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "features/dense_activations.hpp"

namespace featflow {
namespace {

RuleExplanation scored(std::optional<double> score, std::optional<double> token_score) {
  RuleExplanation explanation;
  explanation.score = score;
  explanation.token_score = token_score;
  return explanation;
}

TEST(ExplanationSummary, MediansSharesAndWhatWasSkipped) {
  const RuleExplanations found = {scored(0.9, 0.6), std::nullopt,    scored(0.5, 0.5),
                                  std::nullopt,     scored({}, 0.4), scored(0.2, {})};
  const ExplanationSummary summary = summarize(found, {100, 5, 100, 0, 100, 100});
  EXPECT_EQ(summary.explained, 4);
  EXPECT_EQ(summary.skipped, 1);  // the other is never active
  EXPECT_DOUBLE_EQ(summary.median_score, (0.2 + 0.5) / 2);
  EXPECT_DOUBLE_EQ(summary.median_token_score, (0.4 + 0.5) / 2);
  EXPECT_DOUBLE_EQ(summary.median_ratio, 1);  // of 1.5, 1 and 0
  EXPECT_DOUBLE_EQ(summary.share_at_half, 0.5);
}

TEST(ExplanationSummary, OfNothingIsUnknown) {
  const ExplanationSummary summary = summarize({std::nullopt}, {3});
  EXPECT_EQ(summary.explained, 0);
  EXPECT_TRUE(std::isnan(summary.median_score));
  EXPECT_TRUE(std::isnan(summary.share_at_half));
}

TEST(ShuffledRows, StayInTheirHalf) {
  std::vector<uint8_t> halves;
  for (int row = 0; row < 1000; ++row) halves.push_back(static_cast<uint8_t>(row / 7 % 2));
  const std::vector<int32_t> order = shuffled_rows(halves, 1);
  std::vector<int32_t> sorted = order;
  std::ranges::sort(sorted);
  int moved = 0;
  for (int32_t row = 0; row < 1000; ++row) {
    EXPECT_EQ(sorted[static_cast<size_t>(row)], row);
    EXPECT_EQ(halves[static_cast<size_t>(order[static_cast<size_t>(row)])],
              halves[static_cast<size_t>(row)]);
    moved += order[static_cast<size_t>(row)] != row;
  }
  EXPECT_GT(moved, 950);
  EXPECT_EQ(order, shuffled_rows(halves, 1));
  EXPECT_NE(order, shuffled_rows(halves, 2));
}

// From activations to the file: two planted features, one with too few tokens, one silent.
TEST(Explanations, OfAWholeDictionary) {
  const std::vector<std::string> vocabulary = {"", "=", " x", "\n"};
  TokenShard text;
  text.vocab_size = 4;
  std::vector<int64_t> positions;
  DenseRows dense;
  Rng rng(3, "text");
  for (int document = 0; document < 20; ++document) {
    text.document_starts.push_back(text.size());
    for (int i = 0; i < 50; ++i) {
      const auto token = static_cast<int32_t>(1 + rng.below(3));
      positions.push_back(text.size());
      text.tokens.push_back(token);
      dense.push_back({token == 1 ? 1.0F : 0.0F, token == 3 ? 2.0F : 0.0F,
                       document == 0 && i == 0 ? 1.0F : 0.0F, 0.0F});
    }
  }
  FeatureActivations activations = activations_from_dense(dense, 4);
  add_documents(activations, 50, {"lua", "stories"});
  const FeatureStatistics statistics = feature_statistics(activations);
  const auto token_text = [&](int32_t id) { return vocabulary[static_cast<size_t>(id)]; };
  const TextAttributes attributes = text_attributes(text, positions, token_text, 24);
  const std::vector<uint8_t> halves = document_halves(activations.documents, text);
  const RuleSearch search(attributes, halves);
  ModelExplanations out;
  out.model = "Lua";
  // Room for one feature at a time.
  explain_features(activations, statistics, attributes, search, 1, out);
  out.references.emplace_back("shuffled features", ExplanationSummary{});
  out.path_groups.emplace_back("a <b>: persisting", GroupShares{0.5, 0.5, 0, 0});

  const auto json = nlohmann::json::parse(explanations_json(out, attributes, token_text));
  EXPECT_EQ(json.at("summary").at("explained"), 2);
  EXPECT_EQ(json.at("summary").at("skipped"), 1);
  EXPECT_NEAR(json.at("summary").at("median_score").get<double>(), 1, 1e-4);
  ASSERT_EQ(json.at("features").size(), 2);
  EXPECT_EQ(json.at("features")[0].at("text"), "`=`");
  EXPECT_EQ(json.at("features")[0].at("rule").at("groups")[0].at("token"), 1);
  EXPECT_THAT(json.at("features")[1].at("text"), ::testing::AnyOf("`\\n`", "a line break"));
  EXPECT_EQ(json.at("features")[1].at("group"), "formatting");
  EXPECT_EQ(json.at("path_groups").at("a <b>: persisting").at("formatting"), 0.5);
}

}  // namespace
}  // namespace featflow
