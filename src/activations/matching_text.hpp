#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tokens/token_shard.hpp"

namespace featflow {

/// The one sample that every model of a family is encoded on (definitions 8): the matching split
/// of each corpus, the same number of tokens from each, whole documents but for the last.
struct MatchingText {
  TokenShard tokens;                      ///< All corpora, one after the other.
  std::vector<uint8_t> document_corpora;  ///< [documents] index into corpus_names
  std::vector<std::string> corpus_names;

  std::string content_hash() const;
};

/// `tokens_per_corpus` is cut to the shortest corpus; throws Error if one has none.
MatchingText build_matching_text(const std::vector<std::pair<std::string, TokenShard>>& corpora,
                                 int64_t tokens_per_corpus);

/// The first `tokens_per_corpus` of each corpus, or all where it is shorter.
MatchingText first_tokens(const MatchingText& text, int64_t tokens_per_corpus);

void save_matching_text(const MatchingText& text, const std::filesystem::path& folder);
MatchingText load_matching_text(const std::filesystem::path& folder);

}  // namespace featflow
