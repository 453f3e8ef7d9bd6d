#include "model/model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/blas.hpp"
#include "core/error.hpp"
#include "model/output_head.hpp"
#include "model/transformer.hpp"

namespace featflow {
namespace {

void check_input(const ModelConfig& config, std::span<const int32_t> ids, int64_t batch,
                 int64_t time) {
  FEATFLOW_CHECK(batch > 0 && time > 0 && std::ssize(ids) == batch * time, "ids are [batch, time]");
  if (time > config.max_position_embeddings) {
    throw Error(
        fmt::format("model: a block of {} tokens is longer than the model's "
                    "max_position_embeddings of {}; use a smaller block_size",
                    time, config.max_position_embeddings));
  }
}

// score_logits of hidden [rows, width] through the head, a chunk of rows at a time.
void score_rows(const Transformer& network, const torch::Tensor& hidden,
                std::span<const int32_t> targets, std::vector<float>& loss,
                std::vector<uint8_t>& correct) {
  const int64_t rows = hidden.size(0), width = hidden.size(1);
  const int64_t vocab = network.config().vocab_size;
  std::vector<float> logits(static_cast<size_t>(std::min(rows, kHeadChunk) * vocab));
  loss.resize(targets.size());
  correct.resize(targets.size());
  for (int64_t begin = 0; begin < rows; begin += kHeadChunk) {
    const int64_t count = std::min(kHeadChunk, rows - begin);
    sgemm(Transpose::kNo, Transpose::kYes, count, vocab, width, 1,
          hidden.data_ptr<float>() + begin * width, width, network.head().data_ptr<float>(), width,
          0, logits.data(), vocab);
    score_logits(logits.data(), targets.data() + begin, count, vocab, loss.data() + begin,
                 correct.data() + begin);
  }
}

}  // namespace

Model::Model(const Checkpoint& checkpoint) : impl_(new Impl{Transformer(checkpoint)}) {}
Model::~Model() = default;
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;

const ModelConfig& Model::config() const { return impl_->network.config(); }

Checkpoint Model::random(const ModelConfig& config, Rng& rng) {
  config.validate("model");
  Checkpoint checkpoint{config, {}};
  for (const auto& [name, shape] : expected_tensors(config)) {
    int64_t count = 1;
    for (const int64_t extent : shape) count *= extent;
    Tensor tensor{shape, std::vector<float>(static_cast<size_t>(count), 1.0f)};
    if (shape.size() > 1) {
      for (float& value : tensor.data) {
        value = static_cast<float>(rng.normal() * config.initializer_range);
      }
    }
    checkpoint.tensors[name] = std::move(tensor);
  }
  return checkpoint;
}

int64_t tap_width(const ModelConfig& config, const std::string& name) {
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    if (name == fmt::format("blocks.{}.mlp.hook_post", layer)) return config.intermediate_size;
    for (const char* hook : {"hook_mlp_out", "hook_resid_post"}) {
      if (name == fmt::format("blocks.{}.{}", layer, hook)) return config.hidden_size;
    }
  }
  throw Error(
      fmt::format("tap {}: there is no such tap; this model has blocks.L.mlp.hook_post, "
                  "blocks.L.hook_mlp_out and blocks.L.hook_resid_post with L from 0 to {}",
                  in_quotes(name), config.num_hidden_layers - 1));
}

std::vector<float> Model::logits(std::span<const int32_t> ids, int64_t batch, int64_t time,
                                 std::span<const Tap> taps) const {
  const at::NoGradGuard inference;
  const Transformer& network = impl_->network;
  check_input(config(), ids, batch, time);
  TapVisits visits(config(), taps);
  const torch::Tensor hidden = network.trunk(network.embed(ids), batch, time, visits);
  std::vector<float> logits(ids.size() * static_cast<size_t>(config().vocab_size));
  const int64_t width = config().hidden_size, vocab = config().vocab_size;
  sgemm(Transpose::kNo, Transpose::kYes, batch * time, vocab, width, 1, hidden.data_ptr<float>(),
        width, network.head().data_ptr<float>(), width, 0, logits.data(), vocab);
  return logits;
}

PositionScores Model::score(std::span<const int32_t> ids, int64_t batch, int64_t time,
                            std::span<const Tap> taps) const {
  const at::NoGradGuard inference;
  const Transformer& network = impl_->network;
  check_input(config(), ids, batch, time);
  TapVisits visits(config(), taps);
  const torch::Tensor hidden = network.trunk(network.embed(ids), batch, time, visits);

  const std::vector<int32_t> targets = next_tokens(ids, time);
  std::vector<float> loss;
  std::vector<uint8_t> correct;
  score_rows(network, hidden, targets, loss, correct);

  PositionScores scores;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (targets[i] == kNoTarget) continue;
    scores.loss.push_back(loss[i]);
    scores.correct.push_back(correct[i]);
  }
  return scores;
}

