#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "core/rng.hpp"

namespace featflow {

/// The values at one tap of one forward pass, in place: what the visitor changes is what the rest
/// of the network sees (reconstruction, zero and mean ablation).
struct TapValues {
  float* data = nullptr;  ///< [rows, width], contiguous; row = batch · time + position.
  int64_t rows = 0;
  int64_t width = 0;
  std::span<float> row(int64_t index) const {
    return {data + index * width, static_cast<size_t>(width)};
  }
};

/// A tap by its TransformerLens name: `blocks.L.mlp.hook_post` (silu(gate)·up, width
/// intermediate_size), `blocks.L.hook_mlp_out`, `blocks.L.hook_resid_post` (width hidden_size).
struct Tap {
  std::string name;
  std::function<void(TapValues)> visit;
};

/// Width of a tap's rows; throws Error naming the taps that exist if there is no such tap.
int64_t tap_width(const ModelConfig& config, const std::string& name);

/// Cross-entropy (nats) and whether argmax was right, for predicting token t+1 at position t.
struct PositionScores {
  std::vector<float> loss;       ///< [batch, time-1]
  std::vector<uint8_t> correct;  ///< [batch, time-1]
};

/// A Mistral/Llama transformer for inference, exactly Hugging Face's arithmetic, float32.
/// Ids are [batch, time]. Movable; const functions may be called from one thread at a time.
class Model {
 public:
  explicit Model(const Checkpoint& checkpoint);
  /// N(0, initializer_range) for linear layers and embeddings, 1 for norms.
  static Checkpoint random(const ModelConfig& config, Rng& rng);
  ~Model();
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;

  const ModelConfig& config() const;

  /// [batch, time, vocab]. For scoring text use score(), which never holds all logits.
  std::vector<float> logits(std::span<const int32_t> ids, int64_t batch, int64_t time,
                            std::span<const Tap> taps = {}) const;
  /// The head goes through in chunks of tokens.
  PositionScores score(std::span<const int32_t> ids, int64_t batch, int64_t time,
                       std::span<const Tap> taps = {}) const;
  /// Cross-entropy (nats) of the next token at chosen positions, for which alone the head is
  /// computed: [batch, time], zero elsewhere and at the last position of a block. `wanted`
  /// [batch, time] is read once all taps have been visited, so a visitor may fill it in.
  std::vector<float> loss_at(std::span<const int32_t> ids, int64_t batch, int64_t time,
                             std::span<const uint8_t> wanted, std::span<const Tap> taps = {}) const;
  /// Computes no further than the last tap named.
  void run_to_taps(std::span<const int32_t> ids, int64_t batch, int64_t time,
                   std::span<const Tap> taps) const;

  struct Impl;  ///< transformer.hpp, for the layers that link LibTorch.
  Impl& impl() const { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

struct GenerateOptions {
  int64_t max_tokens = 100;
  double temperature = 1.0;  ///< 0: greedy.
};
/// Continues `prompt` (ids, BOS included by the caller); stops at EOS or BOS.
std::vector<int32_t> generate(const Model& model, std::span<const int32_t> prompt,
                              const GenerateOptions& options, Rng& rng);

/// OpenMP threads of LibTorch (it starts with one) and of whole-matrix BLAS.
void set_torch_threads(int count);
std::string torch_version();

}  // namespace featflow
