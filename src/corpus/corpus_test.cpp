#include "corpus/corpus.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.hpp"
#include "core/rng.hpp"
#include "corpus/source_files.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class CorpusTest : public testing::Test {
 protected:
  void SetUp() override {
    base_ =
        fs::path(testing::TempDir()) /
        (std::string("corpus_") + testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(base_);
    fs::create_directories(base_);
  }
  void TearDown() override { fs::remove_all(base_); }

  void write(const std::string& name, const std::string& content) {
    fs::create_directories((base_ / name).parent_path());
    std::ofstream(base_ / name, std::ios::binary) << content;
  }
  void write_jsonl(const std::string& name, const std::vector<std::string>& documents) {
    std::string lines;
    for (const std::string& text : documents) lines += nlohmann::json{{"text", text}}.dump() + "\n";
    write(name, lines);
  }
  CorpusStatistics build(std::vector<std::string> sources, const std::string& out = "out",
                         int64_t max_bytes = 0) {
    return build_corpus({.name = "demo", .sources = std::move(sources), .max_bytes = max_bytes},
                        base_, base_ / out);
  }
  std::string build_error(const CorpusConfig& config) {
    try {
      build_corpus(config, base_, base_ / "out");
    } catch (const Error& error) {
      return error.what();
    }
    return "(no error)";
  }
  std::vector<std::string> names(const std::vector<std::string>& sources) {
    std::vector<std::string> found;
    for (const fs::path& file : source_files(sources, base_)) {
      found.push_back(fs::relative(file, base_).string());
    }
    return found;
  }
  std::map<std::string, Split> splits(const std::string& folder) {
    std::map<std::string, Split> found;
    for (const Split split : kSplits) {
      for (const std::string& text : load_documents(base_ / folder, split)) {
        EXPECT_TRUE(found.emplace(text, split).second) << "in two splits, or twice in one";
      }
    }
    return found;
  }

  fs::path base_;
};

std::vector<std::string> some_documents(int count, uint64_t seed = 1) {
  Rng rng(seed);
  std::vector<std::string> documents;
  for (int i = 0; i < count; ++i) {
    std::string text = "document " + std::to_string(i) + ":";
    for (uint64_t word = rng.below(20); word > 0; --word) {
      text += " w" + std::to_string(rng.below(1000));
    }
    documents.push_back(text + "\n");
  }
  return documents;
}

TEST_F(CorpusTest, SplitsAreDisjointCompleteAndInProportion) {
  const std::vector<std::string> documents = some_documents(4000);
  write_jsonl("a.jsonl", documents);
  const CorpusStatistics statistics = build({"a.jsonl"});
  const auto found = splits("out");
  EXPECT_EQ(found.size(), documents.size());
  for (const std::string& text : documents) EXPECT_TRUE(found.contains(text));
  // Binomial: 3% and 5% of 4000 are 120 ± 11 and 200 ± 14; five standard deviations.
  EXPECT_NEAR(statistics.split(Split::kValidation).documents, 120, 55);
  EXPECT_NEAR(statistics.split(Split::kMatching).documents, 200, 70);
  for (const Split split : kSplits) {
    const auto texts = load_documents(base_ / "out", split);
    int64_t bytes = 0;
    for (const std::string& text : texts) bytes += static_cast<int64_t>(text.size());
    EXPECT_EQ(statistics.split(split).documents, static_cast<int64_t>(texts.size()));
    EXPECT_EQ(statistics.split(split).bytes, bytes);
  }
  EXPECT_FALSE(std::is_sorted(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return a.second < b.second;
  })) << "the split must not follow the text";
}

TEST_F(CorpusTest, TheBytesDependOnTheDocumentsNotOnTheFiles) {
  std::vector<std::string> documents = some_documents(600);
  write_jsonl("one/all.jsonl", documents);
  Rng(9).shuffle(documents);
  write_jsonl("two/z.jsonl", {documents.begin(), documents.begin() + 100});
  write_jsonl("two/deep/a.jsonl", {documents.begin() + 100, documents.end() - 1});
  write("two/last.txt", documents.back());
  build({"one/all.jsonl"}, "out1");
  build({"two/**"}, "out2");
  for (const char* name : {"train.jsonl.zst", "validation.jsonl.zst", "matching.jsonl.zst"}) {
    EXPECT_EQ(read_file(base_ / "out1" / name), read_file(base_ / "out2" / name)) << name;
  }
}

