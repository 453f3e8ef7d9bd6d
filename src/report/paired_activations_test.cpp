#include "report/paired_activations.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
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
  EXPECT_THAT(paired.points,
              ElementsAre(Pair(0, 8), Pair(2, 0), Pair(1, 5), Pair(4, 0), Pair(0, 1)));
  EXPECT_EQ(paired_letters(paired, 4, 8), "0pP0@Xp008");
}

TEST(PairedActivations, OfMoreRowsThanAskedForTheStrongOnesAreDenser) {
  Sparse a, b;
  Rng rng(5);
  for (int32_t row = 0; row < 5000; ++row) {
    if (rng.uniform() < 0.5) a.rows.push_back(row), a.values.push_back(float(0.01 + rng.uniform()));
    if (rng.uniform() < 0.5) b.rows.push_back(row), b.values.push_back(float(0.01 + rng.uniform()));
  }
  const PairedActivations all = paired_activations(a.column(), b.column(), 5000);
  const auto share = [&](const std::pair<float, float>& row) {
    return std::max(row.first / a.column().maximum, row.second / b.column().maximum);
  };
  std::vector<float> shares;
  for (const auto& row : all.points) shares.push_back(share(row));
  std::ranges::sort(shares, std::greater());

  const PairedActivations some = paired_activations(a.column(), b.column(), 40);
  EXPECT_EQ(some.rows, all.rows);
  ASSERT_EQ(some.points.size(), 40U);
  for (size_t k = 0; k < 40; ++k) {
    const double at = (static_cast<double>(k) + 0.5) / 40;
    const auto rank = static_cast<size_t>(static_cast<double>(all.rows) * at * at);
    EXPECT_NEAR(share(some.points[k]), shares[rank], 2e-3) << k;
    EXPECT_EQ(std::ranges::count(all.points, some.points[k]), 1) << k;
  }
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
