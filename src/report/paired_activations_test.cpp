#include "report/paired_activations.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/rng.hpp"
#include "features/columns.hpp"
#include "report/synthetic_study.hpp"

namespace featflow {
namespace {

using synthetic::feature_page;
using synthetic::Json;
using synthetic::kFeatures;
using synthetic::overview;
using synthetic::report;
using synthetic::study;
using ::testing::ElementsAre;
using ::testing::Pair;

struct Sparse {
  std::vector<int32_t> rows;
  std::vector<float> values;
  PairedColumn column() const {
    return {{rows, values}, values.empty() ? 0 : std::ranges::max(values)};
  }
};

TEST(PairedActivations, AreThoseOfEveryRowWhereEitherIsActive) {
  const Sparse a{{1, 4, 9}, {2, 1, 4}}, b{{0, 4, 10}, {8, 5, 1}};
  const PairedActivations paired = paired_activations(a.column(), b.column(), 100);
  EXPECT_EQ(paired.rows, 5);
  // By the larger share of 4 and of 8; equal ones in order of the rows.
  EXPECT_THAT(paired.points,
              ElementsAre(Pair(0, 8), Pair(4, 0), Pair(1, 5), Pair(2, 0), Pair(0, 1)));
  EXPECT_EQ(paired_letters(paired, 4, 8), "0pp0@XP008");
}

TEST(PairedActivations, OfMoreRowsThanAskedForTheStrongOnesAreDenser) {
  Sparse a, b;
  Rng rng(5);
  for (int32_t row = 0; row < 5000; ++row) {
    if (rng.uniform() < 0.5) a.rows.push_back(row), a.values.push_back(float(0.01 + rng.uniform()));
    if (rng.uniform() < 0.5) b.rows.push_back(row), b.values.push_back(float(0.01 + rng.uniform()));
  }
  const PairedActivations all = paired_activations(a.column(), b.column(), 5000);
  EXPECT_EQ(std::ssize(all.points), all.rows);
  const PairedActivations some = paired_activations(a.column(), b.column(), 40);
  EXPECT_EQ(some.rows, all.rows);
  ASSERT_EQ(some.points.size(), 40U);
  size_t strong = 0, at = 0;
  for (const auto& point : some.points) {  // in the order of all, each once
    at = static_cast<size_t>(
        std::find(all.points.begin() + static_cast<int64_t>(at), all.points.end(), point) -
        all.points.begin());
    ASSERT_LT(at, all.points.size());
    strong += at < all.points.size() / 4;
    ++at;
  }
  EXPECT_EQ(strong, 20U);  // half of the points in the strongest quarter
}

TEST(PairedActivations, OfSilentFeaturesAreNone) {
  const Sparse none, some{{3}, {1}};
  EXPECT_EQ(paired_activations(none.column(), none.column(), 10).rows, 0);
  const PairedActivations one = paired_activations(none.column(), some.column(), 10);
  EXPECT_THAT(one.points, ElementsAre(Pair(0, 1)));
  EXPECT_EQ(paired_letters(one, 0, 1), "0p");
  EXPECT_TRUE(paired_activations(some.column(), none.column(), 0).points.empty());
}

TEST(PairedActivations, OfTheReportAreThoseOfEachFeatureAndItsBestMatches) {
  for (size_t m = 0; m < 4; ++m) {
    const Json& chunks = overview().at("models").at(m).at("paired");
    ASSERT_EQ(chunks.size(), 2U);
    for (const int64_t j : {int64_t{3}, int64_t{200}, kFeatures - 1}) {
      const Json rows =
          report().chunk(chunks.at(static_cast<size_t>(j / 256))).at(static_cast<size_t>(j % 256));
      const Json matches = feature_page(m, j).at("matches");
      ASSERT_EQ(rows.size(), matches.size());
      for (size_t i = 0; i < rows.size(); ++i) {
        const Json& row = rows.at(i);
        EXPECT_EQ(row.at(0), matches.at(i).at(0));
        EXPECT_EQ(row.at(1), matches.at(i).at(1).at(0).at(0));
        const FeatureColumns own = transpose(study().activations(m).rows);
        const FeatureColumns theirs = transpose(study().activations(row.at(0).get<size_t>()).rows);
        const Column a = own.column(j), b = theirs.column(row.at(1).get<int64_t>());
        std::vector<int32_t> either;
        std::ranges::set_union(a.rows, b.rows, std::back_inserter(either));
        EXPECT_EQ(row.at(2), either.size());
        EXPECT_EQ(row.at(3).get<std::string>().size(), 2 * std::min<size_t>(48, either.size()));
      }
    }
  }
}

}  // namespace
}  // namespace featflow
