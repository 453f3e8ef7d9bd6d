#include "study/stages.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "core/error.hpp"
#include "storage/files.hpp"
#include "study/language_model_run.hpp"
#include "study/test_family.hpp"

namespace featflow {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(Stages, ComparedMergesAreModelsOfTheirOwn) {
  const Study study =
      parse_study(replaced(kFamily, "t = \"balance\"",
                           "t = 0.5, scale = 3, compare = [\"ties\", \"slerp\", \"ties\"]"),
                  "study.toml", "/base");
  // The own method is not repeated.
  const std::vector<ModelSettings> others = compared_merges(study.model("Merged"));
  ASSERT_EQ(others.size(), 1);
  EXPECT_EQ(others[0].name, "Merged+ties");
  EXPECT_EQ(others[0].merge.method, "ties");
  EXPECT_TRUE(others[0].merge.balanced());
  EXPECT_EQ(others[0].merge.density, 0.5);
  EXPECT_LT(others[0].merge.scale, 0);  // its default
  EXPECT_EQ(study.models.size(), 4);
}

// What a language model said of a run's features is part of what its report is made from.
TEST(Stages, TheReportKnowsWhatALanguageModelSaid) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "language_model_said";
  for (const char* corpus : {"english", "lua", "stories"}) {
    create_folder(folder / corpus);
    write_file_atomic(folder / corpus / "text.jsonl", "{\"text\": \"a\"}\n");
  }
  const Study study = parse_study(kFamily, "study.toml", folder);
  const auto report = [&] {
    const StageGraph graph = build_stages(study, folder / "run");
    return graph.stages().back().external;
  };
  std::filesystem::remove_all(folder / "run");
  EXPECT_TRUE(report().empty());
  const auto said = language_model_explanations_file(folder / "run", study.family()[0].name);
  create_folder(said.parent_path());
  write_file_atomic(said, "{\"features\": []}");
  const auto first = report();
  EXPECT_EQ(first.size(), 1);
  write_file_atomic(said, "{\"features\": [1]}");
  EXPECT_NE(report(), first);
}

TEST(Stages, MergesToCompareAreNoPartOfTheFamily) {
  std::string text = replaced(kFamily, "t = \"balance\"", "compare = [\"ties\"]");
  const auto folder = std::filesystem::path(testing::TempDir()) / "merges_to_compare";
  for (const char* corpus : {"english", "lua", "stories"}) {
    create_folder(folder / corpus);
    write_file_atomic(folder / corpus / "text.jsonl", "{\"text\": \"a\"}\n");
  }
  const auto stages_of = [&](const std::string& toml) {
    std::set<std::string> ids;
    const Study study = parse_study(toml, "study.toml", folder);
    const StageGraph graph = build_stages(study);
    for (const Stage& stage : graph.stages()) ids.insert(stage.id());
    return ids;
  };
  std::set<std::string> ids = stages_of(text);
  for (const char* added :
       {"sweep/Merged+ties", "model/Merged+ties", "evaluation/Merged+ties", "retained/Merged"}) {
    EXPECT_EQ(ids.erase(added), 1) << added;
  }
  EXPECT_EQ(ids, stages_of(kFamily));

  // Methods and rules that need a common base.
  const auto refusal = [&](const std::string& keys) -> std::string {
    try {
      stages_of(replaced(replaced(kFamily, "parent = \"Base\"\ncorpora = { lua", "corpora = { lua"),
                         "t = \"balance\"", keys));
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(refusal("compare = [\"ties\"]"),
              AllOf(HasSubstr("Merged+ties: ties adds"), HasSubstr("common base")));
  EXPECT_THAT(refusal("balance = \"gain\""),
              AllOf(HasSubstr("balance = \"gain\" measures"), HasSubstr("common base")));
  EXPECT_EQ(refusal("compare = [\"linear\"]"), "no error");
}

}  // namespace
}  // namespace featflow
