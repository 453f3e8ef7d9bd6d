#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tokens/token_shard.hpp"

namespace featflow {

/// What a reader could say of one token of a text without a language model: its class, the class of
/// the token before it, and where it stands. At most 64 of them, one bit each.
enum class AttributeKind : uint8_t {
  kToken,     ///< Of the token itself: "a digit".
  kPrevious,  ///< Of the token before it, in the same window: "after a digit".
  kPlace,     ///< Of where it stands: "in a comment".
};

struct Attribute {
  std::string phrase;  ///< For people, as a part of a sentence.
  AttributeKind kind = AttributeKind::kToken;
};

/// The attributes of rows of a matching text, and the keys that rules count by.
struct TextAttributes {
  std::vector<Attribute> attributes;  ///< [a] a ≤ 64
  std::vector<uint64_t> bits;         ///< [n] bit i: attribute i holds on the row
  std::vector<int32_t> tokens;        ///< [n] id of the row's token
  /// [n] id of the token before it, or vocab_size where its window begins: what the model saw.
  std::vector<int32_t> previous;
  std::vector<uint8_t> in_code;  ///< [n] 1 in documents that look like a program
  int64_t vocab_size = 0;

  int64_t rows() const { return std::ssize(bits); }
  /// Index of an attribute by its phrase; throws std::out_of_range, as no file names one.
  int64_t index(std::string_view phrase) const;
};

/// `text` is the matching text and `token_positions` [n] the rows' places in it, ascending;
/// `token_bytes` gives what a token stands for (Tokenizer::token_bytes). Each document was shown to
/// the models in windows of `window` tokens. `document_corpora` [documents] indexes `corpus_names`;
/// both may be empty.
TextAttributes text_attributes(const TokenShard& text, std::span<const int64_t> token_positions,
                               const std::function<std::string(int32_t)>& token_bytes,
                               int64_t window, std::span<const uint8_t> document_corpora = {},
                               const std::vector<std::string>& corpus_names = {});

/// Whether a document looks like a program: brackets, operators and underscores are at least 3% of
/// its bytes (prose has a tenth of that).
bool looks_like_code(std::string_view document);

}  // namespace featflow
