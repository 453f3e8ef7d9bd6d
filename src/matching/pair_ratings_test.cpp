#include "matching/pair_ratings.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.hpp"
#include "core/rng.hpp"
#include "storage/csv.hpp"
#include "storage/files.hpp"
#include "storage/temporary_folder.hpp"

namespace featflow {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(Wilson, KnownIntervals) {
  // As statsmodels' proportion_confint(k, n, method="wilson") and R's prop.test(correct = FALSE)
  // say.
  EXPECT_NEAR(wilson_interval(8, 10).low, 0.490162, 1e-6);
  EXPECT_NEAR(wilson_interval(8, 10).high, 0.943318, 1e-6);
  EXPECT_NEAR(wilson_interval(0, 10).low, 0, 1e-15);
  EXPECT_NEAR(wilson_interval(0, 10).high, 3.841459 / 13.841459, 1e-6);
  EXPECT_NEAR(wilson_interval(50, 50).low, 50 / 53.841459, 1e-6);
  EXPECT_NEAR(wilson_interval(50, 50).high, 1, 1e-15);
}

// Its definition: the shares q that a score test does not reject, |k/n − q| = z √(q(1−q)/n) at both
// ends. Solved by bisection; tolerance 1e-12.
TEST(Wilson, EndsAreWhereTheScoreTestTurns) {
  constexpr double z = 1.959963984540054;
  Rng rng(1);
  for (int trial = 0; trial < 200; ++trial) {
    const auto n = static_cast<int64_t>(1 + rng.below(200));
    const auto k = static_cast<int64_t>(rng.below(static_cast<uint64_t>(n) + 1));
    const double p = static_cast<double>(k) / static_cast<double>(n);
    const auto accepted = [&](double q) {
      return std::abs(p - q) <= z * std::sqrt(q * (1 - q) / static_cast<double>(n));
    };
    const auto turn = [&](double inside, double outside) {
      if (accepted(outside)) return outside;
      for (int i = 0; i < 200; ++i) {
        const double middle = (inside + outside) / 2;
        (accepted(middle) ? inside : outside) = middle;
      }
      return inside;
    };
    const ShareInterval interval = wilson_interval(k, n);
    EXPECT_NEAR(interval.low, turn(p, 0), 1e-12) << k << " of " << n;
    EXPECT_NEAR(interval.high, turn(p, 1), 1e-12) << k << " of " << n;
  }
}

/// `counts[i][j]` pairs that one rater calls i and the other j.
std::pair<PairRatings, PairRatings> raters(const std::vector<std::vector<int>>& counts) {
  PairRatings a, b;
  for (size_t i = 0; i < counts.size(); ++i) {
    for (size_t j = 0; j < counts[i].size(); ++j) {
      for (int k = 0; k < counts[i][j]; ++k) {
        const std::string id = fmt::format("{}", a.size());
        a[id] = static_cast<PairRating>(i);
        b[id] = static_cast<PairRating>(j);
      }
    }
  }
  return {a, b};
}

TEST(Kappa, KnownValues) {
  const auto [a, b] = raters({{20, 5}, {10, 15}});  // observed 0.7, expected 0.5
  EXPECT_NEAR(cohens_kappa(a, b).value(), 0.4, 1e-12);
  EXPECT_NEAR(rating_agreement(a, b).value(), 0.7, 1e-12);
  const auto [c, d] = raters({{45, 15}, {25, 15}});  // observed 0.6, expected 0.54
  EXPECT_NEAR(cohens_kappa(c, d).value(), 0.06 / 0.46, 1e-12);
  EXPECT_EQ(cohens_kappa(a, a), 1);
  const auto [e, f] = raters({{10}});
  EXPECT_EQ(cohens_kappa(e, f), std::nullopt) << "always the same rating: nothing to agree beyond";
  EXPECT_EQ(cohens_kappa(a, {}), std::nullopt);
  EXPECT_EQ(rating_agreement(a, {}), std::nullopt);
}

// Expected agreement as the mean over all pairs of a rating of A and a rating of B, two by two;
// tolerance 1e-12. Pairs that only one has rated do not count.
TEST(Kappa, AsWithEveryRatingAgainstEveryOther) {
  Rng rng(2);
  for (int trial = 0; trial < 50; ++trial) {
    PairRatings a, b;
    std::vector<PairRating> of_a, of_b;
    double equal = 0;
    for (int id = 0; id < 60; ++id) {
      const auto x = static_cast<PairRating>(rng.below(4));
      const auto y = rng.below(2) == 0 ? x : static_cast<PairRating>(rng.below(4));
      const uint64_t who = rng.below(4);
      if (who != 0) a[std::to_string(id)] = x;
      if (who != 1) b[std::to_string(id)] = y;
      if (who < 2) continue;
      of_a.push_back(x), of_b.push_back(y);
      equal += x == y ? 1 : 0;
    }
    double chance = 0;
    for (const PairRating x : of_a) {
      for (const PairRating y : of_b) chance += x == y ? 1 : 0;
    }
    const auto n = static_cast<double>(of_a.size());
    const double expected = chance / (n * n);
    EXPECT_NEAR(cohens_kappa(a, b).value(), (equal / n - expected) / (1 - expected), 1e-12);
  }
}

TEST(PairRatings, AreCountedByBand) {
  const TemporaryFolder folder;
  std::vector<PairKey> keys;
  for (int i = 0; i < 6; ++i) {
    keys.push_back({fmt::format("x-{}", i), "A,\"B\"--C", i < 4 ? "0.5-0.8" : "0.8-1", i, 2 * i,
                    0.75f, i % 2 == 0});
  }
  save_pair_keys(keys, folder / "key.csv");
  const CsvTable table = CsvTable::load(folder / "key.csv");
  EXPECT_EQ(table.at(3, table.column("edge")), "A,\"B\"--C");
  EXPECT_EQ(table.at(3, table.column("feature_parent")), "3");
  EXPECT_EQ(table.at(3, table.column("feature_child")), "6");
  EXPECT_EQ(table.at(3, table.column("correlation")), "0.75");
  EXPECT_EQ(table.at(3, table.column("left")), "child");

  write_file_atomic(
      folder / "ratings.csv",
      "id,rating,note\nx-0,same,\"a, b\"\nx-1,different,\nx-2,cannot tell,\nx-3,same,\n"
      "x-5,,\n");
  const auto rows = score_ratings(load_pair_ratings(folder / "ratings.csv"),
                                  load_pair_bands(folder / "key.csv"), "ratings.csv");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].band, "0.5-0.8");
  EXPECT_EQ(rows[0].pairs, 4);
  EXPECT_EQ(rows[0].counts, (std::array<int64_t, 4>{2, 0, 1, 1}));
  EXPECT_EQ(rows[0].judged(), 3);
  EXPECT_NEAR(rows[0].same_share().value(), 2.0 / 3, 1e-15);
  EXPECT_NEAR(rows[0].same_interval().value().low, wilson_interval(2, 3).low, 1e-15);
  EXPECT_EQ(rows[1].pairs, 2);
  EXPECT_EQ(rows[1].same_share(), std::nullopt);
}

TEST(PairRatings, MistakesAreNamed) {
  const TemporaryFolder folder;
  const auto rated = [&](const std::string& text) {
    return [&, text] {
      write_file_atomic(folder / "r.csv", text);
      score_ratings(load_pair_ratings(folder / "r.csv"), {{"x-1", "0.5-1"}}, "r.csv");
    };
  };
  EXPECT_THAT(rated("id,rating\nx-1,some\n"),
              ThrowsMessage<Error>(HasSubstr("r.csv:2: rating 'some', expected same, similar")));
  EXPECT_THAT(rated("id,rating\nx-1,some\n"),
              ThrowsMessage<Error>(HasSubstr("did you mean 'same'")));
  EXPECT_THAT(rated("id,rating\nx-1,same\nx-1,same\n"),
              ThrowsMessage<Error>(HasSubstr("r.csv:3: pair 'x-1' is rated twice")));
  EXPECT_THAT(rated("id,rating\ny-1,same\n"),
              ThrowsMessage<Error>(HasSubstr("r.csv: pair 'y-1' is not in the key")));
  EXPECT_THAT(rated("id,edge\nx-1,a\n"), ThrowsMessage<Error>(HasSubstr("no column 'rating'")));
}

}  // namespace
}  // namespace featflow