std::vector<float> Model::loss_at(std::span<const int32_t> ids, int64_t batch, int64_t time,
                                  std::span<const uint8_t> wanted,
                                  std::span<const Tap> taps) const {
  const at::NoGradGuard inference;
  FEATFLOW_CHECK(wanted.size() == ids.size(), "wanted is [batch, time]");
  check_input(config(), ids, batch, time);
  TapVisits visits(config(), taps);
  const torch::Tensor hidden = impl_->network.trunk(impl_->network.embed(ids), batch, time, visits);

  const std::vector<int32_t> next = next_tokens(ids, time);
  std::vector<int64_t> rows;
  std::vector<int32_t> targets;
  for (size_t i = 0; i < next.size(); ++i) {
    if (wanted[i] == 0 || next[i] == kNoTarget) continue;
    rows.push_back(static_cast<int64_t>(i));
    targets.push_back(next[i]);
  }
  std::vector<float> result(ids.size(), 0.0f);
  if (rows.empty()) return result;
  std::vector<float> loss;
  std::vector<uint8_t> correct;
  score_rows(impl_->network, hidden.index_select(0, torch::tensor(rows)), targets, loss, correct);
  for (size_t i = 0; i < rows.size(); ++i) result[static_cast<size_t>(rows[i])] = loss[i];
  return result;
}

void Model::run_to_taps(std::span<const int32_t> ids, int64_t batch, int64_t time,
                        std::span<const Tap> taps) const {
  const at::NoGradGuard inference;
  FEATFLOW_CHECK(!taps.empty(), "somebody must be listening");
  check_input(config(), ids, batch, time);
  TapVisits visits(config(), taps, /*stop_after_last=*/true);
  impl_->network.trunk(impl_->network.embed(ids), batch, time, visits);
}

namespace {

int32_t sample(std::span<const float> logits, double temperature, Rng& rng) {
  const auto best = std::ranges::max_element(logits);
  if (temperature == 0) return static_cast<int32_t>(best - logits.begin());
  std::vector<double> cumulative;
  double sum = 0;
  for (const float logit : logits) {
    sum += std::exp((static_cast<double>(logit) - *best) / temperature);
    cumulative.push_back(sum);
  }
  const auto chosen = std::ranges::upper_bound(cumulative, rng.uniform() * sum);
  return static_cast<int32_t>(std::min(chosen - cumulative.begin(), std::ssize(logits) - 1));
}

}  // namespace

std::vector<int32_t> generate(const Model& model, std::span<const int32_t> prompt,
                              const GenerateOptions& options, Rng& rng) {
  const at::NoGradGuard inference;
  FEATFLOW_CHECK(!prompt.empty(), "a prompt has at least its BOS");
  if (!(options.temperature >= 0) || !std::isfinite(options.temperature)) {
    throw Error(fmt::format("generate: temperature is {}, expected 0 (greedy) or more",
                            options.temperature));
  }
  const ModelConfig& config = model.config();
  const Transformer& network = model.impl().network;
  const auto prompt_size = prompt.size();
  std::vector<int32_t> ids(prompt.begin(), prompt.end());
  std::vector<float> logits(static_cast<size_t>(config.vocab_size));
  for (int64_t step = 0; step < options.max_tokens; ++step) {
    // Nothing is cached: the window is recomputed, and slides once the context is full.
    const int64_t time = std::min(std::ssize(ids), config.max_position_embeddings);
    const auto window = std::span<const int32_t>(ids).last(static_cast<size_t>(time));
    TapVisits no_taps;
    const torch::Tensor hidden = network.trunk(network.embed(window), 1, time, no_taps);
    const int64_t width = config.hidden_size;
    sgemm(Transpose::kNo, Transpose::kYes, 1, config.vocab_size, width, 1,
          hidden.data_ptr<float>() + (time - 1) * width, width, network.head().data_ptr<float>(),
          width, 0, logits.data(), config.vocab_size);
    const int32_t next = sample(logits, options.temperature, rng);
    if (next == config.eos_token_id || next == config.bos_token_id) break;
    ids.push_back(next);
  }
  return {ids.begin() + static_cast<int64_t>(prompt_size), ids.end()};
}

void set_torch_threads(int count) {
  at::set_num_threads(count);
  set_blas_threads(count);
}

std::string torch_version() { return TORCH_VERSION; }

}  // namespace featflow
