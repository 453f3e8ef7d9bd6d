#include "activations/logit_weights.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "activations/residual_loss.hpp"
#include "activations/tap_position.hpp"
#include "core/blas.hpp"
#include "core/error.hpp"
#include "core/parallel.hpp"

namespace featflow {
namespace {

constexpr int64_t kFeaturesAtOnce = 64;

// The first `count` ids in the order `before` gives.
template <typename Before>
std::vector<int32_t> first_ids(int64_t vocab, int64_t count, const Before& before) {
  std::vector<int32_t> ids(static_cast<size_t>(vocab));
  std::iota(ids.begin(), ids.end(), 0);
  const auto end = ids.begin() + std::min(count, vocab);
  std::partial_sort(ids.begin(), end, ids.end(), before);
  ids.erase(end, ids.end());
  return ids;
}

LogitTokens extremes(std::span<const float> weights, int64_t count) {
  const auto weight = [&](int32_t id) { return weights[static_cast<size_t>(id)]; };
  const int64_t vocab = std::ssize(weights);
  LogitTokens tokens;
  tokens.promoted = first_ids(vocab, count, [&](int32_t a, int32_t b) {
    return weight(a) != weight(b) ? weight(a) > weight(b) : a < b;
  });
  tokens.suppressed = first_ids(vocab, count, [&](int32_t a, int32_t b) {
    return weight(a) != weight(b) ? weight(a) < weight(b) : a < b;
  });
  for (const int32_t id : tokens.promoted) tokens.promoted_weights.push_back(weight(id));
  for (const int32_t id : tokens.suppressed) tokens.suppressed_weights.push_back(weight(id));
  return tokens;
}

}  // namespace

std::vector<float> residual_directions(const Checkpoint& checkpoint, const Autoencoder& autoencoder,
                                       const std::string& tap, std::span<const int32_t> features) {
  require_width_of_tap(checkpoint.config, autoencoder, tap);
  const int64_t n = autoencoder.input_size, hidden = checkpoint.config.hidden_size;
  const int64_t count = std::ssize(features);
  std::vector<float> dictionary(static_cast<size_t>(count * n));  // [features, n]
  for (int64_t i = 0; i < count; ++i) {
    const int32_t j = features[static_cast<size_t>(i)];
    FEATFLOW_CHECK(j >= 0 && j < autoencoder.feature_count,
                   fmt::format("there is no feature {}", j));
    std::copy_n(autoencoder.decoder_weight.begin() + j * n, n, dictionary.begin() + i * n);
  }
  const TapPosition position = tap_position(checkpoint.config, tap);
  if (!position.before_down_projection || count == 0) return dictionary;
  const Tensor& down = checkpoint.tensors.at(
      fmt::format("model.layers.{}.mlp.down_proj.weight", position.layer));  // [hidden, n]
  std::vector<float> directions(static_cast<size_t>(count * hidden));
  sgemm(Transpose::kNo, Transpose::kYes, count, hidden, n, 1, dictionary.data(), n,
        down.data.data(), n, 0, directions.data(), hidden);
  return directions;
}

std::vector<float> logit_weights(const Checkpoint& checkpoint, const Autoencoder& autoencoder,
                                 const std::string& tap, std::span<const int32_t> features) {
  const int64_t hidden = checkpoint.config.hidden_size, vocab = checkpoint.config.vocab_size;
  std::vector<float> directions = residual_directions(checkpoint, autoencoder, tap, features);
  const std::vector<float>& norm = checkpoint.tensors.at("model.norm.weight").data;
  for (size_t i = 0; i < directions.size(); ++i) {
    directions[i] *= norm[i % static_cast<size_t>(hidden)];
  }
  const int64_t count = std::ssize(features);
  std::vector<float> weights(static_cast<size_t>(count * vocab));
  if (count == 0) return weights;
  sgemm(Transpose::kNo, Transpose::kYes, count, vocab, hidden, 1, directions.data(), hidden,
        output_head(checkpoint).data.data(), hidden, 0, weights.data(), vocab);
  return weights;
}

std::vector<LogitTokens> top_logit_tokens(const Checkpoint& checkpoint,
                                          const Autoencoder& autoencoder, const std::string& tap,
                                          std::span<const int32_t> features, int64_t count) {
  const auto vocab = static_cast<size_t>(checkpoint.config.vocab_size);
  std::vector<LogitTokens> tokens(features.size());
  for (size_t first = 0; first < features.size(); first += kFeaturesAtOnce) {
    const auto block =
        features.subspan(first, std::min<size_t>(kFeaturesAtOnce, features.size() - first));
    const std::vector<float> weights = logit_weights(checkpoint, autoencoder, tap, block);
    parallel_for(std::ssize(block), 1, [&](int64_t begin, int64_t end, int) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
        tokens[first + i] = extremes(std::span(weights).subspan(i * vocab, vocab), count);
      }
    });
  }
  return tokens;
}

}  // namespace featflow
