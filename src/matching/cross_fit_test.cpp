#include "matching/cross_fit.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/parallel.hpp"
#include "features/dense_activations.hpp"

namespace featflow {
namespace {

using testing::HasSubstr;

constexpr int64_t kDocumentRows = 5;

FeatureActivations sparse(const DenseRows& dense, int64_t m) {
  FeatureActivations activations = activations_from_dense(dense, m);
  add_documents(activations, kDocumentRows, {"lua", "stories", "python"});
  return activations;
}

// Each feature of B is the feature of A with the same number plus noise of its own strength, so
// that correlations lie anywhere between 0 and 1.
std::pair<DenseRows, DenseRows> related(int64_t n, int64_t m, uint64_t seed) {
  DenseRows a = random_dense(n, m, 0.2, seed), b = a;
  Rng rng(seed + 1);
  for (auto& row : b) {
    for (int64_t j = 0; j < m; ++j) {
      const double keep = 1 - static_cast<double>(j) / static_cast<double>(m);
      if (rng.uniform() > keep)
        row[j] = rng.uniform() < 0.2 ? static_cast<float>(rng.uniform()) : 0;
    }
  }
  return {a, b};
}

// Definitions 13 with dense float64 correlations: [m] whether each feature of A matches on the half
// that did not choose its partner among those of B that are active on at least `least` rows.
std::vector<uint8_t> reference_matches(const DenseRows& a, const DenseRows& b, int64_t m,
                                       double threshold, const std::vector<uint8_t>& half,
                                       int choosing, int64_t least = 1) {
  const auto measurable = [&](const DenseRows& rows, int64_t j) {
    return std::ranges::count_if(rows, [j](const auto& row) { return row[j] > 0; }) >= least;
  };
  std::vector<uint8_t> chosen_rows, other_rows, matched;
  for (const uint8_t h : half) {
    chosen_rows.push_back(h == choosing);
    other_rows.push_back(h == 1 - choosing);
  }
  for (int64_t i = 0; i < m; ++i) {
    int64_t best = -1;
    double best_r = -2;
    for (int64_t j = 0; measurable(a, i) && j < m; ++j) {
      if (!measurable(b, j)) continue;
      const auto r = dense_pearson(a, i, b, j, chosen_rows);
      if (r && *r > best_r) best = j, best_r = *r;
    }
    const auto r = best < 0 ? std::nullopt : dense_pearson(a, i, b, best, other_rows);
    matched.push_back(r && *r >= threshold);
  }
  return matched;
}

// Half the features counted on each half, twice.
double reference_matched(const DenseRows& a, const DenseRows& b, int64_t m, double threshold,
                         const std::vector<uint8_t>& half, int64_t least = 1) {
  double matched = 0;
  for (const int choosing : {0, 1}) {
    const auto on_half = reference_matches(a, b, m, threshold, half, choosing, least);
    matched += static_cast<double>(std::ranges::count(on_half, 1)) / 2;
  }
  return matched;
}

std::vector<uint8_t> halves(int64_t n) {
  std::vector<uint8_t> half;  // Documents in turn within each of three corpora.
  for (int64_t row = 0; row < n; ++row) {
    half.push_back(static_cast<uint8_t>(row / kDocumentRows / 3 % 2));
  }
  return half;
}

TEST(CrossFit, CountsAsADenseReference) {
  constexpr int64_t kRows = 1203, kFeatures = 24;
  const auto [a, b] = related(kRows, kFeatures, 3);
  CrossFitOptions options;
  options.groups = 10;
  options.resamples = 200;
  options.limits = {1, 1};
  for (const double threshold : {0.3, 0.55, 0.8}) {
    options.threshold = threshold;
    const CrossFit fit = cross_fit(sparse(a, kFeatures), sparse(b, kFeatures), options);
    EXPECT_EQ(fit.a.measurable, kFeatures);
    EXPECT_EQ(fit.a.matched, reference_matched(a, b, kFeatures, threshold, halves(kRows)));
    EXPECT_EQ(fit.b.matched, reference_matched(b, a, kFeatures, threshold, halves(kRows)));
    EXPECT_GT(fit.a.matched, 1);
    EXPECT_LT(fit.a.matched, kFeatures);
    EXPECT_LE(fit.a.low, fit.a.matched);
    EXPECT_GE(fit.a.high, fit.a.matched);
    EXPECT_LT(fit.a.low, fit.a.high);
  }
}

// A partner that is not measurable is none, however well it correlates: the shares beside these
// counts do not know it either.
TEST(CrossFit, PartnersAreMeasurable) {
  constexpr int64_t kRows = 1200, kFeatures = 6, kLeast = 42;
  // Feature 0 of A fires on 42 rows; 0 of B does on 41 of them, 1 of B on 36 of them and 6 others.
  // Feature 2 is A's alone but for a twin below the limit; the others are the same in both.
  DenseRows a = random_dense(kRows, kFeatures, 0.2, 3), b = a;
  for (auto& row : a) row[0] = row[2] = 0;
  for (auto& row : b) row[0] = row[1] = row[2] = 0;
  for (int64_t row = 7, fired = 0; row < kRows; row += 29, ++fired) {
    const float value = 0.5F + 0.01F * static_cast<float>(fired % 7);
    a[row][0] = value;
    a[row][2] = value * static_cast<float>(1 + 5 * (fired % 2));
    if (fired != 20) b[row][0] = value, b[row][2] = a[row][2];
    b[fired % 7 == 3 ? row + 1 : row][1] = value;
  }
  CrossFitOptions options;
  options.groups = 10;
  options.resamples = 0;
  options.limits = {kLeast, 1};
  for (const double threshold : {0.75, 0.95}) {
    options.threshold = threshold;
    const CrossFit fit = cross_fit(sparse(a, kFeatures), sparse(b, kFeatures), options);
    EXPECT_EQ(fit.a.measurable, kFeatures);
    EXPECT_EQ(fit.b.measurable, kFeatures - 2);
    const double expected = reference_matched(a, b, kFeatures, threshold, halves(kRows), kLeast);
    EXPECT_EQ(fit.a.matched, expected);
    EXPECT_LT(expected, reference_matched(a, b, kFeatures, threshold, halves(kRows)));
    EXPECT_EQ(fit.b.matched, reference_matched(b, a, kFeatures, threshold, halves(kRows), kLeast));
    const ConditionalFit both = cross_fit_conditional(sparse(a, kFeatures), sparse(b, kFeatures),
                                                      sparse(a, kFeatures), options);
    EXPECT_EQ(both.found_again, kFeatures);
    EXPECT_EQ(both.both, expected);
  }
}

TEST(CrossFitConditional, CountsAsADenseReference) {
  constexpr int64_t kRows = 1203, kFeatures = 24;
  const auto [a, b] = related(kRows, kFeatures, 3);
  // The second look at A's model finds the first half of its features, and little else.
  DenseRows again = random_dense(kRows, kFeatures, 0.2, 77);
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t j = 0; j < kFeatures / 2; ++j) again[row][kFeatures - 1 - j] = a[row][j];
  }
  CrossFitOptions options;
  options.groups = 10;
  options.resamples = 200;
  options.limits = {1, 1};
  options.threshold = 0.7;
  const ConditionalFit fit = cross_fit_conditional(sparse(a, kFeatures), sparse(b, kFeatures),
                                                   sparse(again, kFeatures), options);
  double found_again = 0, both = 0;
  for (const int choosing : {0, 1}) {
    const auto in_b = reference_matches(a, b, kFeatures, 0.7, halves(kRows), choosing);
    const auto in_again = reference_matches(a, again, kFeatures, 0.7, halves(kRows), choosing);
    for (size_t j = 0; j < kFeatures; ++j) {
      found_again += 0.5 * in_again[j];
      both += 0.5 * (in_again[j] && in_b[j]);
    }
  }
  EXPECT_EQ(fit.found_again, found_again);
  EXPECT_EQ(found_again, kFeatures / 2);
  EXPECT_EQ(fit.both, both);
  EXPECT_GT(both, 1);
  EXPECT_LT(both, found_again);
  EXPECT_LE(fit.low, fit.share());
  EXPECT_GE(fit.high, fit.share());
  EXPECT_LT(fit.low, fit.high);
  const std::string json = to_json(fit).dump();
  EXPECT_EQ(to_json(parse_conditional_fit(nlohmann::json::parse(json))).dump(), json);
}

