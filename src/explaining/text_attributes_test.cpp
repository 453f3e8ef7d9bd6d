#include "explaining/text_attributes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace featflow {
namespace {

/// Documents given token by token; every token is a row.
struct WrittenText {
  TokenShard shard;
  std::vector<std::string> vocabulary;
  std::vector<int64_t> positions;

  explicit WrittenText(const std::vector<std::vector<std::string>>& documents) {
    std::map<std::string, int32_t> ids;
    for (const auto& document : documents) {
      shard.document_starts.push_back(shard.size());
      for (const std::string& token : document) {
        const auto [found, added] = ids.emplace(token, static_cast<int32_t>(vocabulary.size()));
        if (added) vocabulary.push_back(token);
        positions.push_back(shard.size());
        shard.tokens.push_back(found->second);
      }
    }
    shard.vocab_size = std::ssize(vocabulary);
  }

  TextAttributes attributes(int64_t window = 100) const {
    return text_attributes(
        shard, positions, [&](int32_t id) { return vocabulary[static_cast<size_t>(id)]; }, window);
  }
};

/// "a=1": the tokens on which the attribute holds.
std::vector<std::string> tokens_with(const WrittenText& text, const std::string& phrase,
                                     int64_t window = 100) {
  const TextAttributes attributes = text.attributes(window);
  std::vector<std::string> found;
  for (int64_t r = 0; r < attributes.rows(); ++r) {
    if ((attributes.bits[static_cast<size_t>(r)] >> attributes.index(phrase) & 1) != 0) {
      found.push_back(text.vocabulary[static_cast<size_t>(attributes.tokens[r])]);
    }
  }
  return found;
}

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(TextAttributes, ClassesOfTokens) {
  const WrittenText text(
      {{" if", " (", "x",    "_",      "count", " ==",  "\"",   "a",    "\"",   ")",
        ":",   "\n", "    ", "return", " 42",   "\xC3", " Foo", " MAX", " end", "."}});
  EXPECT_THAT(tokens_with(text, "a keyword of Python"), ElementsAre(" if", "return"));
  EXPECT_THAT(tokens_with(text, "a keyword of Lua"), ElementsAre(" if", "return", " end"));
  EXPECT_THAT(tokens_with(text, "an opening bracket"), ElementsAre(" ("));
  EXPECT_THAT(tokens_with(text, "a closing bracket"), ElementsAre(")"));
  EXPECT_THAT(tokens_with(text, "an operator"), ElementsAre(" =="));
  EXPECT_THAT(tokens_with(text, "a quotation mark"), ElementsAre("\"", "\""));
  EXPECT_THAT(tokens_with(text, "a number"), ElementsAre(" 42"));
  EXPECT_THAT(tokens_with(text, "a line break"), ElementsAre("\n"));
  EXPECT_THAT(tokens_with(text, "a run of spaces or tabs"), ElementsAre("    "));
  EXPECT_THAT(tokens_with(text, "as indentation"), ElementsAre("    "));
  EXPECT_THAT(tokens_with(text, "a piece of a word"), ElementsAre("count"));
  EXPECT_THAT(tokens_with(text, "a capitalised word"), ElementsAre(" Foo"));
  EXPECT_THAT(tokens_with(text, "capital letters"), ElementsAre(" MAX"));
  EXPECT_THAT(tokens_with(text, "a single letter"), ElementsAre("x", "a"));
  EXPECT_THAT(tokens_with(text, "not ASCII"), ElementsAre("\xC3"));
  EXPECT_THAT(tokens_with(text, "after a line break"), ElementsAre("    "));
  EXPECT_THAT(tokens_with(text, "first in its line"), ElementsAre(" if", "return"));
  EXPECT_THAT(tokens_with(text, "in a string"), ElementsAre("\"", "a"));
}

TEST(TextAttributes, StringsCommentsAndBracketsOfCode) {
  const WrittenText python({{"\n", "# ", "it's", "\n", "x", " =", " f", "(", "'",  "#", "'",
                             ",",  "[",  "1",    "]",  ")", "\n", "#",  "y", "\n", "z"}});
  EXPECT_THAT(tokens_with(python, "in a comment"), ElementsAre("# ", "it's", "#", "y"));
  EXPECT_THAT(tokens_with(python, "in a string"), ElementsAre("'", "#"));
  EXPECT_THAT(tokens_with(python, "inside brackets"),
              ElementsAre("(", "'", "#", "'", ",", "[", "1", "]"));
  EXPECT_THAT(tokens_with(python, "to the right of `=`"),
              ElementsAre(" f", "(", "'", "#", "'", ",", "[", "1", "]", ")", "\n"));
  // The mark with which most lines begin is that of comments: here # is an operator.
  const WrittenText lua({{"--", " note", "\n", "n", "=", "#", "t", "(", ")", "\n", "--", "more"}});
  EXPECT_THAT(tokens_with(lua, "in a comment"), ElementsAre("--", " note", "--", "more"));
}

TEST(TextAttributes, ProseHasNoCommentsAndItsApostrophesOpenNothing) {
  const WrittenText prose({{"it", "'", "s", " said", " \"", "no", "\"", " #", "1", " of", " many",
                            " sentences", " that", " have", " no", " brackets", " at", " all"}});
  EXPECT_THAT(tokens_with(prose, "in code"), IsEmpty());
  EXPECT_THAT(tokens_with(prose, "in a comment"), IsEmpty());
  EXPECT_THAT(tokens_with(prose, "in a string"), ElementsAre(" \"", "no"));
}

TEST(TextAttributes, WindowsAreWhatTheModelSaw) {
  const WrittenText text({{"a", "b", "a", "a", "b"}, {"c"}});
  EXPECT_THAT(tokens_with(text, "first in the window", 3), ElementsAre("a", "a", "c"));
  EXPECT_THAT(tokens_with(text, "second in the window", 3), ElementsAre("b", "b"));
  EXPECT_THAT(tokens_with(text, "seen before in the window", 3), ElementsAre("a"));
  const TextAttributes attributes = text.attributes(3);
  EXPECT_THAT(attributes.previous,
              ElementsAre(3, 0, 1, 3, 0, 3));  // 3: no token, of a vocabulary of 3
}

TEST(TextAttributes, OnlyTheRowsAskedForAndTheirCorpora) {
  WrittenText text({{"a", "b"}, {"c", "d"}});
  text.positions = {1, 2};
  const std::vector<uint8_t> corpora = {1, 0};
  const TextAttributes attributes =
      text_attributes(text.shard, text.positions, [&](int32_t id) { return text.vocabulary[id]; },
                      10, corpora, {"lua", "stories"});
  ASSERT_EQ(attributes.rows(), 2);
  EXPECT_THAT(attributes.tokens, ElementsAre(1, 2));
  EXPECT_EQ(attributes.bits[0] >> attributes.index("in stories") & 1, 1U);
  EXPECT_EQ(attributes.bits[1] >> attributes.index("in lua") & 1, 1U);
  EXPECT_EQ(attributes.bits[1] >> attributes.index("in stories") & 1, 0U);
}

}  // namespace
}  // namespace featflow
