#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "explaining/text_attributes.hpp"

namespace featflow {

/// What the tokens of a rule's list are.
enum class RuleKey : uint8_t {
  kNone,      ///< No list: the attributes alone.
  kToken,     ///< The token itself is one of the list.
  kPrevious,  ///< The token before it is one of the list.
  kPair,      ///< Both: "`.` after `self`".
};

/// One entry of a rule's list, and the activation to expect there.
struct RuleGroup {
  int32_t token = -1;     ///< Of kToken and kPair.
  int32_t previous = -1;  ///< Of kPrevious and kPair; vocab_size: the window begins here.
  double value = 0;
};

/// A hypothesis on a feature in words that people can read, which predicts its activation: that of
/// the list's entry where one fits and every attribute holds, else `elsewhere`.
struct Rule {
  RuleKey key = RuleKey::kNone;
  std::vector<RuleGroup> groups;    ///< At most 8, by what they explain; of kNone exactly one.
  std::vector<int64_t> attributes;  ///< Indices into TextAttributes::attributes; at most two.
  double elsewhere = 0;
};

/// Index into rule.groups of the one that fits the row; −1: elsewhere.
int64_t group_of(const Rule& rule, const TextAttributes& text, int64_t row);

/// "`=` or `==` after the start of a word". `token_text` as in Tokenizer::token_text.
std::string describe(const Rule& rule, const TextAttributes& text,
                     const std::function<std::string(int32_t)>& token_text);

}  // namespace featflow
