#include "matching/matches.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "storage/files.hpp"
#include "storage/safetensors.hpp"
#include "storage/temporary_folder.hpp"

namespace featflow {
namespace {

Matches example() {
  Matches matches;
  matches.a = {"base", {100, 40, 3, 0}, {20, 20, 2, 0}};
  matches.b = {"child", {50, 60, 2}, {20, 20, 2}};
  matches.corpus = "text";
  matches.corpora = {"lua", "python, \"3\""};
  matches.row_count = 1000;
  matches.floor = 0.3;
  matches.pairs = {{0, 0, 0.91f}, {0, 1, 0.84f}, {1, 0, 0.4f}, {2, 2, 1.0f}};
  matches.best_of_a = {{0, 0, 0.91f}, {1, 0, 0.4f}, {2, 2, 1.0f}};
  matches.best_of_b = {{0, 0, 0.91f}, {0, 1, 0.84f}, {2, 2, 1.0f}};
  return matches;
}

TEST(Matches, CountMeasurableFeaturesApartFromAll) {
  EXPECT_EQ(count_matches(example(), 0.8), (MatchCounts{2, 1, 2}));
  EXPECT_EQ(count_matches(example(), 0.8, {0, 0}), (MatchCounts{3, 2, 3}));
  EXPECT_EQ(count_matches(example(), 0.3), (MatchCounts{3, 2, 2}));
  EXPECT_THROW(count_matches(example(), 0.25), Error);
}

TEST(Matches, ThresholdsReachedAreTheCountsFeatureByFeature) {
  const Matches matches = example();
  const std::vector<double> thresholds = {0.3, 0.5, 0.8, 0.95};
  for (const MeasurableLimits& limits : {MeasurableLimits{}, MeasurableLimits{0, 0}}) {
    const auto of_a = thresholds_reached(matches, true, thresholds, limits);
    const auto of_b = thresholds_reached(matches, false, thresholds, limits);
    ASSERT_EQ(std::ssize(of_a), matches.a.feature_count());
    ASSERT_EQ(std::ssize(of_b), matches.b.feature_count());
    for (size_t k = 0; k < thresholds.size(); ++k) {
      const MatchCounts counts = count_matches(matches, thresholds[k], limits);
      const auto beyond = [&](uint8_t reached) { return reached > k; };
      EXPECT_EQ(std::ranges::count_if(of_a, beyond), counts.features_a) << thresholds[k];
      EXPECT_EQ(std::ranges::count_if(of_b, beyond), counts.features_b) << thresholds[k];
    }
  }
  EXPECT_THROW(thresholds_reached(matches, true, {0.1, 0.5}), Error);
}

TEST(Matches, SurviveSavingAndLoading) {
  const TemporaryFolder folder;
  const Matches matches = example();
  save_matches(matches, folder.path());
  const Matches loaded = load_matches(folder.path());
  EXPECT_EQ(loaded.a.model, "base");
  EXPECT_EQ(loaded.b.active_tokens, matches.b.active_tokens);
  EXPECT_EQ(loaded.b.active_documents, matches.b.active_documents);
  EXPECT_EQ(loaded.corpora, matches.corpora);
  EXPECT_EQ(loaded.corpus, "text");
  EXPECT_EQ(loaded.row_count, 1000);
  EXPECT_EQ(loaded.floor, 0.3);
  EXPECT_EQ(loaded.pairs, matches.pairs);
  EXPECT_EQ(loaded.best_of_a, matches.best_of_a);
  EXPECT_EQ(loaded.best_of_b, matches.best_of_b);

  EXPECT_EQ(read_file(folder.path() / "matches.csv"),
            "feature_a,feature_b,correlation\n0,0,0.91\n0,1,0.84\n1,0,0.4\n2,2,1\n");
  const auto summary = nlohmann::json::parse(read_file(folder.path() / "summary.json"));
  EXPECT_EQ(summary["a"]["measurable"], 2);
  EXPECT_EQ(summary["a"]["silent"], 1);
  EXPECT_EQ(summary["thresholds"].size(), 14u);
  EXPECT_EQ(summary["thresholds"][10]["threshold"], 0.8);
  EXPECT_EQ(summary["thresholds"][10]["features_b"], 2);
  EXPECT_EQ(summary["thresholds"][10]["all_features_b"], 3);
}

TEST(Matches, RefuseWhatCannotBe) {
  const TemporaryFolder folder;
  const auto broken = [&](auto&& change) {
    Matches matches = example();
    change(matches);
    save_matches(matches, folder.path(), {0, 0});
    EXPECT_THROW(load_matches(folder.path()), Error);
  };
  broken([](Matches& matches) { matches.best_of_a[0].feature_b = 3; });
  broken([](Matches& matches) { matches.best_of_b[2].feature_a = -1; });
  broken([](Matches& matches) { matches.best_of_a[1].correlation = std::nanf(""); });
  broken([](Matches& matches) { matches.pairs[0].correlation = 1.5f; });
  broken([](Matches& matches) { std::swap(matches.pairs[0], matches.pairs[1]); });
  broken([](Matches& matches) { matches.pairs[1] = matches.pairs[0]; });
  broken([](Matches& matches) { matches.best_of_b[1].feature_b = 0; });
  EXPECT_THROW(load_matches(folder.path() / "missing"), Error);
  write_safetensors(folder.path() / "empty.safetensors", {});
  EXPECT_THROW(load_matches(folder.path() / "empty.safetensors"), Error);
}

}  // namespace
}  // namespace featflow