TEST_F(CorpusTest, ADocumentsSplitDependsOnItsContentAlone) {
  const std::vector<std::string> documents = some_documents(900);
  write_jsonl("a.jsonl", {documents.begin(), documents.begin() + 600});
  write_jsonl("b.jsonl", {documents.begin() + 300, documents.end()});
  build({"a.jsonl"}, "a");
  build({"b.jsonl"}, "b");
  const auto a = splits("a"), b = splits("b");
  int shared = 0;
  for (const auto& [text, split] : a) {
    const auto it = b.find(text);
    if (it == b.end()) continue;
    ++shared;
    EXPECT_EQ(it->second, split);
  }
  EXPECT_EQ(shared, 300);
}

TEST_F(CorpusTest, DropsDuplicatesAndBlanksAndCountsThem) {
  std::vector<std::string> documents = some_documents(300);
  const size_t distinct = documents.size();
  for (int i = 0; i < 40; ++i) documents.push_back(documents[static_cast<size_t>(i)]);
  documents.insert(documents.end(), {"", " \n\t", documents[0] + " "});
  write_jsonl("a.jsonl", documents);
  write("b.txt", documents[5]);
  write("bad.txt", "caf\xE9");
  const CorpusStatistics statistics = build({"*.jsonl", "*.txt", "a.jsonl"});
  EXPECT_EQ(statistics.files, 3);
  EXPECT_EQ(statistics.documents_read, static_cast<int64_t>(distinct) + 40 + 3 + 2);
  EXPECT_EQ(statistics.duplicates, 41);
  EXPECT_EQ(statistics.blank, 2);
  EXPECT_EQ(statistics.repaired, 1);
  EXPECT_EQ(splits("out").size(), distinct + 2);

  const CorpusStatistics loaded = load_corpus_statistics(base_ / "out");
  EXPECT_EQ(to_json(loaded), to_json(statistics));
}

