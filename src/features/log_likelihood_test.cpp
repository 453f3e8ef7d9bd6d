#include "features/log_likelihood.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "features/case_study.hpp"
#include "features/dense_activations.hpp"

namespace featflow {
namespace {

using testing::ElementsAre;

std::string letters(int32_t id) { return id == 3 ? "" : std::string(id, 'a'); }

TEST(TokenSet, OfAPatternHoldsTokensWhoseWholeTextMatches) {
  const TokenSet set = token_set_of_pattern(6, letters, "a{2,4}");
  EXPECT_EQ(set.label, "/a{2,4}/");
  EXPECT_THAT(set.strings, ElementsAre(ElementsAre(2), ElementsAre(4)));
  EXPECT_THROW(token_set_of_pattern(6, letters, "a{2"), Error);
  EXPECT_THROW(token_set_of_pattern(6, letters, "b"), Error);
}

TEST(TokenSet, AWordOfSeveralTokensIsWhateverSpellsIt) {
  const std::vector<int32_t> stream = {1, 1, 2, 3, 4, 1, 3, 2, 2, 1};  // 3 has no bytes
  EXPECT_THAT(strings_that_spell("aaa", stream, letters),
              ElementsAre(ElementsAre(1, 2), ElementsAre(2, 1)));
  EXPECT_THAT(strings_that_spell("aaaa", stream, letters),
              ElementsAre(ElementsAre(1, 1, 2), ElementsAre(2, 2), ElementsAre(4)));
  EXPECT_TRUE(strings_that_spell("ab", stream, letters).empty());
}

TEST(TokenSet, StringsOfSeveralTokensAreCreditedAtTheLast) {
  const std::vector<int32_t> stream = {0, 1, 2, 0, 2, 1, 2, 1};
  const std::vector<int64_t> positions = {1, 2, 4, 5, 6, 7};  // the two 0s are no rows
  const TokenSetRows single = find_token_set({"s", {{2}}}, stream, positions);
  EXPECT_THAT(single.rows, ElementsAre(1, 2, 4));
  EXPECT_DOUBLE_EQ(single.probability, 0.5);
  const TokenSetRows several = find_token_set({"s", {{1, 2}, {2, 1}}}, stream, positions);
  EXPECT_THAT(several.rows, ElementsAre(1, 3, 4, 5));
  EXPECT_DOUBLE_EQ(several.probability, 2 * 0.5 * 0.5);
  // A string behind another is credited once.
  const TokenSetRows nested = find_token_set({"s", {{2}, {1, 2}}}, stream, positions);
  EXPECT_EQ(nested.rows, single.rows);
  EXPECT_DOUBLE_EQ(nested.probability, single.probability);
  EXPECT_TRUE(find_token_set({"s", {{9}}}, stream, positions).rows.empty());
  EXPECT_THROW(find_token_set({"s", {{9}}}, stream, std::vector<int64_t>{8}), Error);
}

struct Text {
  std::vector<int32_t> stream;
  std::vector<uint8_t> in_set;  // token 7
};

Text random_text(int64_t n, uint64_t seed) {
  Rng rng(seed);
  Text text;
  for (int64_t row = 0; row < n; ++row) {
    text.stream.push_back(static_cast<int32_t>(rng.below(12)));
    text.in_set.push_back(text.stream.back() == 7);
  }
  return text;
}

TEST(LogLikelihoodRatio, AgreesWithTheDefinition) {
  const int64_t n = 2000, m = 8;
  const Text text = random_text(n, 4);
  DenseRows dense = random_dense(n, m, 0.1, 5);
  for (int64_t row = 0; row < n; ++row) {
    dense[row][1] = text.in_set[row] ? 2.5f : 0.0f;  // S and nothing else
    if (text.in_set[row]) dense[row][2] = 0;         // never S
    dense[row][3] = 0;                               // dead
  }
  const FeatureActivations activations = activations_from_dense(dense, m);
  const FeatureStatistics statistics = feature_statistics(activations);
  const TokenSetRows rows = find_token_set({"7", {{7}}}, text.stream, activations.token_positions);
  const TokenSetScores scores = token_set_scores(activations, statistics, rows);

  double set_size = 0;
  DenseRows indicator;
  for (const uint8_t in_set : text.in_set) {
    set_size += in_set;
    indicator.push_back({static_cast<float>(in_set)});
  }
  const double p = set_size / n;
  EXPECT_DOUBLE_EQ(scores.probability, p);
  EXPECT_DOUBLE_EQ(scores.row_share, p);
  EXPECT_NEAR(scores.bound_bits, -std::log2(p), 1e-12);
  EXPECT_EQ(std::ssize(scores.features), m - 1);
  EXPECT_EQ(scores.find(3), nullptr);
  for (const TokenSetScore& score : scores.features) {
    double inside = 0, mass = 0, active = 0, active_inside = 0;
    for (int64_t row = 0; row < n; ++row) {
      const double f = dense[row][score.feature];
      mass += f;
      active += f > 0;
      inside += text.in_set[row] ? f : 0;
      active_inside += text.in_set[row] && f > 0;
    }
    if (score.feature == 2) {
      EXPECT_EQ(score.bits, -std::numeric_limits<double>::infinity());
      EXPECT_EQ(score.active_bits, -std::numeric_limits<double>::infinity());
      EXPECT_EQ(score.elsewhere, std::numeric_limits<double>::infinity());
      EXPECT_LT(score.correlation, 0);
      continue;
    }
    EXPECT_NEAR(score.share, inside / mass, 1e-12);
    EXPECT_NEAR(score.bits, std::log2(inside / mass / p), 1e-10);
    EXPECT_NEAR(score.nats, std::log(inside / mass / p), 1e-10);
    EXPECT_NEAR(score.active_bits, std::log2(active_inside / active / p), 1e-10);
    EXPECT_NEAR(score.elsewhere, (mass - inside) / inside, 1e-9);
    EXPECT_LE(score.bits, scores.bound_bits + 1e-12);
    EXPECT_NEAR(score.correlation, *dense_pearson(dense, score.feature, indicator, 0), 1e-10);
  }
  EXPECT_NEAR(scores.find(1)->bits, scores.bound_bits, 1e-12);
  EXPECT_EQ(best_feature(scores, statistics)->feature, 1);
  EXPECT_FALSE(best_feature(scores, statistics, {.min_tokens = n}).has_value());

  const TokenSetRows nowhere{{}, n, 0};
  EXPECT_TRUE(token_set_scores(activations, statistics, nowhere).features.empty());
}

TEST(LogLikelihoodRatio, BestFeatureCoversTheSet) {
  // Feature 0 has the higher ratio but fires on a tenth of S; feature 1 fires on all of it and a
  // little elsewhere.
  DenseRows dense(4000, {0, 0});
  std::vector<int32_t> stream(4000, 1);
  for (int64_t row = 0; row < 4000; row += 10) {
    stream[row] = 7;
    dense[row] = {row % 100 == 0 ? 1.0f : 0.0f, 1.0f};
    if (row % 50 == 0) dense[row + 1][1] = 0.5f;
  }
  const FeatureActivations activations = activations_from_dense(dense, 2);
  const FeatureStatistics statistics = feature_statistics(activations);
  const TokenSetScores scores = token_set_scores(
      activations, statistics, find_token_set({"7", {{7}}}, stream, activations.token_positions));
  EXPECT_GT(scores.find(0)->bits, scores.find(1)->bits);
  EXPECT_EQ(best_feature(scores, statistics)->feature, 1);
}

TEST(CaseStudy, FollowsAFeatureThroughTheFamily) {
  // base → tuned keeps the feature of token 7 (3 → 5), base → lost replaces it by a broader one.
  const int64_t n = 3000, m = 6;
  const Text text = random_text(n, 6);
  DenseRows base = random_dense(n, m, 0.05, 7);
  DenseRows tuned = random_dense(n, m, 0.05, 8);
  DenseRows lost = random_dense(n, m, 0.05, 9);
  Rng rng(10);
  for (int64_t row = 0; row < n; ++row) {
    const float strength = static_cast<float>(1 + 0.1 * rng.uniform());
    base[row][3] = text.in_set[row] ? strength : 0;
    tuned[row][5] = text.in_set[row] ? strength * 2 : 0;
    lost[row][2] = text.in_set[row] || text.stream[row] < 4 ? strength : 0;
  }
  const FeatureActivations a[] = {activations_from_dense(base, m), activations_from_dense(tuned, m),
                                  activations_from_dense(lost, m)};
  const FeatureStatistics s[] = {feature_statistics(a[0]), feature_statistics(a[1]),
                                 feature_statistics(a[2])};
  const std::vector<CaseStudyModel> models = {
      {"base", &a[0], &s[0]}, {"tuned", &a[1], &s[1]}, {"lost", &a[2], &s[2]}};
  const std::vector<std::pair<int, int>> edges = {{0, 1}, {0, 2}};
  const CaseStudy study = case_study({"7", {{7}}}, models, edges, text.stream);
  EXPECT_EQ(study.best[0]->feature, 3);
  EXPECT_EQ(study.best[1]->feature, 5);
  EXPECT_EQ(study.best[2]->feature, 2);
  ASSERT_EQ(study.correlations.size(), 3u);
  EXPECT_NEAR(study.correlations[0].correlation, 1, 1e-6);
  EXPECT_NEAR(study.correlations[1].correlation, *dense_pearson(base, 3, lost, 2), 1e-9);
  EXPECT_NEAR(study.correlations[2].correlation, *dense_pearson(tuned, 5, lost, 2), 1e-9);
  EXPECT_NEAR(*study.mean_correlation,
              (study.correlations[0].correlation + study.correlations[1].correlation +
               study.correlations[2].correlation) /
                  3,
              1e-12);
  EXPECT_TRUE(study.edges[0].persists);
  EXPECT_EQ(study.edges[0].strongest->feature, 5);
  EXPECT_NEAR(study.edges[0].strongest_correlation, 1, 1e-6);
  EXPECT_FALSE(study.edges[1].persists);
  EXPECT_EQ(study.edges[1].strongest->feature, 2);
  EXPECT_FALSE(study.persists);
  const auto json = nlohmann::json::parse(case_studies_json({&study, 1}))[0];
  EXPECT_EQ(json["models"][1]["feature"], 5);
  EXPECT_EQ(json["edges"][1]["persists"], false);
  EXPECT_DOUBLE_EQ(json["edges"][1]["strongest"]["llr_bits"], study.edges[1].strongest->bits);
  EXPECT_EQ(study.occurrences, std::count(text.in_set.begin(), text.in_set.end(), 1));
}

}  // namespace
}  // namespace featflow
