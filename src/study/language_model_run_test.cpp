#include "study/language_model_run.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.hpp"
#include "storage/files.hpp"
#include "storage/temporary_folder.hpp"

namespace featflow {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSubsetOf;
using ::testing::SizeIs;
using ::testing::ThrowsMessage;

TEST(LanguageModelRun, FeaturesAreDrawnFromEveryClassOfEveryEdge) {
  const TemporaryFolder folder;
  const auto file = folder / "flow.json";
  write_file_atomic(file, R"({"family": [
    {"parent": "A", "child": "B", "parent_features": {"persisting": [1, 2, 3], "disappearing": [7]},
     "child_features": {"emerging": [0, 4]}},
    {"parent": "B", "child": "C", "parent_features": {"persisting": [4, 9], "disappearing": []},
     "child_features": {"emerging": [5]}}]})");
  const auto draw = [&](const char* model, int64_t per_class) {
    Rng rng(1);
    return features_by_class(file, model, per_class, rng);
  };
  EXPECT_THAT(draw("A", 10), ElementsAre(1, 2, 3, 7));
  EXPECT_THAT(draw("B", 10), ElementsAre(0, 4, 9));  // 4 emerges, then persists
  EXPECT_THAT(draw("C", 10), ElementsAre(5));
  EXPECT_THAT(draw("D", 10), SizeIs(0));
  EXPECT_THAT(draw("A", 1), SizeIs(2));
  EXPECT_THAT(draw("A", 2), IsSubsetOf({1, 2, 3, 7}));
  EXPECT_EQ(draw("A", 2), draw("A", 2));
  EXPECT_THAT(draw("A", 0), SizeIs(0));

  write_file_atomic(file, R"({"family": [{"parent": 5}]})");
  EXPECT_THAT([&] { draw("A", 1); }, ThrowsMessage<Error>(HasSubstr("not a flow")));
}

TEST(LanguageModelRun, SaysWhatTheRunLacks) {
  const TemporaryFolder folder;
  SavedStudy saved;
  saved.study.name = "s";
  saved.study.models.emplace_back().name = "Base";
  LanguageModelRunOptions options;
  options.model = "Bas";
  EXPECT_THAT([&] { run_language_model_explanations(saved, folder.path(), options); },
              ThrowsMessage<Error>(HasSubstr("did you mean 'Base'?")));
  options.model = "Base";
  EXPECT_THAT([&] { run_language_model_explanations(saved, folder.path(), options); },
              ThrowsMessage<Error>(HasSubstr("stage flow/flow is missing")));
  options.features = {1};
  EXPECT_THAT([&] { run_language_model_explanations(saved, folder.path(), options); },
              ThrowsMessage<Error>(HasSubstr("stage matching_text/matching_text is missing")));
}

TEST(RunFolder, AStageIsOutOfDateOnceSomethingBelowItIsMadeAnew) {
  const TemporaryFolder folder;
  const auto make = [&](const std::string& stage, const std::string& config,
                        std::map<std::string, std::string> inputs) {
    create_folder(folder / stage);
    ArtifactIdentity identity{stage, "x", 1, config, std::move(inputs)};
    ArtifactBuilder(folder / stage / "x", identity, folder / ".old").commit();
    return identity.fingerprint();
  };
  const std::string a = make("autoencoder", "{}", {{"sources", "of outside"}});
  const std::string b = make("activations", "{}", {{"autoencoder/x", a}});
  make("report", "{}", {{"activations/x", b}, {"language_model/x", "of outside"}});
  EXPECT_EQ(stage_folder(folder.path(), "report/x", "report"), folder / "report/x");
  make("autoencoder", R"({"l1": 2})", {});
  EXPECT_THAT(
      [&] { stage_folder(folder.path(), "report/x", "report"); },
      ThrowsMessage<Error>(HasSubstr("stage report/x is out of date, as autoencoder/x has been "
                                     "made anew since activations/x")));
  EXPECT_EQ(stage_folder(folder.path(), "autoencoder/x", "autoencoder"), folder / "autoencoder/x");
}

TEST(LanguageModelRun, ExplanationsOfFormerFeaturesAreNotUsed) {
  const TemporaryFolder folder;
  const auto file = language_model_explanations_file(folder.path(), "Lua");
  EXPECT_TRUE(current_language_model_explanations(folder.path(), "Lua").empty());
  create_folder(folder / "activations");
  const ArtifactIdentity identity{"activations", "Lua", 1, "{}", {}};
  ArtifactBuilder(folder / "activations" / "Lua", identity, folder / ".old").commit();
  create_folder(file.parent_path());
  write_file_atomic(file, "{\"activations\": \"" + identity.fingerprint() + "\"}");
  EXPECT_EQ(current_language_model_explanations(folder.path(), "Lua"), file);
  for (const char* other :
       {"{\"activations\": \"of others\"}", "{}", "[", "{\"activations\": 5}"}) {
    write_file_atomic(file, other);
    EXPECT_TRUE(current_language_model_explanations(folder.path(), "Lua").empty()) << other;
  }
}

}  // namespace
}  // namespace featflow
