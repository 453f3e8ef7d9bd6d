#include "explaining/rule.hpp"

#include <gtest/gtest.h>

namespace featflow {
namespace {

class RuleWords : public ::testing::Test {
 protected:
  TextAttributes text_;
  RuleWords() {
    text_.vocab_size = 6;
    text_.attributes = {{"a digit", AttributeKind::kToken},
                        {"after a quotation mark", AttributeKind::kPrevious},
                        {"in a comment", AttributeKind::kPlace},
                        {"in code", AttributeKind::kPlace}};
  }
  std::string words(RuleKey key, std::vector<RuleGroup> groups,
                    std::vector<int64_t> attributes = {}) const {
    static const std::vector<std::string> tokens = {"a",        " b", "\n",    "\t",
                                                    "<script>", "e",  "\r\x1b"};
    return describe({key, std::move(groups), std::move(attributes), 0}, text_,
                    [](int32_t id) { return tokens[static_cast<size_t>(id)]; });
  }
};

TEST_F(RuleWords, ListsOfTokens) {
  EXPECT_EQ(words(RuleKey::kToken, {{0, -1, 1}}), "`a`");
  EXPECT_EQ(words(RuleKey::kToken, {{0, -1, 1}, {1, -1, 1}}), "`a` or ` b`");
  EXPECT_EQ(words(RuleKey::kToken, {{2, -1, 1}, {3, -1, 1}, {4, -1, 1}}, {1}),
            "`\\n`, `\\t` or `<script>` after a quotation mark");
  EXPECT_EQ(words(RuleKey::kPrevious, {{-1, 0, 1}, {-1, 6, 1}}, {0}),
            "a digit after `a` or the window's beginning");
  EXPECT_EQ(words(RuleKey::kPrevious, {{-1, 0, 1}}, {2}), "any token after `a`, in a comment");
}

TEST_F(RuleWords, ControlCharactersAreEscaped) {
  text_.vocab_size = 7;
  EXPECT_EQ(words(RuleKey::kToken, {{6, -1, 1}}), "`\\r\\x1b`");
}

TEST_F(RuleWords, PairsAreGroupedByWhatTheyShare) {
  EXPECT_EQ(words(RuleKey::kPair, {{0, 1, 1}, {5, 1, 1}, {5, 2, 1}}),
            "`a` or `e` after ` b`; `e` after `\\n`");
  EXPECT_EQ(words(RuleKey::kPair, {{0, 1, 1}, {0, 2, 1}}), "`a` after ` b` or `\\n`");
}

TEST_F(RuleWords, Attributes) {
  EXPECT_EQ(words(RuleKey::kNone, {{-1, -1, 1}}, {0, 2}), "a digit in a comment");
  EXPECT_EQ(words(RuleKey::kNone, {{-1, -1, 1}}, {1, 2}),
            "any token after a quotation mark, in a comment");
  EXPECT_EQ(words(RuleKey::kNone, {{-1, -1, 1}}, {2, 3}), "any token in a comment, in code");
  EXPECT_EQ(words(RuleKey::kNone, {}), "no rule found");
}

TEST_F(RuleWords, TheFirstEntryThatFitsAndAllAttributes) {
  text_.tokens = {0, 0, 5};
  text_.previous = {1, 6, 1};
  text_.bits = {0b0100, 0b0000, 0b0100};
  const Rule rule{RuleKey::kPair, {{5, 1, 2}, {0, 1, 1}}, {2}, 0};
  EXPECT_EQ(group_of(rule, text_, 0), 1);
  EXPECT_EQ(group_of(rule, text_, 1), -1);
  EXPECT_EQ(group_of(rule, text_, 2), 0);
}

}  // namespace
}  // namespace featflow
