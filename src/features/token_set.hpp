#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokens/tokenizer.hpp"

namespace featflow {

/// A set S of strings, each a sequence of one or more tokens: the hypothesis of a log-likelihood
/// ratio (definitions 20).
struct TokenSet {
  std::string label;                          ///< For people: "=" or "/[A-Z]+/".
  std::vector<std::vector<int32_t>> strings;  ///< Ascending, without repeats.
};

/// Every token that stands for exactly this text, with or without a space before it; where there
/// is none, every string of tokens that spells it so in `stream`. It has no string if the text does
/// not stand there. Throws Error if `word` is empty.
TokenSet token_set_of_word(const Tokenizer& tokenizer, std::string_view word,
                           std::span<const int32_t> stream);

/// The strings of tokens in `stream` whose bytes are exactly `text`, each once.
std::vector<std::vector<int32_t>> strings_that_spell(
    std::string_view text, std::span<const int32_t> stream,
    const std::function<std::string(int32_t)>& token_bytes);

/// Every token whose whole text (token_bytes: " the" keeps its space) matches the regular
/// expression (ECMAScript, on bytes). Throws Error if the expression is malformed or matches none.
TokenSet token_set_of_pattern(const Tokenizer& tokenizer, const std::string& pattern);
TokenSet token_set_of_pattern(int64_t vocab_size,
                              const std::function<std::string(int32_t)>& token_bytes,
                              const std::string& pattern);

/// Where S stands in the rows that were encoded.
struct TokenSetRows {
  std::vector<int32_t> rows;  ///< Ascending: rows whose token ends a string of S.
  int64_t row_count = 0;      ///< n
  double probability = 0;     ///< p(S) = Σ_s Π_{t ∈ s} p(t), p(t) the share of t in the rows
};

/// `stream` is the matching text, `token_positions` [n] where in it each row stands. A string of
/// several tokens is found in the stream and credited to the row of its last token.
TokenSetRows find_token_set(const TokenSet& set, std::span<const int32_t> stream,
                            std::span<const int64_t> token_positions);

}  // namespace featflow
