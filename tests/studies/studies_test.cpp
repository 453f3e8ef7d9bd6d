// Every study that the repository shows is one that FeatFlow reads: studies/*.toml, those of the
// tests, and every ```toml block of the documents that has a model in it.

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <sstream>
#include <string>

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

}  // namespace
}  // namespace featflow
