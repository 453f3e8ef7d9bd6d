#include "explaining/simulation.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/rng.hpp"

namespace featflow {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;

TEST(Simulation, ActivationsBecomeDigits) {
  EXPECT_EQ(quantised_activation(0, 2), 0);
  EXPECT_EQ(quantised_activation(1e-6F, 2), 1);
  EXPECT_EQ(quantised_activation(1, 2), 5);
  EXPECT_EQ(quantised_activation(1.99F, 2), 9);
  EXPECT_EQ(quantised_activation(2, 2), 9);
  EXPECT_EQ(quantised_activation(3, 2), 9);
  EXPECT_EQ(quantised_activation(1, 0), 0);
}

TEST(Simulation, FindsTheLastListOfAReply) {
  EXPECT_THAT(parse_integers("[0, 3,9]", 3, 9), Optional(ElementsAre(0, 3, 9)));
  EXPECT_THAT(parse_integers("First [1, 1, 1]?\n```json\n[\n0,\n 0, 9 ]\n```", 3, 9),
              Optional(ElementsAre(0, 0, 9)));
  EXPECT_THAT(parse_integers("[1,0] [as asked]", 2, 1), Optional(ElementsAre(1, 0)));
}

TEST(Simulation, RefusesWhatIsNoListOfThisLength) {
  for (const char* reply :
       {"", "0, 3, 9", "[0, 3]", "[0, 3, 9, 1]", "[0, 3, 10]", "[0, -1, 2]", "[0, 3.5, 2]",
        "[0 3 9]", "[0, 3, 9,]", "[,0,3,9]", "[\"0\", 3, 9]", "]0, 3, 9[", "[0, 3, 9", "[[]]",
        "[0, 3, 99999999999999]", "[0, 3, 9] or rather [0, 3]"}) {
    EXPECT_FALSE(parse_integers(reply, 3, 9)) << reply;
  }
}

TEST(Simulation, ReadsEachByteOfAHostileReplyOnce) {
  // With a look back for every bracket these would take hours.
  EXPECT_FALSE(parse_integers("[" + std::string(4 << 20, ']'), 3, 9));
  std::string lists;
  for (int i = 0; i < 1 << 20; ++i) lists += "[x]";
  EXPECT_THAT(parse_integers("[0, 3, 9] " + lists, 3, 9), Optional(ElementsAre(0, 3, 9)));
}

/// Ranks counted pair by pair, and r from the definition by long double sums.
double reference_r(const std::vector<double>& x, const std::vector<double>& y) {
  const auto n = static_cast<long double>(x.size());
  long double sx = 0, sy = 0, sxx = 0, syy = 0, sxy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    sx += x[i], sy += y[i], sxx += x[i] * x[i], syy += y[i] * y[i], sxy += x[i] * y[i];
  }
  return static_cast<double>((n * sxy - sx * sy) /
                             std::sqrt((n * sxx - sx * sx) * (n * syy - sy * sy)));
}

std::vector<double> reference_ranks(const std::vector<double>& values) {
  std::vector<double> ranks;
  for (const double value : values) {
    double below = 0, equal = 0;
    for (const double other : values) below += other < value, equal += other == value;
    ranks.push_back(below + (equal + 1) / 2);
  }
  return ranks;
}

TEST(Simulation, ScoresAreTheDefinitions) {
  Rng rng(3);
  for (int round = 0; round < 20; ++round) {
    std::vector<double> simulated, actual;
    for (int i = 0; i < 200; ++i) {
      const double level = rng.uniform() < 0.7 ? 0 : static_cast<double>(rng.below(10));
      simulated.push_back(level);
      actual.push_back(rng.uniform() < 0.8 ? level * rng.uniform() : 3 * rng.uniform());
    }
    EXPECT_NEAR(*simulation_score(simulated, actual), reference_r(simulated, actual), 1e-12);
    EXPECT_NEAR(*simulation_spearman(simulated, actual),
                reference_r(reference_ranks(simulated), reference_ranks(actual)), 1e-12);
  }
}

TEST(Simulation, ConstantsPredictNothingAndCannotBePredicted) {
  const std::vector<double> varied = {0, 1, 2}, constant = {4, 4, 4};
  EXPECT_EQ(simulation_score(constant, varied), 0);
  EXPECT_EQ(simulation_spearman(constant, varied), 0);
  EXPECT_EQ(simulation_score(varied, constant), std::nullopt);
  EXPECT_EQ(simulation_score({}, {}), std::nullopt);
  EXPECT_EQ(simulation_spearman({}, {}), std::nullopt);
}

TEST(Simulation, BalancedAccuracyIsTheMeanOfBothSides) {
  YesNoCounts counts;
  EXPECT_EQ(counts.balanced_accuracy(), std::nullopt);
  for (int i = 0; i < 8; ++i) counts.add(i < 6, true);  // 6 of 8
  EXPECT_EQ(counts.balanced_accuracy(), std::nullopt);
  for (int i = 0; i < 2; ++i) counts.add(i == 0, false);  // 1 of 2
  EXPECT_EQ(counts.balanced_accuracy(), 0.625);
  EXPECT_EQ(counts.answers(), 10);
}

}  // namespace
}  // namespace featflow
