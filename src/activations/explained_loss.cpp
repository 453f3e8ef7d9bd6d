#include "activations/explained_loss.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "activations/model_source.hpp"
#include "activations/tap_position.hpp"
#include "core/error.hpp"
#include "core/interrupt.hpp"

namespace featflow {
namespace {

constexpr int64_t kBatchTokens = 4096;

// Calls visit(ids, batch) over the leading blocks of the text, a few thousand tokens at a time.
template <typename Visit>
void for_each_batch(const TokenShard& text, int64_t block_size, int64_t max_tokens,
                    const Visit& visit) {
  const int64_t blocks = std::min(text.size(), max_tokens) / block_size;
  const int64_t batch_blocks = std::max<int64_t>(1, kBatchTokens / block_size);
  for (int64_t first = 0; first < blocks; first += batch_blocks) {
    throw_if_interrupted();
    const int64_t batch = std::min(batch_blocks, blocks - first);
    visit(std::span(text.tokens)
              .subspan(static_cast<size_t>(first * block_size),
                       static_cast<size_t>(batch * block_size)),
          batch);
  }
}

std::vector<float> mean_activation(const Model& model, const std::string& tap,
                                   const TokenShard& text, int64_t block_size, int64_t max_tokens) {
  const auto width = static_cast<size_t>(tap_width(model.config(), tap));
  std::vector<double> sum(width);
  int64_t count = 0;
  std::vector<float> rows;
  for_each_batch(text, block_size, max_tokens, [&](std::span<const int32_t> ids, int64_t batch) {
    const int64_t found = tap_rows(model, tap, ids, batch, block_size, rows);
    for (size_t i = 0; i < rows.size(); ++i) sum[i % width] += static_cast<double>(rows[i]);
    count += found;
  });
  std::vector<float> mean(width);
  for (size_t j = 0; j < width; ++j) {
    mean[j] = static_cast<float>(sum[j] / static_cast<double>(std::max<int64_t>(count, 1)));
  }
  return mean;
}

}  // namespace

ExplainedLoss explained_loss(const Model& model, const Autoencoder& autoencoder,
                             const std::string& tap, const TokenShard& text, int64_t block_size,
                             int64_t max_tokens) {
  if (std::min(text.size(), max_tokens) < block_size) {
    throw Error(
        fmt::format("explained loss: the text has {} tokens, expected at least one block "
                    "of {}",
                    std::min(text.size(), max_tokens), block_size));
  }
  require_width_of_tap(model.config(), autoencoder, tap);
  const int64_t width = autoencoder.input_size;
  const auto bos = static_cast<int32_t>(model.config().bos_token_id);
  const std::vector<float> mean = mean_activation(model, tap, text, block_size, max_tokens);

  ExplainedLoss result;
  for_each_batch(text, block_size, max_tokens, [&](std::span<const int32_t> ids, int64_t batch) {
    const auto loss_with = [&](const std::function<void(TapValues)>& edit) {
      const Tap tap_edit{tap, [&](TapValues values) {
                           std::vector<float> kept(values.data,
                                                   values.data + values.rows * values.width);
                           edit(values);
                           for (int64_t r = 0; r < values.rows; ++r) {
                             if (ids[static_cast<size_t>(r)] != bos) continue;
                             std::copy_n(kept.begin() + r * width, width, values.row(r).begin());
                           }
                         }};
      const PositionScores scores = model.score(ids, batch, block_size, {&tap_edit, 1});
      return std::accumulate(scores.loss.begin(), scores.loss.end(), 0.0);
    };
    result.original += loss_with([](TapValues) {});
    result.reconstructed += loss_with([&](TapValues values) {
      const std::span<float> x(values.data, static_cast<size_t>(values.rows * values.width));
      decode(autoencoder, encode(autoencoder, x, values.rows), x);
    });
    result.zero_ablated += loss_with(
        [](TapValues values) { std::fill_n(values.data, values.rows * values.width, 0.0f); });
    result.mean_ablated += loss_with([&](TapValues values) {
      for (int64_t r = 0; r < values.rows; ++r) std::ranges::copy(mean, values.row(r).begin());
    });
    result.positions += batch * (block_size - 1);
  });
  for (double* sum :
       {&result.original, &result.reconstructed, &result.zero_ablated, &result.mean_ablated}) {
    *sum /= static_cast<double>(result.positions);
  }
  return result;
}

}  // namespace featflow
