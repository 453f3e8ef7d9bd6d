#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "tokens/tokenizer.hpp"

namespace featflow {

/// The documents of one corpus split as one stream: BOS, document, BOS, document, … no EOS.
struct TokenShard {
  std::vector<int32_t> tokens;
  std::vector<int64_t> document_starts;  ///< Ascending; document d is [starts[d], starts[d+1]).
  int64_t vocab_size = 0;

  int64_t size() const { return static_cast<int64_t>(tokens.size()); }
  int64_t document_count() const { return static_cast<int64_t>(document_starts.size()); }
  int64_t document_of(int64_t position) const;
  int64_t document_end(int64_t document) const;  ///< starts[d+1], of the last one size().
};

TokenShard tokenize(const Tokenizer& tokenizer, const std::vector<std::string>& documents);

/// safetensors: `tokens` [n] u16 when vocab_size ≤ 65,536, else i32; `document_starts` [d] i64;
/// metadata vocab_size. Ids out of range, starts not ascending or beyond n throw Error.
void save_token_shard(const TokenShard& shard, const std::filesystem::path& file);
TokenShard load_token_shard(const std::filesystem::path& file);

}  // namespace featflow
