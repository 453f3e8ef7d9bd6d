#include "report/flow_payload.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "flow/verdict.hpp"
#include "report/overview.hpp"
#include "report/synthetic_study.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

using namespace synthetic;  // NOLINT(google-build-using-namespace): the family of these tests

TEST(ReportFlow, CountsOfTheFlowAreThoseOfItsStage) {
  const Json& flow = overview().at("flow");
  ASSERT_EQ(flow.at("family").size(), study().flow().family.size());
  for (size_t i = 0; i < flow.at("family").size(); ++i) {
    const Json& shown = flow.at("family").at(i);
    const EdgeFlow& edge = study().flow().family[i];
    EXPECT_EQ(shown.at("persisting_parent"), edge.persisting_parents.size());
    EXPECT_EQ(shown.at("persisting_child"), edge.persisting_children.size());
    EXPECT_EQ(shown.at("measurable_parent"), edge.parent_counts.measurable);
    EXPECT_EQ(shown.at("emerging"), edge.emerging.size());
    EXPECT_EQ(shown.at("one_to_one"), edge.one_to_one.size());
    EXPECT_EQ(shown.at("thresholds").size(), edge.thresholds.size());
    EXPECT_EQ(shown.at("verdict").is_null(), i != 0);
    EXPECT_EQ(shown.at("nulls").size(), edge.nulls.size());
    EXPECT_EQ(shown.at("permuted").is_null(), edge.parent != "BabyPython" || edge.child != "Lua");
  }
  const Json& merge = flow.at("merges").at(0);
  EXPECT_EQ(merge.at("bases"), Json::array({"BabyPython"}));
  EXPECT_EQ(merge.at("traced"), study().flow().merges[0].traced());
  EXPECT_EQ(flow.at("roots").at(0).at("into_any"), study().flow().roots[0].into_any);
  EXPECT_EQ(flow.at("paths").at(0).at("chains"), study().flow().paths[0].chains);
}

/// The counts of one side of a verdict, and the shares at τ as their parts.
void expect_side(const Json& shown, const SideVerdict& side, double threshold) {
  EXPECT_EQ(shown.at("measurable"), side.counts.measurable);
  EXPECT_EQ(shown.at("persists"), side.persists.size());
  EXPECT_EQ(shown.at("absent"), side.absent.size());
  EXPECT_EQ(shown.at("seed_dependent"), side.seed_dependent.size());
  EXPECT_EQ(shown.at("unresolved"), side.unresolved.size());
  EXPECT_EQ(shown.at("unmeasurable"), side.counts.features - side.counts.measurable);
  const VerdictCounts& counts = side.at(threshold);
  EXPECT_EQ(shown.at("share"), Json({{"matched", counts.matched}, {"of", side.counts.measurable}}));
  EXPECT_EQ(shown.at("ceiling"),
            Json({{"matched", counts.found_again}, {"of", side.counts.measurable}}));
  EXPECT_EQ(shown.at("conditional"), Json({{"matched", counts.both}, {"of", counts.found_again}}));
  EXPECT_EQ(shown.at("thresholds").size(), side.thresholds.size());
}

TEST(ReportFlow, VerdictsAreThoseOfTheirStage) {
  const EdgeFlow& edge = study().flow().family[0];
  const EdgeVerdict& verdict = *edge.verdict;
  // Every class has some features, so that none can stand for another.
  for (const auto* list : {&verdict.of_parent.persists, &verdict.of_parent.absent,
                           &verdict.of_parent.seed_dependent, &verdict.of_parent.unresolved}) {
    ASSERT_FALSE(list->empty()) << verdict.of_parent.persists.size() << " persist, "
                                << verdict.of_parent.absent.size() << " disappeared, "
                                << verdict.of_parent.seed_dependent.size()
                                << " depend on the seed, " << verdict.of_parent.unresolved.size()
                                << " unresolved";
  }
  const Json& shown = overview().at("flow").at("family").at(0).at("verdict");
  expect_side(shown.at("parent"), verdict.of_parent, verdict.threshold);
  expect_side(shown.at("child"), verdict.of_child, verdict.threshold);
  EXPECT_EQ(shown.at("parent").at("persists"), edge.persisting_parents.size());
  EXPECT_EQ(shown.at("child").at("persists"), edge.persisting_children.size());

  // The seed alone is known of the parent only.
  EXPECT_EQ(shown.at("parent").at("same_mixture").at("matched"),
            *verdict.of_parent.at(0.8).same_mixture);
  EXPECT_TRUE(shown.at("child").at("same_mixture").is_null());
  // Side a of the cross-fit is the side's own model.
  const CrossFittedCount& fit = verdict.of_parent.ceiling_fit->a;
  EXPECT_EQ(shown.at("parent").at("ceiling_fit"), Json({{"measurable", fit.measurable},
                                                        {"matched", fit.matched},
                                                        {"low", fit.low},
                                                        {"high", fit.high}}));
  EXPECT_EQ(shown.at("parent").at("conditional_fit").at("both"),
            verdict.of_parent.conditional_fit->both);
  EXPECT_TRUE(shown.at("child").at("ceiling_fit").is_null());
}

TEST(ReportFlow, NullsAndControlsAreThoseOfTheirStage) {
  const Json& flow = overview().at("flow");
  const Significance& null = study().flow().family[0].nulls.at(0);
  const Json& shown = flow.at("family").at(0).at("nulls").at(0);
  EXPECT_EQ(shown.at("null"), "shifted_rows");
  EXPECT_EQ(shown.at("a").at("matched"), study().flow().family[0].persisting_parents.size());
  EXPECT_EQ(shown.at("a").at("matched_significant"), null.a.matched_significant);
  EXPECT_EQ(shown.at("b").at("strata").size(), null.b.strata.size());

  ASSERT_EQ(flow.at("controls").size(), 1U);
  const Json& control = flow.at("controls").at(0);
  const EdgeFlow& edge = study().flow().controls[0];
  EXPECT_EQ(control.at("child"), "AnotherSeed");
  EXPECT_EQ(control.at("persisting_parent"), edge.persisting_parents.size());
  EXPECT_EQ(control.at("persisting_child"), edge.persisting_children.size());
  EXPECT_EQ(control.at("nature"), "another seed");
}

TEST(ReportFlow, SaysWhatAControlIsWhereItIsKnown) {
  const FlowPayload flow(study().inputs.flow);
  using Nature = ReportControl::Nature;
  const auto nature = [&](const std::string& child, Nature known) {
    return flow.summary({}, {{"BabyPython", child, known}}).at("controls").at(0).at("nature");
  };
  EXPECT_EQ(nature("AnotherSeed", Nature::kOwnText), "own text");
  EXPECT_EQ(nature("AnotherSeed", Nature::kRandomWeights), "random weights");
  EXPECT_TRUE(nature("Lua", Nature::kOwnText).is_null());
}

TEST(ReportFlow, FilesWithoutControlsAreRead) {
  Json flow = read_stage_json(study().inputs.flow);
  flow.erase("controls");
  for (Json& edge : flow["family"]) edge.erase("nulls"), edge.erase("verdict");
  const fs::path file = study().folder() / "older-flow.json";
  write_file_atomic(file, flow.dump());
  const Json summary = FlowPayload(file).summary({});
  EXPECT_TRUE(summary.at("controls").empty());
  EXPECT_TRUE(summary.at("family").at(0).at("verdict").is_null());
  EXPECT_TRUE(summary.at("family").at(0).at("nulls").empty());
}

}  // namespace
}  // namespace featflow
