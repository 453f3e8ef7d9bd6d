#include "corpus/document_reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/rng.hpp"
#include "core/utf8.hpp"

namespace featflow {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<Document> parse(const std::string& jsonl, const ReadOptions& options = {}) {
  std::vector<Document> documents;
  for_each_jsonl_document(*open_bytes(jsonl, Compression::kNone, "a.jsonl"), "a.jsonl", options,
                          [&](Document&& document) { documents.push_back(std::move(document)); });
  return documents;
}

std::string parse_error(const std::string& jsonl, const ReadOptions& options = {}) {
  try {
    parse(jsonl, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "(no error)";
}

TEST(Jsonl, TakesTheTextAndNothingElse) {
  const auto documents = parse(
      "\xEF\xBB\xBF{\"text\": \"first\", \"meta\": {\"text\": \"inner\", \"a\": [1, {\"text\": "
      "2}]}}\n"
      "\n"
      "{\"id\": 7, \"text\": \"second\\n\\ttab \\ud83d\\ude00\"}\r\n"
      "  {\"text\": \"\"}");
  ASSERT_EQ(documents.size(), 3u);
  EXPECT_EQ(documents[0].text, "first");
  EXPECT_EQ(documents[1].text, "second\n\ttab 😀");
  EXPECT_EQ(documents[2].text, "");
  EXPECT_FALSE(documents[0].repaired);
  EXPECT_EQ(parse("{\"body\": \"x\", \"text\": 1}", {.text_key = "body"})[0].text, "x");
}

TEST(Jsonl, RoundTripsRandomText) {
  Rng rng(5);
  for (int trial = 0; trial < 300; ++trial) {
    std::string bytes;
    for (uint64_t i = rng.below(50); i > 0; --i) bytes += static_cast<char>(1 + rng.below(255));
    const std::string text = to_valid_utf8(bytes);
    EXPECT_EQ(parse(nlohmann::json{{"text", text}}.dump()).at(0).text, text);
  }
}

TEST(Jsonl, MendsUtf8AndDropsNul) {
  const auto documents = parse("{\"text\": \"caf\xE9 ol\\u0000e\"}\n{\"text\": \"ok\"}\n");
  EXPECT_EQ(documents[0].text, "caf\uFFFD ole");
  EXPECT_TRUE(documents[0].repaired);
  EXPECT_FALSE(documents[1].repaired);
}

TEST(Jsonl, MendsHalvesOfSurrogatePairs) {
  const auto documents = parse(
      "{\"text\": \"cut \\ud83d\"}\n{\"text\": \"\\uDE00\\ud83d\\ud83d\\ude00\"}\n"
      "{\"text\": \"\\\\ud83d \\u00e9 \\ud83d\\ude00\"}\n");
  EXPECT_EQ(documents[0].text, "cut \uFFFD");
  EXPECT_TRUE(documents[0].repaired);
  EXPECT_EQ(documents[1].text, "\uFFFD\uFFFD\U0001F600");
  EXPECT_EQ(documents[2].text, "\\ud83d \u00e9 \U0001F600");  // a backslash, and no escape
  EXPECT_FALSE(documents[2].repaired);
}

TEST(Jsonl, ErrorsNameTheLineAndWhatWasExpected) {
  const std::string good = "{\"text\": \"a\"}\n";
  EXPECT_THAT(parse_error(good + "{\"text\": oops}\n"),
              AllOf(HasSubstr("a.jsonl:2: not valid JSON at byte 10"), HasSubstr("expected")));
  EXPECT_THAT(parse_error(good + "{\"text\": \"a\"} {}"), HasSubstr("a.jsonl:2: not valid JSON"));
  EXPECT_THAT(parse_error("{\"text\": \"cut"), HasSubstr("a.jsonl:1: not valid JSON"));
  EXPECT_THAT(parse_error("{\"content\": \"x\", \"id\": 1}"),
              HasSubstr("a.jsonl:1: no key 'text'; the line has 'content', 'id': set text_key"));
  EXPECT_THAT(parse_error("{}"), HasSubstr("no key 'text' in an empty object"));
  EXPECT_THAT(parse_error("{\"text\": null}"), HasSubstr("key 'text' is null, expected a string"));
  EXPECT_THAT(parse_error("{\"text\": [\"a\"]}"), HasSubstr("is an array, expected a string"));
  EXPECT_THAT(parse_error("{\"text\": {\"text\": \"a\"}}"), HasSubstr("is an object"));
  EXPECT_THAT(parse_error("{\"text\": \"a\", \"text\": \"b\"}"), HasSubstr("stands twice"));
  EXPECT_THAT(parse_error("[\"a\"]"), HasSubstr("an array, expected an object"));
  EXPECT_THAT(parse_error("\"a\""), HasSubstr("a string, expected an object"));
  EXPECT_THAT(parse_error("3.5"), HasSubstr("a number, expected an object"));
}

TEST(Jsonl, ErrorsAreOneShortLine) {
  for (const std::string& bad :
       {std::string("{\"\x01\x02\n"), "{\"text\": " + std::string(100'000, 'x') + "}",
        "{\"" + std::string(100'000, 'k') + "\": 1}", std::string("{\"a\\nb\": 1}")}) {
    const std::string message = parse_error(bad);
    EXPECT_EQ(message.find('\n'), std::string::npos);
    EXPECT_LT(message.size(), 400u);
    EXPECT_NE(message, "(no error)");
  }
}

TEST(Jsonl, NestingIsBounded) {
  const auto nested = [](int depth) {
    return "{\"a\": " + std::string(depth, '[') + std::string(depth, ']') + ", \"text\": \"x\"}";
  };
  EXPECT_EQ(parse(nested(60)).at(0).text, "x");
  EXPECT_THAT(parse_error(nested(1'000'000)), HasSubstr("a.jsonl:1: nested over 64 deep"));
}

TEST(Jsonl, LinesAreBounded) {
  EXPECT_THAT(
      parse_error("{\"text\": \"" + std::string(1000, 'x') + "\"}", {.max_document_bytes = 500}),
      HasSubstr("a.jsonl:1: the line is over 500 B"));
}

class Files : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void write(const std::string& name, const std::string& content) {
    std::filesystem::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << content;
  }
  std::filesystem::path folder_;
};
using ReadDocuments = Files;

TEST_F(ReadDocuments, PlainFilesAreOneDocumentEachAndExact) {
  write("b.txt", " two\r\n\r\n  lines\t\n");
  write("a.lua", "local x = 1\n");
  write("c.jsonl", "{\"text\": \"j1\"}\n{\"text\": \" \"}\n{\"text\": \"j2\"}\n");
  write(".hidden", "not read");
  EXPECT_THAT(read_documents(folder_),
              ElementsAre("local x = 1\n", " two\r\n\r\n  lines\t\n", "j1", "j2"));
  EXPECT_THAT(read_documents(folder_ / "a.lua"), ElementsAre("local x = 1\n"));
  EXPECT_THAT(read_documents(folder_ / "*.l*"), ElementsAre("local x = 1\n"));
}

TEST_F(ReadDocuments, RefusesNothing) {
  write("empty.txt", "\n");
  EXPECT_THROW(read_documents(folder_ / "empty.txt"), Error);
  EXPECT_THROW(read_documents(folder_ / "missing.txt"), Error);
  EXPECT_THROW(read_documents(folder_ / "*.md"), Error);
}

TEST_F(ReadDocuments, PlainFilesAreBounded) {
  write("big.txt", std::string(2000, 'x'));
  EXPECT_THROW(read_documents(folder_ / "big.txt", {.max_document_bytes = 1999}), Error);
  EXPECT_EQ(read_documents(folder_ / "big.txt", {.max_document_bytes = 2000}).size(), 1u);
}

TEST(IsJsonl, GoesByTheName) {
  for (const char* name : {"a.jsonl", "a.jsonl.zst", "a.jsonl.gz", "b.ndjson"}) {
    EXPECT_TRUE(is_jsonl(name)) << name;
  }
  for (const char* name : {"a.json", "jsonl", "a.jsonl.txt", "a.zst", "a.txt.gz"}) {
    EXPECT_FALSE(is_jsonl(name)) << name;
  }
}

}  // namespace
}  // namespace featflow
