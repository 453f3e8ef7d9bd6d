#include "checkpoint/document_scores.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.hpp"
#include "core/rng.hpp"

namespace featflow {
namespace {

using testing::ElementsAre;

TEST(DocumentScores, AveragesOverPositionsNotDocuments) {
  const DocumentScores scores = {
      .predicted = {1, 3, 0}, .correct = {1, 0, 0}, .loss = {0.5, 7.5, 0}};
  EXPECT_EQ(scores.total_predicted(), 4);
  EXPECT_DOUBLE_EQ(scores.accuracy(), 0.25);
  EXPECT_DOUBLE_EQ(scores.mean_loss(), 2.0);
  EXPECT_DOUBLE_EQ(scores.perplexity(), std::exp(2.0));
}

TEST(DocumentScores, NothingPredictedIsNotANumber) {
  const DocumentScores scores;
  EXPECT_TRUE(std::isnan(scores.accuracy()));
  EXPECT_TRUE(std::isnan(scores.mean_loss()));
  EXPECT_TRUE(std::isnan(scores.perplexity()));
}

TEST(DocumentScores, HalvesAreEvenAndOddDocuments) {
  const DocumentScores scores = {
      .predicted = {1, 2, 3, 4, 5}, .correct = {0, 1, 2, 3, 4}, .loss = {.1, .2, .3, .4, .5}};
  EXPECT_THAT(scores.half(0).predicted, ElementsAre(1, 3, 5));
  EXPECT_THAT(scores.half(0).correct, ElementsAre(0, 2, 4));
  EXPECT_THAT(scores.half(1).predicted, ElementsAre(2, 4));
  EXPECT_THAT(scores.half(1).loss, ElementsAre(.2, .4));
  EXPECT_THROW(scores.half(2), InternalError);
}

TEST(DocumentScores, HalvesAddUpOnRandomScores) {
  Rng rng(3);
  DocumentScores scores;
  for (int i = 0; i < 1001; ++i) {
    scores.predicted.push_back(static_cast<int64_t>(rng.below(int64_t{1} << 40)));
    scores.correct.push_back(static_cast<int64_t>(rng.below(100)));
    scores.loss.push_back(rng.uniform());
  }
  const DocumentScores even = scores.half(0), odd = scores.half(1);
  EXPECT_EQ(even.total_predicted() + odd.total_predicted(), scores.total_predicted());
  EXPECT_GT(scores.total_predicted(), int64_t{1} << 41);  // 64-bit counts
  DocumentScores joined = even;
  joined.append(odd);
  EXPECT_EQ(joined.total_predicted(), scores.total_predicted());
  EXPECT_DOUBLE_EQ(joined.accuracy(), scores.accuracy());
  const double total = even.mean_loss() * static_cast<double>(even.total_predicted()) +
                       odd.mean_loss() * static_cast<double>(odd.total_predicted());
  EXPECT_NEAR(total, scores.mean_loss() * static_cast<double>(scores.total_predicted()), 1e-9);
}

}  // namespace
}  // namespace featflow
