#include "matching/null.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <set>

#include "core/error.hpp"
#include "core/parallel.hpp"
#include "features/dense_activations.hpp"
#include "matching/correlation.hpp"

namespace featflow {
namespace {

using testing::HasSubstr;

constexpr double kTolerance = 1e-6;
constexpr int64_t kDocumentRows = 9;

FeatureActivations sparse(const DenseRows& dense, int64_t m) {
  FeatureActivations activations = activations_from_dense(dense, m);
  add_documents(activations, kDocumentRows, {"x", "y", "z"});
  return activations;
}

/// B shares some of A's features with noise. Of each side one feature is constant, one silent and
/// one active on five tokens only.
struct Related {
  DenseRows a, b;
};
Related related(int64_t n, int64_t m_a, int64_t m_b, uint64_t seed) {
  Related r{random_dense(n, m_a, 0.08, seed), random_dense(n, m_b, 0.08, seed + 1)};
  Rng rng(seed + 2);
  for (int64_t row = 0; row < n; ++row) {
    for (int64_t j = 0; j < std::min(m_a, m_b); j += 3) {
      if (r.a[row][j] > 0 && rng.uniform() < 0.8) r.b[row][(j * 7 + 2) % m_b] = r.a[row][j];
    }
    for (DenseRows* side : {&r.a, &r.b}) {
      (*side)[row][4] = 0.3f, (*side)[row][5] = 0;
      (*side)[row][6] = row % (n / 5) == 0 ? 0.5f : 0;
    }
  }
  return r;
}

/// [m_A] the best dense correlation with any measurable feature of B; NaN where there is none.
std::vector<double> dense_best(const DenseRows& a, const std::vector<uint8_t>& usable_a,
                               const DenseRows& b, const std::vector<uint8_t>& usable_b,
                               const std::vector<uint8_t>& mask) {
  std::vector<double> best(usable_a.size(), std::numeric_limits<double>::quiet_NaN());
  for (size_t i = 0; i < usable_a.size(); ++i) {
    for (size_t j = 0; j < usable_b.size() && usable_a[i]; ++j) {
      const auto r = usable_b[j] ? dense_pearson(a, i, b, j, mask) : std::nullopt;
      if (r && !(best[i] >= *r)) best[i] = *r;
    }
  }
  return best;
}

void expect_best(const float* actual, const std::vector<double>& expected) {
  for (size_t j = 0; j < expected.size(); ++j) {
    EXPECT_EQ(std::isnan(actual[j]), std::isnan(expected[j])) << j;
    if (std::isnan(expected[j])) continue;
    EXPECT_NEAR(double{actual[j]}, expected[j], kTolerance) << j;
  }
}

bool same_bits(const std::vector<float>& x, const std::vector<float>& y) {
  return std::ranges::equal(
      x, y, [](float p, float q) { return p == q || (std::isnan(p) && std::isnan(q)); });
}

TEST(BestCorrelations, AgreeWithDenseInEveryRunAtEveryMemoryLimitAndThreadCount) {
  constexpr int64_t kRows = 702, kA = 37, kB = 53, kRuns = 3;
  const Related r = related(kRows, kA, kB, 5);
  const FeatureActivations a = sparse(r.a, kA), b = sparse(r.b, kB);
  for (const std::vector<std::string>& corpora :
       {std::vector<std::string>{}, std::vector<std::string>{"z", "x"}}) {
    BestCorrelationOptions options;
    options.limits = {12, 6};
    options.corpora = corpora;
    const std::vector<uint8_t> mask =
        corpora.empty() ? std::vector<uint8_t>() : rows_of_corpora(a, corpora);
    const RowGroups groups = rows_by_corpus(a);
    const auto order_of = [&](int64_t run) {
      Rng rng(static_cast<uint64_t>(run));
      return shuffle_within(groups, rng);
    };
    std::optional<BestCorrelations> first;
    for (const int threads : {1, 3}) {
      set_thread_count(threads);
      for (const int64_t memory : {int64_t{0}, (int64_t{2} << 20) + 6'000, int64_t{1} << 30}) {
        options.memory_bytes = memory;
        const BestCorrelations best = best_correlations(a, b, options, kRuns, order_of);
        if (!first) first = best;
        EXPECT_TRUE(same_bits(first->a.best, best.a.best)) << threads << ", " << memory;
        EXPECT_TRUE(same_bits(first->b.best, best.b.best)) << threads << ", " << memory;
      }
    }
    set_thread_count(default_thread_count());
    EXPECT_EQ(first->a.measurable, measurable(feature_statistics(a, mask), options.limits));
    EXPECT_EQ(first->a.measurable[4], 1) << "constant";
    EXPECT_EQ(first->a.measurable[6], 0) << "too rare";
    for (int64_t run = 0; run < kRuns; ++run) {
      DenseRows permuted;
      for (const int32_t row : order_of(run)) permuted.push_back(r.a[row]);
      expect_best(first->a.best.data() + run * kA,
                  dense_best(permuted, first->a.measurable, r.b, first->b.measurable, mask));
      expect_best(first->b.best.data() + run * kB,
                  dense_best(r.b, first->b.measurable, permuted, first->a.measurable, mask));
    }
  }
}

TEST(BestCorrelations, OfRowsAsTheyAreMatchAsOftenAsCorrelateCounts) {
  const Related r = related(2000, 40, 60, 8);
  const FeatureActivations a = sparse(r.a, 40), b = sparse(r.b, 60);
  const BestCorrelations best = best_correlations(a, b);
  const Matches matches = correlate(a, b);
  for (const double threshold : {0.5, 0.8, 0.95}) {
    const MatchCounts counts = count_matches(matches, threshold);
    const auto matched = [&](const std::vector<float>& side) {
      return std::ranges::count_if(side, [&](float x) { return double{x} >= threshold; });
    };
    EXPECT_EQ(matched(best.a.best), counts.features_a);
    EXPECT_EQ(matched(best.b.best), counts.features_b);
  }
  EXPECT_GT(count_matches(matches, 0.5).features_a, 5);
}

TEST(BestCorrelations, WithoutRowsOrCandidatesThereAreNone) {
  const FeatureActivations none = activations_from_dense({}, 3);
  const FeatureActivations silent = activations_from_dense(DenseRows(50, {0, 0, 0}), 3);
  for (const FeatureActivations* x : {&none, &silent}) {
    for (const float best : best_correlations(*x, *x).a.best) EXPECT_TRUE(std::isnan(best));
  }
  EXPECT_THROW(best_correlations(none, silent), Error);
}

std::vector<int32_t> sorted(std::vector<int32_t> order) {
  std::ranges::sort(order);
  return order;
}

TEST(RowOrders, ShufflesStayWithinCorpusAndToken) {
  const FeatureActivations a = sparse(random_dense(3000, 3, 0.2, 6), 3);
  std::vector<int32_t> tokens;
  Rng rng(2);
  for (int row = 0; row < 3000; ++row) tokens.push_back(static_cast<int32_t>(rng.below(40)) - 1);
  const std::vector<int32_t> all = sorted(shuffle_within(rows_by_corpus(a), rng));
  const std::vector<int32_t> order = shuffle_within(rows_by_corpus_and_token(a, tokens), rng);
  EXPECT_EQ(sorted(order), all);
  int64_t moved = 0;
  for (int32_t row = 0; row < 3000; ++row) {
    EXPECT_EQ(all[row], row);
    EXPECT_EQ(a.corpora[order[row]], a.corpora[row]);
    EXPECT_EQ(tokens[order[row]], tokens[row]);
    moved += order[row] != row;
  }
  EXPECT_GT(moved, 2700);
}

TEST(RowOrders, ShiftsAreCircularWithinTheCorpusAndNeverShort) {
  const FeatureActivations a = sparse(random_dense(2700, 3, 0.2, 7), 3);
  const RowGroups groups = rows_by_corpus(a);
  ASSERT_EQ(groups.offsets.size(), 4u);
  std::set<int64_t> offsets;
  Rng rng(3);
  for (int draw = 0; draw < 300; ++draw) {
    const std::vector<int32_t> order = shift_within(groups, rng);
    std::map<int32_t, int64_t> place;  // of each row within its corpus
    for (size_t i = 0; i < 900; ++i) place[groups.rows[i]] = static_cast<int64_t>(i);
    const int64_t offset = place.at(order[groups.rows[0]]);
    for (int64_t i = 0; i < 900; ++i) {
      EXPECT_EQ(place.at(order[groups.rows[i]]), (i + offset) % 900);
    }
    offsets.insert(offset);
  }
  EXPECT_GE(*offsets.begin(), 36);  // 4% of 900
  EXPECT_LE(*offsets.rbegin(), 864);
  EXPECT_LT(*offsets.begin(), 60);
  EXPECT_GT(*offsets.rbegin(), 840);
}

TEST(RowOrders, OfFewRowsArePermutationsToo) {
  for (const int64_t n : {0, 1, 2, 3, 5}) {
    FeatureActivations a = activations_from_dense(DenseRows(n, {1}), 1);
    Rng rng(1);
    const std::vector<int32_t> order = shift_within(rows_by_corpus(a), rng);
    EXPECT_EQ(sorted(order), sorted(shuffle_within(rows_by_corpus(a), rng)));
    EXPECT_EQ(n > 1, n > 0 && order[0] != 0);
  }
}

TEST(Null, OfShiftedRowsLeavesNothing) {
  const Related r = related(3000, 30, 30, 6);
  const FeatureActivations a = sparse(r.a, 30), b = sparse(r.b, 30);
  EXPECT_GT(count_matches(correlate(a, b), 0.5).features_a, 5);
  const NullMaxima null = shifted_rows_null(a, b);
  EXPECT_EQ(null.maxima.runs, 20);
  EXPECT_EQ(null.moved, 1);
  for (const BestOfSide* side : {&null.maxima.a, &null.maxima.b}) {
    ASSERT_EQ(side->best.size(), 600u);
    for (const float best : side->best) EXPECT_FALSE(best >= 0.2f);
  }
}

TEST(Null, RunsDifferAndOtherSeedsGiveOthers) {
  const Related r = related(900, 20, 20, 9);
  const FeatureActivations a = sparse(r.a, 20), b = sparse(r.b, 20);
  NullOptions options;
  options.runs = 2;
  const std::vector<float> best = shifted_rows_null(a, b, options).maxima.a.best;
  EXPECT_TRUE(same_bits(best, shifted_rows_null(a, b, options).maxima.a.best));
  EXPECT_NE(best[0], best[20]);
  options.seed = 1;
  EXPECT_FALSE(same_bits(best, shifted_rows_null(a, b, options).maxima.a.best));
}

TEST(Null, OfOneRowPerTokenIsWhatWasObserved) {
  const Related r = related(600, 15, 15, 10);
  const FeatureActivations a = sparse(r.a, 15), b = sparse(r.b, 15);
  std::vector<int32_t> tokens;
  for (int32_t row = 0; row < 600; ++row) tokens.push_back(row);
  NullOptions options;
  options.runs = 1;
  const NullMaxima null = same_token_null(a, b, tokens, options);
  EXPECT_EQ(null.moved, 0);
  EXPECT_TRUE(same_bits(null.maxima.a.best, best_correlations(a, b).a.best));
}

TEST(Null, OfRandomModelsIsTheBestOfEachSideThere) {
  const Related r = related(900, 15, 25, 11);
  const FeatureActivations a = sparse(r.a, 15), b = sparse(r.b, 25);
  const FeatureActivations first = sparse(random_dense(900, 40, 0.1, 12), 40);
  const FeatureActivations second = sparse(random_dense(900, 30, 0.1, 13), 30);
  const std::vector<const FeatureActivations*> random = {&first, &second};
  const NullMaxima null = random_model_null(a, b, random);
  EXPECT_EQ(null.kind, NullKind::kRandomModel);
  EXPECT_EQ(null.maxima.runs, 2);
  ASSERT_EQ(null.maxima.b.best.size(), 50u);
  const std::vector<uint8_t> all(40, 1);
  expect_best(null.maxima.a.best.data(),
              dense_best(r.a, null.maxima.a.measurable, random_dense(900, 40, 0.1, 12), all, {}));
  expect_best(null.maxima.b.best.data() + 25,
              dense_best(r.b, null.maxima.b.measurable, random_dense(900, 30, 0.1, 13),
                         std::vector<uint8_t>(30, 1), {}));
}

TEST(Null, SaysWhatIsWrong) {
  const FeatureActivations a = activations_from_dense(DenseRows(3, {1}), 1);
  const auto error_of = [](auto&& action) -> std::string {
    try {
      action();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  const std::vector<int32_t> tokens = {1, 2};
  EXPECT_THAT(error_of([&] { same_token_null(a, a, tokens); }), HasSubstr("2 tokens for 3 rows"));
  EXPECT_THAT(error_of([] { parse_null_kind("chance"); }),
              HasSubstr("null 'chance': no such kind"));
  EXPECT_EQ(parse_null_kind(name_of(NullKind::kSameToken)), NullKind::kSameToken);
}

}  // namespace
}  // namespace featflow
