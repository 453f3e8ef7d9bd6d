#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tokens/token_shard.hpp"

namespace featflow {

/// A stretch of a text that a model sees by itself, within one document.
struct DocumentBlock {
  int64_t begin = 0, size = 0;  ///< Tokens of the text.
  int32_t document = 0;
};

/// Each document cut into blocks of block_size tokens, the last of them as short as it comes:
/// what features are harvested on. In the order of the text.
std::vector<DocumentBlock> document_blocks(const TokenShard& text, int64_t block_size);

/// Ids [blocks, block_size]. Short blocks are padded with BOS, which gives no activation and, being
/// to the right, cannot be seen by the tokens before it.
std::vector<int32_t> padded_ids(const TokenShard& text, std::span<const DocumentBlock> blocks,
                                int64_t block_size, int32_t bos);

}  // namespace featflow