TEST(CrossFit, ThePartnerIsNotPaidForByChance) {
  // Few rows, many candidates, nothing in common: the best of all correlates by chance alone.
  constexpr int64_t kRows = 120, kFeatures = 400;
  const FeatureActivations a = sparse(random_dense(kRows, kFeatures, 0.03, 1), kFeatures);
  const FeatureActivations b = sparse(random_dense(kRows, kFeatures, 0.03, 2), kFeatures);
  CrossFitOptions options;
  options.threshold = 0.6;
  options.limits = {3, 3};
  options.groups = 6;
  options.resamples = 50;
  const int64_t naive =
      count_matches(correlate(a, b), options.threshold, options.limits).features_a;
  const CrossFit fit = cross_fit(a, b, options);
  EXPECT_GT(naive, 50);
  EXPECT_GT(static_cast<double>(naive), 10 * fit.a.matched);
}

TEST(CrossFit, IdenticalFeaturesAllMatchWithoutAnInterval) {
  const DenseRows dense = random_dense(900, 20, 0.2, 5);
  CrossFitOptions options;
  options.groups = 12;
  options.limits = {1, 1};
  const CrossFit fit = cross_fit(sparse(dense, 20), sparse(dense, 20), options);
  EXPECT_EQ(fit.a.matched, 20);
  EXPECT_EQ(fit.a.low, 20);
  EXPECT_EQ(fit.b.high, 20);
  EXPECT_EQ(fit.a.share(), 1);
}

