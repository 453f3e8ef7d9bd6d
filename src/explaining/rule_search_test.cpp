#include "explaining/rule_search.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>

#include "core/parallel.hpp"
#include "core/rng.hpp"
#include "features/dense_activations.hpp"

namespace featflow {
namespace {

const std::vector<std::string> kVocabulary = {"",  "\n", "  ",   " x",   "y",     " =", "=",
                                              "(", ")",  " if",  " if_", "7",     "#",  "\"",
                                              ".", ",",  " Foo", "end",  " self", "["};

std::string bytes_of(int32_t id) { return kVocabulary[static_cast<size_t>(id)]; }
int32_t id_of(std::string_view token) {
  return static_cast<int32_t>(std::ranges::find(kVocabulary, token) - kVocabulary.begin());
}

/// Documents of random tokens behind BOS, and rows for all but the BOS.
struct RandomText {
  TokenShard text;
  std::vector<int64_t> positions;
  std::vector<int32_t> documents;

  explicit RandomText(int64_t document_count, int64_t length = 60) {
    Rng rng(7, "text");
    text.vocab_size = std::ssize(kVocabulary);
    for (int64_t d = 0; d < document_count; ++d) {
      text.document_starts.push_back(text.size());
      text.tokens.push_back(0);
      for (int64_t i = 1; i < length; ++i) {
        positions.push_back(text.size());
        documents.push_back(static_cast<int32_t>(d));
        // The last token of the vocabulary is in odd documents only: unseen when rules are fitted.
        const uint64_t known = kVocabulary.size() - (d % 2 == 0 ? 2 : 1);
        text.tokens.push_back(static_cast<int32_t>(1 + rng.below(known)));
      }
    }
  }
  TextAttributes attributes() const { return text_attributes(text, positions, bytes_of, 24); }
};

using Dense = std::vector<double>;  // [n]

double two_pass_pearson(const Dense& x, const Dense& y) {
  const auto n = static_cast<double>(x.size());
  const double mx = std::accumulate(x.begin(), x.end(), 0.0) / n;
  const double my = std::accumulate(y.begin(), y.end(), 0.0) / n;
  double xy = 0, xx = 0, yy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - mx) * (y[i] - my);
    xx += (x[i] - mx) * (x[i] - mx);
    yy += (y[i] - my) * (y[i] - my);
  }
  return xy / std::sqrt(xx * yy);
}

/// Quadratic: 1 + (smaller) + (equal − 1) / 2.
Dense middle_ranks(const Dense& x) {
  Dense ranks;
  for (const double a : x) {
    double smaller = 0, equal = 0;
    for (const double b : x) {
      smaller += b < a ? 1 : 0;
      equal += b == a ? 1 : 0;
    }
    ranks.push_back(smaller + (equal + 1) / 2);
  }
  return ranks;
}

/// One feature, given by its activation on every row.
FeatureColumns columns_of(const Dense& activation) {
  FeatureColumns columns;
  columns.row_count = std::ssize(activation);
  for (size_t r = 0; r < activation.size(); ++r) {
    if (activation[r] == 0) continue;
    columns.rows.push_back(static_cast<int32_t>(r));
    columns.values.push_back(static_cast<float>(activation[r]));
  }
  columns.offsets.push_back(std::ssize(columns.rows));
  return columns;
}

TEST(DocumentHalves, ADocumentThatStandsTwiceIsOfOneHalf) {
  TokenShard text;
  text.tokens = {1, 5, 1, 6, 1, 7, 1, 5, 1, 6, 6};
  text.document_starts = {0, 2, 4, 6, 8};
  const std::vector<int32_t> documents = {0, 1, 2, 3, 3, 4};
  EXPECT_THAT(document_halves(documents, text), ::testing::ElementsAre(0, 1, 0, 0, 0, 0));
}

class PlantedRule : public ::testing::Test {
 protected:
  RandomText text_{120};
  TextAttributes attributes_ = text_.attributes();
  std::vector<uint8_t> halves_ = document_halves(text_.documents, text_.text);
  RuleSearch search_{attributes_, halves_};

