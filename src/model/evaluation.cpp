#include "model/evaluation.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"
#include "core/interrupt.hpp"

namespace featflow {

DocumentScores evaluate(const Model& model, const TokenShard& shard, int64_t block_size,
                        int64_t max_tokens, std::span<const Tap> taps) {
  if (block_size < 2) {
    throw Error(
        fmt::format("evaluation: block_size is {}, expected at least 2: a token to predict "
                    "and one to predict it from",
                    block_size));
  }
  constexpr int64_t kBatchTokens = 4096;
  const int64_t total = max_tokens > 0 ? std::min(shard.size(), max_tokens) : shard.size();
  const auto documents = static_cast<size_t>(shard.document_count());
  DocumentScores scores;
  scores.predicted.assign(documents, 0);
  scores.correct.assign(documents, 0);
  scores.loss.assign(documents, 0);

  for (int64_t begin = 0; total - begin >= 2;) {
    throw_if_interrupted();
    const int64_t time = std::min(block_size, total - begin);
    const int64_t batch =
        std::clamp((total - begin) / time, int64_t{1}, std::max(kBatchTokens / time, int64_t{1}));
    const auto ids = std::span(shard.tokens)
                         .subspan(static_cast<size_t>(begin), static_cast<size_t>(batch * time));
    const PositionScores positions = model.score(ids, batch, time, taps);
    for (int64_t i = 0; i < batch * (time - 1); ++i) {
      const int64_t predicted = begin + i / (time - 1) * time + i % (time - 1) + 1;
      const auto document = static_cast<size_t>(shard.document_of(predicted));
      scores.predicted[document] += 1;
      scores.correct[document] += positions.correct[static_cast<size_t>(i)];
      scores.loss[document] += positions.loss[static_cast<size_t>(i)];
    }
    begin += batch * time;
  }
  return scores;
}

}  // namespace featflow
