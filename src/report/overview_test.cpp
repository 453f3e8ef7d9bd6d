#include "report/overview.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "report/synthetic_study.hpp"

namespace featflow {
namespace {

using namespace synthetic;  // NOLINT(google-build-using-namespace): the family of these tests

TEST(ReportOverview, TheSweepIsThatOfItsStage) {
  const Json& sweep = overview().at("sweeps").at(0);
  EXPECT_EQ(sweep.at("curve").size(), 21U);
  EXPECT_NEAR(sweep.at("balance").at("t").get<double>(), 0.5, 1e-3);
  EXPECT_EQ(sweep.at("branches"), Json({{"lerp", 1}}));
  EXPECT_EQ(sweep.at("tensors").size(), 1U);
  EXPECT_EQ(sweep.at("tensors").at(0).at(0), "w");
  EXPECT_NEAR(sweep.at("tensors").at(0).at(1).get<double>(), std::sqrt(0.5), 1e-6);
}

TEST(ReportOverview, TrainingCurvesAreMeansOfSteps) {
  const Json curves = training_curves(study().inputs.models[0].metrics, 100);
  EXPECT_EQ(curves.at("averaged"), 9);
  ASSERT_EQ(curves.at("loss").size(), 100U);
  double mean = 0;
  for (int step = 9; step < 18; ++step) mean += (3 + 4 * std::exp(-step / 150.0)) / 9;
  EXPECT_NEAR(curves.at("loss").at(1).get<double>(), mean, 1e-12);
  EXPECT_EQ(curves.at("tokens").at(1), 18 * 2048);
  EXPECT_EQ(curves.at("validation").at("lua").at("tokens"),
            Json({300 * 2048.0, 600 * 2048.0, 900 * 2048.0}));
}

TEST(ReportOverview, TheComparisonOfMethodsHasTheirCurves) {
  const Json& comparison = overview().at("comparisons").at(0);
  EXPECT_EQ(comparison.at("methods").at(0).at("retained").at("Lua").at("retained"), 90);
  EXPECT_TRUE(comparison.at("methods").at(1).at("balance").is_null());
  const Json& curves = comparison.at("curves");
  ASSERT_EQ(curves.size(), 2U);
  EXPECT_EQ(curves.at(1).at("name"), "LuaStories+ties");
  const Json& whole = overview().at("sweeps").at(0).at("curve");
  ASSERT_EQ(curves.at(0).at("points").size(), whole.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    const Json& point = whole.at(i);
    EXPECT_EQ(curves.at(0).at("points").at(i),
              Json({point.at("t"), point.at("accuracy_a"), point.at("accuracy_b")}));
  }
}

TEST(ReportOverview, TheCausalCheckHasItsPairs) {
  const Json& check = overview().at("causal").at(0);
  EXPECT_EQ(check.at("classes").at("persisting").at("flagged"), 1);
  ASSERT_EQ(check.at("pairs").size(), 4U);
  const Json& pair = check.at("pairs").at(0);
  EXPECT_EQ(pair.at("parent_feature"), 120);
  EXPECT_EQ(pair.at("child_feature"), 10);
  EXPECT_EQ(pair.at("effect_correlation"), 0.3);
  EXPECT_TRUE(pair.at("flagged"));
  EXPECT_TRUE(pair.at("hypothesis").is_null());
  EXPECT_TRUE(check.at("pairs").at(1).at("effect_correlation").is_null());
  EXPECT_EQ(check.at("pairs").at(2).at("hypothesis"), "=<b>");
  EXPECT_EQ(check.at("pairs").at(3).at("class"), "found_again");
  EXPECT_EQ(check.at("classes").at("found_again").at("pairs"), 2);
  EXPECT_FALSE(pair.contains("parent"));  // the tokens of each side are not shown
}

}  // namespace
}  // namespace featflow
