#include "merging/sweep.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.hpp"
#include "core/rng.hpp"
#include "storage/files.hpp"
#include "storage/safetensors.hpp"

namespace featflow {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kPositions = 1'000'000;  // a document's: accuracies in steps of 1e-6

/// Accuracy of a text's document at t.
using Accuracy = std::function<double(int which, int document, double t)>;

DocumentScores scores_at(const Accuracy& accuracy, int which, double t, int documents = 4) {
  DocumentScores scores;
  for (int document = 0; document < documents; ++document) {
    const double share = accuracy(which, document, t);
    scores.predicted.push_back(kPositions);
    scores.correct.push_back(std::llround(kPositions * share));
    scores.loss.push_back(kPositions * (3 - share) / (1 + document));
  }
  return scores;
}

/// Models of one weight that says where they are: 0 is A, 1 is B, merged linearly t; base is -1.
Checkpoint model_at(float t) {
  Checkpoint model;
  model.tensors["w"] = {{2}, {t, 1}};
  return model;
}
double t_of(const Checkpoint& model) { return double{model.tensors.at("w").data[0]}; }

Evaluate evaluate_with(Accuracy accuracy) {
  return [accuracy](const Checkpoint& model, int which) {
    return scores_at(accuracy, which, t_of(model));
  };
}

std::vector<CurvePoint> curve_of(const Accuracy& accuracy, int steps = 51) {
  std::vector<CurvePoint> curve;
  for (int i = 0; i < steps; ++i) {
    const double t = static_cast<double>(i) / (steps - 1);
    curve.push_back({t, {scores_at(accuracy, 0, t), scores_at(accuracy, 1, t)}});
  }
  return curve;
}

class SweepTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(root_);
    create_folder(root_);
    config_.merge.method = MergeMethod::kLinear;
    config_.names = {"Lua", "TinyStories"};
    config_.base_name = "BabyPython";
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  SweepResult run(const Evaluate& evaluate, const std::string& folder = "sweep",
                  bool with_base = true) {
    return sweep(a_, b_, with_base ? &base_ : nullptr, config_, evaluate, root_ / folder);
  }
  std::string error_of(const Evaluate& evaluate) {
    try {
      run(evaluate);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
  std::map<std::string, std::string> files(const std::string& folder) const {
    std::map<std::string, std::string> content;
    for (const auto& entry : std::filesystem::directory_iterator(root_ / folder)) {
      content[entry.path().filename().string()] = read_file(entry.path());
    }
    return content;
  }
  nlohmann::json json(const std::string& folder = "sweep") const {
    return nlohmann::json::parse(read_file(root_ / folder / "sweep.json"));
  }

  // A folder for each test: ctest may run several at once.
  std::filesystem::path root_ = std::filesystem::path(::testing::TempDir()) /
                                (std::string("sweep_test_") +
                                 ::testing::UnitTest::GetInstance()->current_test_info()->name());
  Checkpoint a_ = model_at(0), b_ = model_at(1), base_ = model_at(-1);
  SweepConfig config_;
};

// Lua falls from 0.8 to 0.4, TinyStories rises from 0.3 to 0.8; the base has 0.25 on both.
double crossing_lines(int which, int, double t) {
  if (t < 0) return 0.25;
  return which == 0 ? 0.8 - 0.4 * t : 0.3 + 0.5 * t;
}

TEST(Crossings, ByHand) {
  const std::vector<double> t = {0, 1, 2, 3, 4};
  const auto at = [&](std::vector<double> d) { return crossings(t, d); };
  EXPECT_THAT(at({1, 2, 3, 2, 1}), IsEmpty());
  EXPECT_THAT(at({-1, 3, 1, 1, 1}), ElementsAre(0.25));
  EXPECT_THAT(at({1, -1, -1, 1, -3}), ElementsAre(0.5, 2.5, 3.25));
  EXPECT_THAT(at({1, 0, -1, -1, -1}), ElementsAre(1));  // once, on the grid
  EXPECT_THAT(at({1, 0, 1, 1, 1}), ElementsAre(1));     // touched, not crossed
  EXPECT_THAT(at({0, 1, 1, 1, 0}), ElementsAre(0, 4));  // at the ends
  EXPECT_THAT(at({1, 0, 0, 0, -1}), ElementsAre(2));    // a run of ties is one
  EXPECT_THAT(at({0, 0, 0, 0, 0}), ElementsAre(2));
}

TEST(Crossings, RandomCurvesAgreeWithAFineScan) {
  Rng rng(7);
  for (int repeat = 0; repeat < 50; ++repeat) {
    std::vector<double> t = {0}, d = {rng.normal()};
    for (int i = 0; i < 20; ++i) {
      t.push_back(t.back() + 0.1 + rng.uniform());
      d.push_back(rng.normal());
    }
    const std::vector<double> roots = crossings(t, d);
    // Independent of segments' ends: the sign is followed in small steps along the curve.
    std::vector<double> scanned;
    for (size_t i = 0; i + 1 < t.size(); ++i) {
      constexpr int kSteps = 2000;
      for (int k = 0; k < kSteps; ++k) {
        const auto value = [&](double x) { return d[i] * (1 - x) + d[i + 1] * x; };
        if (std::signbit(value(double(k) / kSteps)) != std::signbit(value((k + 1.) / kSteps))) {
          scanned.push_back(t[i] + (k + 0.5) / kSteps * (t[i + 1] - t[i]));
        }
      }
    }
    ASSERT_EQ(roots.size(), scanned.size());
    for (size_t i = 0; i < roots.size(); ++i) EXPECT_NEAR(roots[i], scanned[i], 1.2e-3 / 2);
  }
}

TEST(Balance, OneCrossingIsExactBetweenGridPoints) {
  const Balance balance = find_balance(curve_of(crossing_lines));
  EXPECT_NEAR(balance.t, 0.5 / 0.9, 1e-9);
  EXPECT_EQ(balance.crossings, 1);
  EXPECT_FALSE(balance.warning);

  // A curve with a kink at t = 0.4: flat at 0.7, then falling by 0.5 t; TinyStories at 0.655.
  const Balance kinked = find_balance(curve_of([](int which, int, double t) {
    return which == 1 ? 0.655 : 0.7 - 0.5 * std::max(0., t - 0.4);
  }));
  EXPECT_NEAR(kinked.t, 0.49, 1e-9);
}

TEST(Balance, NoCrossingTakesTheSmallestDifferenceAndSaysSo) {
  // Lua above TinyStories by 0.05 + 0.5 (t - 0.3)²: nearest at t = 0.3.
  const auto above = [](int which, int, double t) {
    return which == 1 ? 0.2 : 0.25 + 0.5 * (t - 0.3) * (t - 0.3);
  };
  const Balance balance = find_balance(curve_of(above), {"Lua", "TinyStories"});
  EXPECT_DOUBLE_EQ(balance.t, 0.3);
  EXPECT_EQ(balance.crossings, 0);
  EXPECT_THAT(balance.warning.value(),
              AllOf(HasSubstr("no balance point"), HasSubstr("Lua's text is above"),
                    HasSubstr("t = 0.3 "), HasSubstr("+0.0500")));
  const auto below = [&](int which, int document, double t) {
    return above(1 - which, document, t);
  };
  EXPECT_THAT(find_balance(curve_of(below)).warning.value(),
              AllOf(HasSubstr("A's text is below"), HasSubstr("-0.0500")));
}

TEST(Balance, SeveralCrossingsTakeTheOneNearestTheMiddle) {
  // Differences of 0.1 |…| with zeros at 0.11, 0.37 and 0.83, linear between: 0.37 is taken.
  const Balance balance = find_balance(curve_of([](int which, int, double t) {
    if (which == 1) return 0.5;
    if (t <= 0.24) return 0.5 + (0.11 - t);
    if (t <= 0.6) return 0.5 + (t - 0.37);
    return 0.5 + (0.83 - t);
  }));
  EXPECT_NEAR(balance.t, 0.37, 1e-9);
  EXPECT_EQ(balance.crossings, 3);
  EXPECT_THAT(
      balance.warning.value(),
      AllOf(HasSubstr("3 balance points"), HasSubstr("0.11, 0.37, 0.83"), HasSubstr("took 0.37")));
}

TEST_F(SweepTest, ChosenOnEvenDocumentsReportedOnOddOnes) {
  // Even documents meet at t = 0.3 and odd ones at 0.7: there Lua is still 0.4 ahead.
  const SweepResult result = run(evaluate_with([](int which, int document, double t) {
    if (t < 0) return 0.1;
    const double meeting = document % 2 == 0 ? 0.3 : 0.7;
    return which == 0 ? 0.5 - 0.5 * (t - meeting) : 0.5 + 0.5 * (t - meeting);
  }));
  EXPECT_NEAR(result.balance.t, 0.3, 1e-9);
  EXPECT_EQ(result.balance.crossings, 1);
  EXPECT_THAT(result.warnings, IsEmpty());
  const auto balance = json().at("balance");
  EXPECT_EQ(balance.at("half_chosen"), 0);
  EXPECT_NEAR(balance.at("chosen_half").at("accuracy_a").get<double>(), 0.5, 1e-6);
  EXPECT_NEAR(balance.at("chosen_half").at("accuracy_b").get<double>(), 0.5, 1e-6);
  EXPECT_NEAR(balance.at("other_half").at("accuracy_a").get<double>(), 0.7, 1e-6);
  EXPECT_NEAR(balance.at("other_half").at("accuracy_b").get<double>(), 0.3, 1e-6);
  EXPECT_NEAR(balance.at("difference_other_half").get<double>(), 0.4, 2e-6);
  EXPECT_NEAR(balance.at("merged").at("accuracy_a").get<double>(), 0.6, 1e-6);
  EXPECT_TRUE(balance.at("warning").is_null());
  // Documents of a half are alike, so whichever are drawn: on the half no interval to speak of; of
  // all four both kinds are drawn, and t* lies anywhere between theirs.
  EXPECT_EQ(balance.at("rule"), "accuracy");
  EXPECT_NEAR(balance.at("interval").at("low").get<double>(), 0.3, 1e-9);
  EXPECT_NEAR(balance.at("interval").at("high").get<double>(), 0.3, 1e-9);
  EXPECT_EQ(balance.at("interval").at("resamples"), 1000);
  EXPECT_EQ(balance.at("interval").at("documents_a"), 2);
  const auto all = balance.at("all_documents");
  EXPECT_NEAR(all.at("t").get<double>(), 0.5, 1e-6);
  EXPECT_NEAR(all.at("interval").at("low").get<double>(), 0.35, 1e-6);
  EXPECT_NEAR(all.at("interval").at("high").get<double>(), 0.65, 1e-6);
}

TEST_F(SweepTest, WritesWhatWasMeasured) {
  config_.steps = 6;
  std::vector<double> evaluated;
  const SweepResult result = run([&](const Checkpoint& model, int which) {
    if (which == 0) evaluated.push_back(t_of(model));
    return scores_at(crossing_lines, which, t_of(model));
  });
  // Every model once: the grid (its ends are the parents), the base, the balance point.
  ASSERT_EQ(evaluated.size(), 8);
  for (int i = 0; i <= 5; ++i) EXPECT_FLOAT_EQ(evaluated[i], i / 5.f);
  EXPECT_EQ(evaluated[6], -1);
  EXPECT_NEAR(evaluated[7], 0.5 / 0.9, 1e-7);

  ASSERT_EQ(result.curve.size(), 6);
  EXPECT_NEAR(result.base.value().a.accuracy(), 0.25, 1e-9);
  EXPECT_NEAR(result.merged.a.accuracy(), result.merged.b.accuracy(), 3e-6);
  EXPECT_EQ(result.tensors.at(0).branch, "lerp");
  EXPECT_NEAR(result.tensors.at(0).norm_merged, std::hypot(0.5 / 0.9, 1), 1e-7);

  EXPECT_THAT(files("sweep"), ::testing::SizeIs(3));
  const auto j = json();
  EXPECT_EQ(j.at("method"), "linear");
  EXPECT_EQ(j.at("direction"), "t = 0 is Lua, t = 1 is TinyStories");
  EXPECT_EQ(j.at("a"), "Lua");
  EXPECT_EQ(j.at("b"), "TinyStories");
  EXPECT_EQ(j.at("base"), "BabyPython");
  EXPECT_NEAR(j.at("baselines").at("a").at("accuracy_a").get<double>(), 0.8, 1e-9);
  EXPECT_NEAR(j.at("baselines").at("b").at("accuracy_a").get<double>(), 0.4, 1e-9);
  EXPECT_NEAR(j.at("baselines").at("b").at("accuracy_b").get<double>(), 0.8, 1e-9);
  EXPECT_NEAR(j.at("baselines").at("base").at("accuracy_b").get<double>(), 0.25, 1e-9);
  ASSERT_EQ(j.at("curve").size(), 6);
  EXPECT_EQ(j.at("curve").at(2).at("t"), 0.4);
  EXPECT_NEAR(j.at("curve").at(2).at("accuracy_b").get<double>(), 0.5, 1e-6);
  EXPECT_EQ(j.at("tensors").at(0).at("name"), "w");

  // One line per point; the numbers are the JSON's.
  std::istringstream csv(read_file(root_ / "sweep" / "sweep.csv"));
  std::string line;
  std::getline(csv, line);
  EXPECT_EQ(line, "t,accuracy_a,accuracy_b,loss_a,loss_b");
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(std::getline(csv, line));
    double value[5];
    ASSERT_EQ(std::sscanf(line.c_str(), "%lf,%lf,%lf,%lf,%lf", &value[0], &value[1], &value[2],
                          &value[3], &value[4]),
              5);
    EXPECT_EQ(value[0], i / 5.);
    // Losses of documents are (3 − accuracy) / (1 + document) per position: mean of 1, 1/2, 1/3,
    // 1/4.
    const double loss_scale = (1 + 1. / 2 + 1. / 3 + 1. / 4) / 4;
    EXPECT_NEAR(value[1], 0.8 - 0.4 * value[0], 1e-6);
    EXPECT_NEAR(value[2], 0.3 + 0.5 * value[0], 1e-6);
    EXPECT_NEAR(value[3], loss_scale * (2.2 + 0.4 * value[0]), 1e-6);
    EXPECT_NEAR(value[4], loss_scale * (2.7 - 0.5 * value[0]), 1e-6);
    EXPECT_EQ(value[4], j.at("curve").at(i).at("loss_b").get<double>());
  }
  EXPECT_FALSE(std::getline(csv, line));

  const SafetensorsFile scores(root_ / "sweep" / "scores.safetensors");
  EXPECT_EQ(scores.metadata("direction"), "t = 0 is Lua, t = 1 is TinyStories");
  EXPECT_EQ(std::stod(scores.metadata("balance_t")), result.balance.t);
  EXPECT_EQ(scores.read<double>("t", {6})[4], 0.8);
  EXPECT_EQ(scores.read<int64_t>("a.predicted", {4}), std::vector<int64_t>(4, kPositions));
  const auto correct = scores.read<int64_t>("b.correct", {6, 4});
  const auto loss = scores.read<double>("b.loss", {6, 4});
  for (int i = 0; i < 24; ++i) {
    const DocumentScores& expected = result.curve[i / 4].scores.b;
    EXPECT_EQ(correct[i], expected.correct[i % 4]);
    EXPECT_EQ(loss[i], expected.loss[i % 4]);
  }
  EXPECT_EQ(scores.read<int64_t>("base.b.correct", {4}), result.base->b.correct);
  EXPECT_EQ(scores.read<double>("balance.a.loss", {4}), result.merged.a.loss);
}

TEST_F(SweepTest, BalancesGains) {
  // On Lua's text gain falls from 1 to 0.15 / 0.55, on TinyStories' it rises from 0.05 / 0.55 to 1.
  config_.balance = BalanceRule::kGain;
  const SweepResult result = run(evaluate_with(crossing_lines));
  EXPECT_NEAR(result.balance.t, 0.5 / 0.9, 1e-9);  // equal spans: as the accuracies
  // The same merges against a base that knows more of Lua: 0.65 there, the gain is a third as wide.
  const SweepResult other =
      run(evaluate_with([](int which, int document, double t) {
            return which == 0 && t < 0 ? 0.65 : crossing_lines(which, document, t);
          }),
          "other");
  // 1 − 0.4 t / 0.15 = (0.05 + 0.5 t) / 0.55.
  const double t = (1 - 0.05 / 0.55) / (0.4 / 0.15 + 0.5 / 0.55);
  EXPECT_NEAR(other.balance.t, t, 1e-5);
  const auto balance = json("other").at("balance");
  EXPECT_EQ(balance.at("rule"), "gain");
  for (const char* half : {"chosen_half", "other_half", "merged"}) {
    EXPECT_NEAR(balance.at(half).at("gain_a").get<double>(), (0.05 + 0.5 * t) / 0.55, 1e-4);
    EXPECT_NEAR(balance.at(half).at("gain_b").get<double>(), (0.05 + 0.5 * t) / 0.55, 1e-4);
  }
  EXPECT_NEAR(balance.at("difference_other_half").get<double>(), 0, 2e-4);
  EXPECT_NEAR(balance.at("interval").at("low").get<double>(), t, 1e-5);

  EXPECT_THROW(run(evaluate_with(crossing_lines), "no base", false), Error);
  EXPECT_THAT(error_of(evaluate_with([](int which, int document, double x) {
                return x < 0 ? 0.8 : crossing_lines(which, document, x);
              })),
              HasSubstr("Lua's accuracy on its own text is 0.8000 and the base's 0.8000"));
}

TEST_F(SweepTest, SlerpMergesAreWhatIsEvaluated) {
  config_.merge.method = MergeMethod::kSlerp;
  config_.steps = 5;
  a_.tensors["w"].data = {1, 0};
  b_.tensors["w"].data = {0, 1};
  // On the quarter circle the angle is t; accuracies meet at t = 0.6.
  const SweepResult result = run(
      [](const Checkpoint& model, int which) {
        const std::vector<float>& w = model.tensors.at("w").data;
        EXPECT_NEAR(std::hypot(w[0], w[1]), 1, 1e-6);
        const double t = std::atan2(w[1], w[0]) / std::atan2(1, 0);
        return scores_at(
            [](int text, int, double x) { return text == 0 ? 0.9 - x / 2 : 0.3 + x / 2; }, which,
            t);
      },
      "sweep", false);
  EXPECT_NEAR(result.balance.t, 0.6, 1e-5);
  EXPECT_EQ(result.tensors.at(0).branch, "slerp");
  EXPECT_FALSE(result.base);
  EXPECT_TRUE(json().at("base").is_null());
  EXPECT_TRUE(json().at("baselines").at("base").is_null());
}

TEST_F(SweepTest, WarnsWhereTheBaseIsBetter) {
  const SweepResult result = run(evaluate_with([](int which, int document, double t) {
    if (t < 0) return which == 0 ? 0.9 : 0.1;
    return crossing_lines(which, document, t);
  }));
  ASSERT_EQ(result.warnings.size(), 1);
  EXPECT_THAT(result.warnings[0],
              AllOf(HasSubstr("Lua's text"), HasSubstr("below that of BabyPython")));
  EXPECT_EQ(json().at("warnings").at(0), result.warnings[0]);
}

// One element is A's alone, one B's alone: ties gives both whole at every t between the ends.
TEST_F(SweepTest, WarnsWhereTiesJumps) {
  config_.merge = {MergeMethod::kTies, 1};
  const auto model = [](float of_a, float of_b) {
    Checkpoint checkpoint;
    checkpoint.tensors["w"] = {{2}, {of_a, of_b}};
    return checkpoint;
  };
  a_ = model(1, 0), b_ = model(0, 1), base_ = model(0, 0);
  const SweepResult result = run([](const Checkpoint& merged, int which) {
    const bool of_a = merged.tensors.at("w").data[0] == 1,
               of_b = merged.tensors.at("w").data[1] == 1;
    const double on_a = of_a ? of_b ? 0.5 : 0.8 : 0.3, on_b = of_b ? 0.6 : 0.3;
    return scores_at([=](int text, int, double) { return text == 0 ? on_a : on_b; }, which, 0);
  });
  EXPECT_GT(result.balance.t, 0);
  EXPECT_LT(result.balance.t, 0.02);
  EXPECT_THAT(result.warnings, ::testing::Contains(HasSubstr("beside an end of the curve")));
  const SafetensorsFile scores(root_ / "sweep" / "scores.safetensors");
  EXPECT_EQ(scores.read<int64_t>("child.a.correct", {4}), result.parent_a.a.correct);
  EXPECT_EQ(scores.read<int64_t>("child.b.correct", {4}), result.parent_b.b.correct);
}

TEST_F(SweepTest, BalanceOnTheGridIsNotEvaluatedAgain) {
  config_.steps = 3;
  int calls = 0;
  const SweepResult result = run(
      [&](const Checkpoint& model, int which) {
        ++calls;
        return scores_at(
            [](int text, int, double t) { return text == 0 ? 0.9 - t / 2 : 0.5 - t / 4; }, which,
            t_of(model));
      },
      "sweep", false);
  EXPECT_EQ(result.balance.t, 1);
  EXPECT_EQ(result.warnings.size(), 1);
  EXPECT_EQ(calls, 6);
  EXPECT_EQ(result.merged.a.correct, result.curve.back().scores.a.correct);
}

TEST_F(SweepTest, ResumesToTheSameBytes) {
  run(evaluate_with(crossing_lines), "whole");

  // How many evaluations a run into `folder` made, killed before number `limit`.
  const auto evaluations = [&](const std::string& folder, int limit) {
    int calls = 0;
    const auto counted = [&](const Checkpoint& model, int which) {
      if (calls == limit) throw std::runtime_error("killed");
      ++calls;
      return scores_at(crossing_lines, which, t_of(model));
    };
    try {
      run(counted, folder);
    } catch (const std::runtime_error&) {
      EXPECT_THAT(files(folder), ::testing::SizeIs(1));
    }
    return calls;
  };
  // 51 grid points, base and balance on two texts. Killed on either text of grid point 7, at the
  // base, at the balance point: finished pairs are kept.
  constexpr int kAll = 106;
  for (const int limit : {14, 15, 102, 105}) {
    const std::string folder = "killed_at_" + std::to_string(limit);
    EXPECT_EQ(evaluations(folder, limit), limit);
    EXPECT_EQ(evaluations(folder, kAll), kAll - limit / 2 * 2);
    EXPECT_EQ(files(folder), files("whole"));
  }

  // The last of 10 lines torn, as by a crash of the machine, with its end missing or garbled; what
  // is appended after it must be readable by a third run.
  for (const std::string tail : {"", "\n"}) {
    const std::string folder = "torn" + std::to_string(tail.size());
    EXPECT_EQ(evaluations(folder, 20), 20);
    const std::filesystem::path log = root_ / folder / "sweep.progress";
    write_file_atomic(log, read_file(log).substr(0, std::filesystem::file_size(log) - 9) + tail);
    EXPECT_EQ(evaluations(folder, 6), 6);
    EXPECT_EQ(evaluations(folder, kAll), kAll - 20 - 6 + 2);
    EXPECT_EQ(files(folder), files("whole"));
  }
}

TEST_F(SweepTest, ProgressOfAnotherSweepIsNotUsed) {
  const auto stop = [](const Checkpoint& model, int which) {
    if (t_of(model) > 0.5) throw std::runtime_error("killed");
    return scores_at(crossing_lines, which, t_of(model));
  };
  EXPECT_THROW(run(stop), std::runtime_error);
  // Other weights of B: nothing measured before holds.
  b_.tensors["w"].data[1] = 2;
  int calls = 0;
  run([&](const Checkpoint& model, int which) {
    ++calls;
    return scores_at(crossing_lines, which, t_of(model));
  });
  EXPECT_EQ(calls, 106);
}

TEST_F(SweepTest, RefusesWhatCannotBeMeasured) {
  const auto documents = [](int count) {
    return [count](const Checkpoint& model, int which) {
      return scores_at(crossing_lines, which, t_of(model), count);
    };
  };
  EXPECT_THAT(error_of(documents(1)),
              AllOf(HasSubstr("none of the odd documents"), HasSubstr("1 documents")));
  EXPECT_EQ(error_of(documents(2)), "no error");

  // A diverged merge keeps what was done before it.
  EXPECT_THAT(
      error_of([](const Checkpoint& model, int which) {
        DocumentScores scores = scores_at(crossing_lines, which, t_of(model));
        if (t_of(model) > 0.5) scores.loss[1] = std::numeric_limits<double>::quiet_NaN();
        return scores;
      }),
      HasSubstr(
          "sweep: merge at t = 0.52 on the validation text of 'Lua': a document's loss is nan"));
  // Then another text: noticed.
  EXPECT_THAT(error_of(documents(6)),
              AllOf(HasSubstr("other documents"), HasSubstr("sweep.progress")));

  config_.steps = 1;
  EXPECT_THAT(error_of(documents(4)), HasSubstr("1 steps"));
  config_.steps = 3;
  base_.config.vocab_size = 5;
  EXPECT_THAT(error_of(documents(4)), HasSubstr("vocabulary of 5 tokens"));
}

}  // namespace
}  // namespace featflow
