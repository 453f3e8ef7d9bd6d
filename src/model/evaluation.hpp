#pragma once

#include <cstdint>
#include <vector>

#include "checkpoint/document_scores.hpp"
#include "model/model.hpp"
#include "tokens/token_shard.hpp"

namespace featflow {

/// The stream in consecutive blocks of `block_size` tokens (the remainder, if of at least 2
/// tokens, too); each predicted position counts for the document that the predicted token lies
/// in. At most `max_tokens` (0: all). `taps` as in Model::score.
DocumentScores evaluate(const Model& model, const TokenShard& shard, int64_t block_size,
                        int64_t max_tokens = 0, std::span<const Tap> taps = {});

}  // namespace featflow
