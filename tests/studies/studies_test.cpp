// Every study that the repository shows is one that FeatFlow reads: studies/*.toml, those of the
// tests, and every ```toml block of the documents that has a model in it.

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "storage/files.hpp"
#include "study/settings.hpp"

namespace featflow {
namespace {

using Path = std::filesystem::path;

const Path kRoot = FEATFLOW_SOURCE;

// "README.md:40" → the block that begins there.
void collect_blocks(const Path& document, std::map<std::string, std::string>& studies) {
  std::istringstream lines(read_file(document));
  std::string line, block;
  bool inside = false;
  int number = 0, begin = 0;
  while (std::getline(lines, line)) {
    ++number;
    if (!inside && line.starts_with("```toml")) {
      inside = true;
      begin = number;
      block.clear();
    } else if (inside && line.starts_with("```")) {
      inside = false;
      if (block.find("[model.") == std::string::npos) continue;  // A fragment.
      studies[document.lexically_relative(kRoot).string() + ":" + std::to_string(begin)] = block;
    } else if (inside) {
      block += line + "\n";
    }
  }
}

TEST(Studies, AllOfTheRepositoryAreRead) {
  std::map<std::string, std::string> studies;
  for (const Path& folder : {kRoot / "studies", kRoot / "tests" / "end_to_end"}) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().extension() != ".toml") continue;
      studies[entry.path().lexically_relative(kRoot).string()] = read_file(entry.path());
    }
  }
  EXPECT_TRUE(studies.contains("studies/quick.toml"));
  EXPECT_TRUE(studies.contains("studies/paper.toml"));
  collect_blocks(kRoot / "README.md", studies);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kRoot / "docs")) {
    if (entry.path().extension() == ".md") collect_blocks(entry.path(), studies);
  }
  for (const auto& [where, text] : studies) {
    try {
      const Study study = parse_study(text, where, kRoot / "studies");
      EXPECT_FALSE(study.models.empty()) << where;
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
  }
}

// What the authors published about their models; text enough for matching must be held out too.
TEST(Studies, ThePapersHasItsSizes) {
  const Study study = read_study(kRoot / "studies" / "paper.toml");
  EXPECT_EQ(study.architecture.parameter_count(), 35'128'832);
  EXPECT_EQ(study.autoencoder.training.expansion * study.architecture.intermediate_size, 16'384);
  EXPECT_EQ(study.autoencoder.block_size * study.autoencoder.batch_blocks, 3'072);
  const TrainingConfig& training = study.model("BabyPython").training;
  EXPECT_EQ(training.block_size * training.batch_blocks, 16'384);
  EXPECT_NEAR(static_cast<double>(training.tokens), 3 * 0.975 * 335.6e6, 1e5);
  ASSERT_EQ(study.models.size(), 4u);
  EXPECT_TRUE(study.model("LuaStories").merge.balanced());
  EXPECT_EQ(study.model("LuaStories").merge.steps, 51);
  const std::vector<std::string> all = {"baby_python", "lua", "stories"};
  EXPECT_EQ(study.corpora_seen("LuaStories"), all);
  // A third of the matching tokens from each corpus, the smallest of 150M tokens.
  for (const CorpusConfig& corpus : study.corpora) {
    EXPECT_GT(150e6 * corpus.matching_share, static_cast<double>(study.matching.tokens) / 3);
  }
}

}  // namespace
}  // namespace featflow