  std::optional<RuleExplanation> explain(const Dense& activation) const {
    return search_.explain_all(columns_of(activation))[0];
  }
  Dense plant(auto&& activation_of) const {
    Dense dense;
    for (int64_t r = 0; r < attributes_.rows(); ++r) dense.push_back(activation_of(r));
    return dense;
  }
  bool has(int64_t row, std::string_view phrase) const {
    return (attributes_.bits[static_cast<size_t>(row)] >> attributes_.index(phrase) & 1) != 0;
  }
  std::string words(const RuleExplanation& found) const {
    return describe(found.rule, attributes_, bytes_of);
  }
};

TEST_F(PlantedRule, ATokenIsFound) {
  const auto found =
      explain(plant([&](int64_t r) { return attributes_.tokens[r] == id_of("=") ? 2.0 : 0.0; }));
  ASSERT_TRUE(found);
  EXPECT_EQ(words(*found), "`=`");
  EXPECT_NEAR(*found->score, 1, 1e-9);
  EXPECT_NEAR(*found->spearman, 1, 1e-9);
  EXPECT_NEAR(*found->token_score, 1, 0.01);  // expects something of the unseen token
  EXPECT_DOUBLE_EQ(found->rule.groups[0].value, 2);
  EXPECT_DOUBLE_EQ(found->rule.elsewhere, 0);
}

TEST_F(PlantedRule, AListKeepsTheStrengthOfEachEntry) {
  const auto found = explain(plant([&](int64_t r) {
    const int32_t id = attributes_.tokens[r];
    return id == id_of("(") ? 3.0 : id == id_of("[") || id == id_of("7") ? 1.0 : 0.0;
  }));
  ASSERT_TRUE(found);
  EXPECT_EQ(words(*found), "`(` or `7`");  // "[" is nowhere in the fitted half
  EXPECT_DOUBLE_EQ(found->rule.groups[0].value, 3);
  EXPECT_DOUBLE_EQ(found->rule.groups[1].value, 1);
}

TEST_F(PlantedRule, ATokenBehindAClassIsFound) {
  const auto found = explain(plant([&](int64_t r) {
    return attributes_.tokens[r] == id_of("=") && has(r, "after the start of a word") ? 1.0 : 0.0;
  }));
  ASSERT_TRUE(found);
  EXPECT_EQ(words(*found), "`=` after the start of a word");
  EXPECT_NEAR(*found->score, 1, 1e-9);
  EXPECT_LT(*found->token_score, 0.7);
}

TEST_F(PlantedRule, APlaceIsFound) {
  const auto found = explain(plant(
      [&](int64_t r) { return has(r, "in a comment") && has(r, "a single letter") ? 1.5 : 0.0; }));
  ASSERT_TRUE(found);
  EXPECT_NEAR(*found->score, 1, 1e-9) << words(*found);
  EXPECT_THAT(words(*found), ::testing::HasSubstr("in a comment"));
}

TEST_F(PlantedRule, ThePreviousTokenIsFound) {
  const auto found = explain(
      plant([&](int64_t r) { return attributes_.previous[r] == id_of(" self") ? 1.0 : 0.0; }));
  ASSERT_TRUE(found);
  EXPECT_EQ(words(*found), "any token after ` self`");
  EXPECT_NEAR(*found->score, 1, 1e-9);
}

TEST_F(PlantedRule, NoiseScoresNothingOnTheOtherHalf) {
  Rng rng(3, "noise");
  for (int repeat = 0; repeat < 20; ++repeat) {
    const auto found =
        explain(plant([&](int64_t) { return rng.uniform() < 0.02 ? rng.uniform() : 0.0; }));
    ASSERT_TRUE(found);
    EXPECT_LT(std::abs(found->score.value_or(0)), 0.1) << words(*found);
  }
}

TEST_F(PlantedRule, FeaturesWithTooFewTokensAreSkipped) {
  int64_t left = 29;
  EXPECT_FALSE(explain(plant(
      [&](int64_t r) { return halves_[static_cast<size_t>(r)] == 0 || left-- > 0 ? 1.0 : 0.0; })));
}

