#include "activations/document_blocks.hpp"

#include <algorithm>

namespace featflow {

std::vector<DocumentBlock> document_blocks(const TokenShard& text, int64_t block_size) {
  std::vector<DocumentBlock> blocks;
  for (int64_t d = 0; d < text.document_count(); ++d) {
    const int64_t begin = text.document_starts[static_cast<size_t>(d)];
    const int64_t end = text.document_end(d);
    for (int64_t at = begin; at < end; at += block_size) {
      blocks.push_back({at, std::min(block_size, end - at), static_cast<int32_t>(d)});
    }
  }
  return blocks;
}

std::vector<int32_t> padded_ids(const TokenShard& text, std::span<const DocumentBlock> blocks,
                                int64_t block_size, int32_t bos) {
  std::vector<int32_t> ids(blocks.size() * static_cast<size_t>(block_size), bos);
  for (size_t b = 0; b < blocks.size(); ++b) {
    std::copy_n(text.tokens.begin() + blocks[b].begin, blocks[b].size,
                ids.begin() + static_cast<int64_t>(b) * block_size);
  }
  return ids;
}

}  // namespace featflow