// The interval holds the count on fresh text of the same kind as often as it should.
TEST(CrossFit, IntervalsCover) {
  constexpr int64_t kRows = 1500, kFeatures = 30;
  CrossFitOptions options;
  options.threshold = 0.6;
  options.groups = 25;
  options.resamples = 200;
  options.limits = {1, 1};
  double mean = 0;
  std::vector<CrossFittedCount> counts;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const auto [a, b] = related(kRows, kFeatures, 100 + 2 * seed);
    counts.push_back(cross_fit(sparse(a, kFeatures), sparse(b, kFeatures), options).a);
    mean += counts.back().matched / 60;
  }
  int64_t covered = 0;
  for (const CrossFittedCount& count : counts) covered += count.low <= mean && mean <= count.high;
  EXPECT_GE(covered, 50) << "of 60, at 95%";
}

// Features that live in a few documents each, with partners that miss some of them: drawn again,
// most lose documents, and all counts move together by more than they differ.
TEST(CrossFit, IntervalsCoverWhereFeaturesAreFew) {
  constexpr int64_t kRows = 3000, kFeatures = 60;
  CrossFitOptions options;
  options.groups = 50;
  options.resamples = 200;
  options.limits = {1, 1};
  const auto draw = [&](uint64_t seed) {
    DenseRows a(kRows, std::vector<float>(kFeatures, 0)), b = a;
    Rng rng(seed);
    for (int64_t j = 0; j < kFeatures; ++j) {
      const double lost = 0.35 * static_cast<double>(j) / kFeatures;
      for (int64_t row = 0; row < kRows; row += kDocumentRows) {
        if (rng.uniform() > 0.04) continue;
        const bool kept = rng.uniform() > lost;
        for (int64_t i = row; i < row + kDocumentRows; ++i) {
          a[i][j] = static_cast<float>(0.5 + rng.uniform());
          if (kept) b[i][j] = a[i][j];
        }
      }
    }
    return std::pair{a, b};
  };
  double mean = 0;
  std::vector<CrossFittedCount> counts;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const auto [a, b] = draw(seed);
    counts.push_back(cross_fit(sparse(a, kFeatures), sparse(b, kFeatures), options).a);
    mean += counts.back().matched / 40;
    EXPECT_LE(counts.back().low, counts.back().matched);
    EXPECT_GE(counts.back().high, counts.back().matched);
  }
  int64_t covered = 0;
  for (const CrossFittedCount& count : counts) covered += count.low <= mean && mean <= count.high;
  EXPECT_GE(covered, 35) << "of 40, at 95%; percentiles as they are: 31";
}

TEST(CrossFit, ThreadsDoNotMatter) {
  const auto [a, b] = related(900, 30, 8);
  CrossFitOptions options;
  options.groups = 20;
  options.resamples = 100;
  options.limits = {1, 1};
  const int threads = thread_count();
  set_thread_count(1);
  const CrossFit expected = cross_fit(sparse(a, 30), sparse(b, 30), options);
  set_thread_count(3);
  const CrossFit fit = cross_fit(sparse(a, 30), sparse(b, 30), options);
  set_thread_count(threads);
  EXPECT_EQ(fit.a.matched, expected.a.matched);
  EXPECT_EQ(fit.a.low, expected.a.low);
  EXPECT_EQ(fit.b.high, expected.b.high);
}

TEST(CrossFit, OnlyRowsOfTheCorporaCount) {
  const auto [a, b] = related(1800, 16, 12);
  CrossFitOptions options;
  options.groups = 10;
  options.limits = {1, 1};
  options.threshold = 0.5;
  options.correlation.corpora = {"lua"};
  const CrossFit fit = cross_fit(sparse(a, 16), sparse(b, 16), options);
  DenseRows a_lua, b_lua;
  for (size_t row = 0; row < a.size(); ++row) {
    if (row / kDocumentRows % 3 != 0) continue;
    a_lua.push_back(a[row]);
    b_lua.push_back(b[row]);
  }
  std::vector<uint8_t> half;
  for (size_t row = 0; row < a_lua.size(); ++row) {
    half.push_back(static_cast<uint8_t>(row / kDocumentRows % 2));
  }
  EXPECT_EQ(fit.a.matched, reference_matched(a_lua, b_lua, 16, 0.5, half));
}

TEST(CrossFit, RefusesTooFewDocuments) {
  const DenseRows dense = random_dense(100, 4, 0.3, 5);
  const auto error_of = [&](const FeatureActivations& activations) -> std::string {
    try {
      cross_fit(activations, activations, {});
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(documents_per_half(sparse(dense, 4)), 9);
  EXPECT_THAT(error_of(sparse(dense, 4)), HasSubstr("11 and 9 documents in the two halves"));
  EXPECT_THAT(error_of(activations_from_dense(dense, 4)), HasSubstr("carry no documents"));
}

}  // namespace
}  // namespace featflow
