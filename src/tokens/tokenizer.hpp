#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace featflow {

struct TokenizerConfig {
  int64_t vocab_size = 32000;
  int64_t max_training_bytes = 20'000'000;  ///< Sample of the training text, equal per corpus.
};

/// Documents spaced evenly over each corpus, of about max_bytes / corpora.size() each; what a small
/// corpus leaves over goes to the others. Where a document does not fit whole it is cut, at a line
/// end if it has one.
std::vector<std::string> training_sample(const std::vector<std::vector<std::string>>& corpora,
                                         int64_t max_bytes);

/// SentencePiece BPE with byte fallback (the Llama/Mistral v0.1 kind). Copyable handle,
/// thread-safe for encoding and decoding.
class Tokenizer {
 public:
  /// tokenizer.model, or a folder that contains one. Throws Error if it is malformed.
  static Tokenizer load(const std::filesystem::path& file_or_folder);

  /// Trains as Llama's tokenizer was: byte fallback, digits split, identity normalisation (the
  /// round trip is exact on code). `texts` are documents; of more than max_training_bytes, a
  /// training_sample is used. They are learned whole, so that line ends and the indentation behind
  /// them get tokens; runs of tabs that are frequent become tokens too. Deterministic for any
  /// thread count. Throws Error, with both numbers, if the text is too small for vocab_size or has
  /// more distinct characters than it.
  static void train(const TokenizerConfig& config, const std::vector<std::string>& texts,
                    const std::filesystem::path& model_file);

  int64_t vocab_size() const;
  int32_t bos_id() const;
  int32_t eos_id() const;

  /// No BOS. Special-token strings inside text ("<s>") are spelled out unless parse_special; with
  /// it, the text behind one is encoded as a text of its own, as Hugging Face's tokenizers do.
  /// U+2581, which stands for a space inside the model, is encoded as its three bytes. Bytes that
  /// are not UTF-8 are encoded as U+FFFD.
  std::vector<int32_t> encode(std::string_view text, bool parse_special = false) const;
  /// encode of each text, in parallel; parts met before come out of a cache.
  std::vector<std::vector<int32_t>> encode_all(const std::vector<std::string>& texts) const;
  /// Inverse of encode: decode(encode(text)) == text for valid UTF-8. Control tokens give "".
  /// The space that encode put before a text is taken off at the beginning and behind each control
  /// token: to show tokens from the middle of a text, join token_bytes. Throws Error for an id
  /// outside the vocabulary.
  std::string decode(std::span<const int32_t> ids) const;
  /// The bytes one token stands for within text: "▁the" → " the", "<0x0A>" → "\n", "<s>" → "".
  /// May be a part of a UTF-8 sequence.
  std::string token_bytes(int32_t id) const;
  /// For people: like token_bytes, invalid UTF-8 as <0xE2>, control tokens as "<s>".
  std::string token_text(int32_t id) const;
  /// All tokens that are this word, alone or behind one space, ascending (the case-study search:
  /// "=" finds "=" and " ="). A word that begins with a space is taken as it is.
  std::vector<int32_t> ids_of_word(std::string_view word) const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace featflow
