#pragma once

#include <cstdint>
#include <vector>

#include "checkpoint/document_scores.hpp"
#include "model/model.hpp"
#include "tokens/token_shard.hpp"

namespace featflow {

/// The stream in consecutive blocks of `block_size` tokens (the remainder, if of at least 2
/// tokens, too); each predicted position counts for the document that the predicted token lies
/// in. Of a stream longer than `max_tokens` (0: all) only so many of these blocks as make at most
/// `max_tokens`, in equal distances from its start to its end: the first documents alone may be
/// few, and like each other. `taps` as in Model::score.
DocumentScores evaluate(const Model& model, const TokenShard& shard, int64_t block_size,
                        int64_t max_tokens = 0, std::span<const Tap> taps = {});

}  // namespace featflow
