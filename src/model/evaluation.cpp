#include "model/evaluation.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"
#include "core/interrupt.hpp"

namespace featflow {
namespace {

/// Where the blocks to score begin.
std::vector<int64_t> block_starts(int64_t size, int64_t block_size, int64_t max_tokens) {
  std::vector<int64_t> starts;
  if (max_tokens == 0 || max_tokens >= size) {
    for (int64_t begin = 0; size - begin >= 2; begin += block_size) starts.push_back(begin);
    return starts;
  }
  const int64_t there = size / block_size, wanted = std::min(max_tokens / block_size, there);
  for (int64_t i = 0; i < wanted; ++i) starts.push_back(i * there / wanted * block_size);
  return starts;
}

}  // namespace

DocumentScores evaluate(const Model& model, const TokenShard& shard, int64_t block_size,
                        int64_t max_tokens, std::span<const Tap> taps) {
  if (block_size < 2) {
    throw Error(
        fmt::format("evaluation: block_size is {}, expected at least 2: a token to predict "
                    "and one to predict it from",
                    block_size));
  }
  constexpr int64_t kBatchTokens = 4096;
  const auto documents = static_cast<size_t>(shard.document_count());
  DocumentScores scores;
  scores.predicted.assign(documents, 0);
  scores.correct.assign(documents, 0);
  scores.loss.assign(documents, 0);

  if (max_tokens > 0) block_size = std::min(block_size, std::max(max_tokens, int64_t{2}));
  const std::vector<int64_t> starts = block_starts(shard.size(), block_size, max_tokens);
  const auto length = [&](int64_t begin) { return std::min(block_size, shard.size() - begin); };
  const auto most = static_cast<size_t>(std::max(kBatchTokens / block_size, int64_t{1}));
  std::vector<int32_t> ids;  // [batch, time]
  for (size_t first = 0, end = 0; first < starts.size(); first = end) {
    throw_if_interrupted();
    const int64_t time = length(starts[first]);
    ids.clear();
    for (; end < std::min(first + most, starts.size()) && length(starts[end]) == time; ++end) {
      const auto block = shard.tokens.begin() + starts[end];
      ids.insert(ids.end(), block, block + time);
    }
    const auto batch = static_cast<int64_t>(end - first);
    const PositionScores positions = model.score(ids, batch, time, taps);
    for (int64_t i = 0; i < batch * (time - 1); ++i) {
      const int64_t predicted =
          starts[first + static_cast<size_t>(i / (time - 1))] + i % (time - 1) + 1;
      const auto document = static_cast<size_t>(shard.document_of(predicted));
      scores.predicted[document] += 1;
      scores.correct[document] += positions.correct[static_cast<size_t>(i)];
      scores.loss[document] += positions.loss[static_cast<size_t>(i)];
    }
  }
  return scores;
}

}  // namespace featflow