// Scores against the plain formulas on all rows of the scored half, in float64. Tolerance 1e-9.
TEST_F(PlantedRule, ScoresAgreeWithPlainArithmetic) {
  Rng rng(11, "features");
  int compared = 0;
  for (int repeat = 0; repeat < 12; ++repeat) {
    const auto likely = static_cast<int32_t>(1 + rng.below(kVocabulary.size() - 1));
    const bool dense = repeat % 4 == 3;  // also one that is active almost everywhere
    const Dense activation = plant([&](int64_t r) -> double {
      const double chance = dense ? 0.9 : attributes_.tokens[r] == likely ? 0.7 : 0.02;
      // Of few values, so that ranks are tied.
      return rng.uniform() < chance ? 1 + static_cast<double>(rng.below(4)) / 4 : 0.0;
    });
    const auto found = explain(activation);
    ASSERT_TRUE(found);
    Dense truth, predicted, by_token;
    std::map<int32_t, std::pair<double, double>> tokens;  // of half 0: Σ f, rows
    double sum = 0, rows = 0;
    for (int64_t r = 0; r < attributes_.rows(); ++r) {
      if (halves_[static_cast<size_t>(r)] != 0) continue;
      const double f = static_cast<float>(activation[static_cast<size_t>(r)]);
      tokens[attributes_.tokens[r]].first += f;
      tokens[attributes_.tokens[r]].second += 1;
      sum += f;
      rows += 1;
    }
    Dense fit_truth, fit_predicted;
    for (int64_t r = 0; r < attributes_.rows(); ++r) {
      const int64_t group = group_of(found->rule, attributes_, r);
      const double value =
          group < 0 ? found->rule.elsewhere : found->rule.groups[static_cast<size_t>(group)].value;
      const double f = static_cast<float>(activation[static_cast<size_t>(r)]);
      if (halves_[static_cast<size_t>(r)] == 0) {
        fit_truth.push_back(f);
        fit_predicted.push_back(value);
        continue;
      }
      truth.push_back(f);
      predicted.push_back(value);
      const auto token = tokens.find(attributes_.tokens[r]);
      by_token.push_back(token == tokens.end() ? sum / rows
                                               : token->second.first / token->second.second);
    }
    EXPECT_NEAR(*found->token_score, two_pass_pearson(by_token, truth), 1e-9);
    ASSERT_EQ(found->score.has_value(), !found->rule.groups.empty());
    if (!found->score) continue;  // nothing to be found in the one without a token of its own
    ++compared;
    EXPECT_NEAR(*found->score, two_pass_pearson(predicted, truth), 1e-9);
    EXPECT_NEAR(*found->spearman, two_pass_pearson(middle_ranks(predicted), middle_ranks(truth)),
                1e-9);
    // Groups are compared with two rows more than they have, so the fit is a little low.
    EXPECT_NEAR(found->fit_score, two_pass_pearson(fit_predicted, fit_truth), 0.02);
  }
  EXPECT_GE(compared, 9);
}

TEST_F(PlantedRule, TheNumberOfThreadsChangesNothing) {
  Rng rng(5, "features");
  DenseRows dense(static_cast<size_t>(attributes_.rows()), std::vector<float>(40, 0));
  for (auto& row : dense) {
    for (float& value : row) value = rng.uniform() < 0.05 ? static_cast<float>(rng.uniform()) : 0;
  }
  const FeatureColumns columns = transpose(activations_from_dense(dense, 40).rows);
  set_thread_count(1);
  const auto alone = search_.explain_all(columns);
  set_thread_count(3);
  const auto together = search_.explain_all(columns);
  for (size_t j = 0; j < alone.size(); ++j) {
    ASSERT_EQ(alone[j].has_value(), together[j].has_value());
    if (!alone[j]) continue;
    EXPECT_EQ(words(*alone[j]), words(*together[j]));
    EXPECT_EQ(alone[j]->score, together[j]->score);
  }
}

}  // namespace
}  // namespace featflow