TEST_F(CorpusTest, TheLimitKeepsTheBeginningOfTheHashOrder) {
  const std::vector<std::string> documents = some_documents(500);
  write_jsonl("a.jsonl", documents);
  std::vector<std::string> reversed(documents.rbegin(), documents.rend());
  write_jsonl("b.jsonl", reversed);
  build({"a.jsonl"}, "all");
  const CorpusStatistics limited = build({"a.jsonl"}, "limited", 10'000);
  build({"b.jsonl"}, "backwards", 10'000);
  int64_t bytes = 0, kept = 0;
  for (const Split split : kSplits) {
    const auto all = load_documents(base_ / "all", split);
    const auto some = load_documents(base_ / "limited", split);
    ASSERT_LE(some.size(), all.size());
    EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin())) << "a prefix of the whole";
    EXPECT_EQ(some, load_documents(base_ / "backwards", split)) << "whatever the order of reading";
    bytes += limited.split(split).bytes;
    kept += limited.split(split).documents;
  }
  EXPECT_LE(bytes, 10'000);
  EXPECT_GT(bytes, 9'800) << "the longest document has under 200 bytes";
  EXPECT_EQ(kept + limited.over_limit, 500);
}

TEST_F(CorpusTest, TheLimitDoesNotSkipALargeDocumentForALaterSmallOne) {
  // Against the definition itself: documents in hash order (as a corpus without limit, one split),
  // cut before the first that does not fit.
  Rng rng(4);
  std::vector<std::string> documents;
  for (int i = 0; i < 200; ++i) {
    documents.push_back(std::to_string(i) + std::string(1 + rng.below(400), 'x'));
  }
  write_jsonl("a.jsonl", documents);
  CorpusConfig config{.name = "demo", .sources = {"a.jsonl"}};
  config.validation_share = config.matching_share = 0;
  build_corpus(config, base_, base_ / "all");
  const auto all = load_documents(base_ / "all", Split::kTrain);
  for (const int64_t limit : {1000, 5000, 20'000}) {
    config.max_bytes = limit;
    build_corpus(config, base_, base_ / "limited");
    std::vector<std::string> expected;
    int64_t bytes = 0;
    for (const std::string& text : all) {
      bytes += static_cast<int64_t>(text.size());
      if (bytes > limit) break;
      expected.push_back(text);
    }
    EXPECT_EQ(load_documents(base_ / "limited", Split::kTrain), expected);
  }
}

TEST_F(CorpusTest, ErrorsSayWhatToDo) {
  write("empty.jsonl", "\n");
  write_jsonl("few.jsonl", some_documents(3));
  write("bad.jsonl", "{\"text\": \"a\"}\n{\"content\": \"b\"}\n");
  EXPECT_THAT(build_error({.name = "x", .sources = {"*.zst"}}),
              HasSubstr("source '*.zst': no file matches (looked in "));
  EXPECT_THAT(build_error({.name = "x", .sources = {"gone.txt"}}), HasSubstr("no such file"));
  EXPECT_THAT(build_error({.name = "x"}), HasSubstr("corpus 'x': no sources"));
  EXPECT_THAT(build_error({.name = "x", .sources = {""}}), HasSubstr("an empty path"));
  EXPECT_THAT(build_error({.name = "x", .sources = {"empty.jsonl"}}),
              HasSubstr("corpus 'x': 0 documents after reading 0 from 1 files"));
  EXPECT_THAT(
      build_error({.name = "x", .sources = {"few.jsonl"}, .max_bytes = 1}),
      HasSubstr("0 documents after reading 3 from 1 files (0 blank, 3 over max_bytes = 1)"));
  EXPECT_THAT(build_error({.name = "x", .sources = {"few.jsonl"}, .validation_share = 1e-6}),
              HasSubstr("corpus 'x': the validation split is empty: its share of 3 documents"));
  EXPECT_THAT(build_error({.name = "x", .sources = {"bad.jsonl"}}),
              HasSubstr("bad.jsonl:2: no key 'text'; the line has 'content'"));
  EXPECT_THAT(
      build_error(
          {.name = "x", .sources = {"few.jsonl"}, .validation_share = 0.5, .matching_share = 0.5}),
      HasSubstr("leave nothing to train on"));
  EXPECT_THAT(build_error({.name = "x", .sources = {"few.jsonl"}, .matching_share = -0.1}),
              HasSubstr("a share of -0.1"));
  EXPECT_FALSE(fs::exists(base_ / "out")) << "nothing is written before it is known to be whole";
}

TEST_F(CorpusTest, OutputThatIsNotACorpusIsRefused) {
  EXPECT_THROW(load_documents(base_, Split::kTrain), Error);
  EXPECT_THROW(load_corpus_statistics(base_), Error);
  write("corpus.json", "{\"name\": \"x\", \"files\": \"many\"}");
  EXPECT_THROW(load_corpus_statistics(base_), Error);
  write("train.jsonl.zst", "not zstd");
  EXPECT_THROW(load_documents(base_, Split::kTrain), Error);
}

TEST_F(CorpusTest, FingerprintFollowsContent) {
  write("a/1.txt", "one");
  write("a/2.txt", "two");
  const auto fingerprint = [&] {
    return source_fingerprint({.name = "x", .sources = {"a"}}, base_);
  };
  const std::string before = fingerprint();
  fs::rename(base_ / "a/1.txt", base_ / "a/3.txt");
  EXPECT_EQ(fingerprint(), before);
  fs::rename(base_ / "a/3.txt", base_ / "a/3.jsonl");
  EXPECT_NE(fingerprint(), before);
  fs::rename(base_ / "a/3.jsonl", base_ / "a/1.txt");
  write("a/2.txt", "twO");
  EXPECT_NE(fingerprint(), before);
}

TEST_F(CorpusTest, SourcesAreFilesFoldersAndGlobs) {
  for (const char* name : {"a.txt", "b.md", "x/c.txt", "x/y/d.txt", "x/y/z/e.txt", ".git/f.txt",
                           "x/.g.txt", "odd[1].txt"}) {
    write(name, name);
  }
  fs::create_directory_symlink(base_ / "x", base_ / "x/y/loop");
  EXPECT_THAT(names({"*.txt"}), ElementsAre("a.txt", "odd[1].txt"));
  EXPECT_THAT(names({"*/*.txt"}), ElementsAre("x/c.txt"));
  EXPECT_THAT(names({"x/**/*.txt"}), ElementsAre("x/c.txt", "x/y/d.txt", "x/y/z/e.txt"));
  EXPECT_THAT(names({"**/e.txt", "**/**/d.txt"}), ElementsAre("x/y/d.txt", "x/y/z/e.txt"));
  EXPECT_THAT(names({"x"}), ElementsAre("x/c.txt", "x/y/d.txt", "x/y/z/e.txt"));
  EXPECT_THAT(names({"x/**"}), ElementsAre("x/c.txt", "x/y/d.txt", "x/y/z/e.txt"));
  EXPECT_THAT(names({"?.[mt]*"}), ElementsAre("a.txt", "b.md"));
  EXPECT_THAT(names({"odd[1].txt"}), ElementsAre("odd[1].txt"));
  EXPECT_THAT(names({"a.txt", "./a.txt", "x/../a.txt"}), ElementsAre("a.txt"));
  EXPECT_THAT(names({(base_ / "b*").string()}), ElementsAre("b.md"));
  EXPECT_THROW(names({"**/nothing"}), Error);
}

}  // namespace
}  // namespace featflow
