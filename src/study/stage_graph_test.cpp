#include "study/stage_graph.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

// A study of trivial stages: a source of numbers, their double, and the sum of both.
class StageGraphTest : public testing::Test {
 protected:
  void SetUp() override {
    run_ = fs::path(testing::TempDir()) /
           testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(run_);
  }

  static int number(const fs::path& folder) { return std::stoi(read_file(folder / "n")); }

  StageGraph graph(int value, double factor = 2) {
    StageGraph g;
    g.add({.kind = "number",
           .name = "a",
           .config = "{\"value\":" + std::to_string(value) + "}",
           .run = [this, value](const StageContext& c) {
             ran_.push_back("number/a");
             write_file_atomic(c.folder / "n", std::to_string(value));
           }});
    g.add({.kind = "twice",
           .name = "a",
           .config = "{\"factor\":" + std::to_string(factor) + "}",
           .inputs = {"number/a"},
           .run = [this, factor](const StageContext& c) {
             ran_.push_back(c.resumed ? "twice/a resumed" : "twice/a");
             if (fail_) {
               write_file_atomic(c.folder / "checkpoint", "half");
               throw Error("on purpose");
             }
             write_file_atomic(c.folder / "n", std::to_string(static_cast<int>(factor) *
                                                              number(c.input("number/a"))));
             fs::remove(c.folder / "checkpoint");
           }});
    g.add({.kind = "sum",
           .name = "all",
           .inputs = {"number/a", "twice/a"},
           .run = [this](const StageContext& c) {
             ran_.push_back("sum/all");
             write_file_atomic(c.folder / "n", std::to_string(number(c.input("number/a")) +
                                                              number(c.input("twice/a"))));
           }});
    return g;
  }

  std::vector<std::string> execute(const StageGraph& g, const std::string& until = {}) {
    ran_.clear();
    fs::create_directories(run_);
    g.execute(run_, until);
    return ran_;
  }

  fs::path run_;
  std::vector<std::string> ran_;
  bool fail_ = false;
};

TEST_F(StageGraphTest, RunsInOrderOnceAndReuses) {
  EXPECT_THAT(execute(graph(3)), ElementsAre("number/a", "twice/a", "sum/all"));
  EXPECT_EQ(number(run_ / "sum/all"), 9);
  EXPECT_THAT(execute(graph(3)), ElementsAre());
}

TEST_F(StageGraphTest, AChangeRerunsWhatDependsOnItAndSaysWhy) {
  execute(graph(3));
  const auto plan = graph(3, 5).plan(run_);
  EXPECT_EQ(plan[0].state, StageState::kReady);
  EXPECT_EQ(plan[1].state, StageState::kStale);
  EXPECT_EQ(plan[1].reason, "factor 2.0 → 5.0");
  EXPECT_EQ(plan[2].reason, "input twice/a changed");
  EXPECT_THAT(execute(graph(3, 5)), ElementsAre("twice/a", "sum/all"));
  EXPECT_EQ(number(run_ / "sum/all"), 18);
  EXPECT_FALSE(fs::is_empty(run_ / ".old"));  // superseded, not lost
}

TEST_F(StageGraphTest, WhatASettingHadMadeIsPutBackWithIt) {
  execute(graph(3));
  execute(graph(3, 5));
  const auto plan = graph(3).plan(run_);
  EXPECT_EQ(plan[0].state, StageState::kReady);
  EXPECT_EQ(plan[1].state, StageState::kKept);
  EXPECT_EQ(plan[2].state, StageState::kKept);
  EXPECT_THAT(execute(graph(3)), ElementsAre());
  EXPECT_EQ(number(run_ / "sum/all"), 9);
  EXPECT_EQ(graph(3).plan(run_)[2].state, StageState::kReady);
  EXPECT_THAT(execute(graph(3, 5)), ElementsAre());
  EXPECT_EQ(number(run_ / "sum/all"), 18);
}

TEST_F(StageGraphTest, AFailureLosesNothingAndIsResumed) {
  fail_ = true;
  EXPECT_THROW(execute(graph(3)), Error);
  EXPECT_EQ(number(run_ / "number/a"), 3);
  EXPECT_FALSE(fs::exists(run_ / "twice/a"));
  EXPECT_EQ(graph(3).plan(run_)[1].state, StageState::kPartial);
  fail_ = false;
  EXPECT_THAT(execute(graph(3)), ElementsAre("twice/a resumed", "sum/all"));
  // The checkpoints of another config are never resumed.
  fail_ = true;
  EXPECT_THROW(execute(graph(3, 5)), Error);
  fail_ = false;
  EXPECT_THAT(execute(graph(3, 7)), ElementsAre("twice/a", "sum/all"));
}

TEST_F(StageGraphTest, UntilRunsOnlyWhatIsNeeded) {
  EXPECT_THAT(execute(graph(3), "twice"), ElementsAre("number/a", "twice/a"));
  EXPECT_THAT(execute(graph(3), "sum/all"), ElementsAre("sum/all"));
  try {
    graph(3).plan(run_, "twise");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("did you mean 'twice'"));
  }
}

TEST_F(StageGraphTest, UndeclaredInputsAreBugs) {
  StageGraph g;
  EXPECT_THROW(g.add({.kind = "x", .name = "y", .inputs = {"nothing/here"}}), InternalError);
  g.add({.kind = "x", .name = "y", .run = [](const StageContext& c) { c.input("other/stage"); }});
  EXPECT_THROW(execute(g), InternalError);
}

TEST_F(StageGraphTest, TheSameStudyTwiceGivesTheSameBytes) {
  execute(graph(3));
  const auto first = read_file(run_ / "sum/all/artifact.json");
  fs::remove_all(run_);
  execute(graph(3));
  EXPECT_EQ(read_file(run_ / "sum/all/artifact.json"), first);
}

}  // namespace
}  // namespace featflow
