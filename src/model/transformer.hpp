#pragma once

// Private to the layers that link LibTorch: their .cpp files only.

#include <torch/torch.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "model/layer_kernels.hpp"
#include "model/model.hpp"
#include "model/parameters.hpp"

namespace featflow {

/// The taps of one forward pass: hands each tensor to those who asked for it.
class TapVisits {
 public:
  TapVisits() = default;
  /// Throws Error for a tap that the model does not have.
  TapVisits(const ModelConfig& config, std::span<const Tap> taps, bool stop_after_last = false);

  /// `values` [rows, width] may be changed in place by the visitors.
  void visit(int64_t layer, const char* hook, torch::Tensor& values);
  /// All taps have been visited and nothing beyond them is wanted.
  bool finished() const { return stop_after_last_ && remaining_ == 0; }
  bool empty() const { return taps_.empty(); }

 private:
  std::span<const Tap> taps_;
  size_t remaining_ = 0;
  bool stop_after_last_ = false;
};

/// One pre-norm layer. All weights are [out, in], norms [hidden]; y = x Wᵀ, no biases.
struct TransformerLayer {
  int64_t index = 0;
  torch::Tensor attention_norm;
  torch::Tensor qkv;  ///< q, k and v projections, one below the other.
  torch::Tensor attention_out;
  torch::Tensor mlp_norm;
  torch::Tensor gate_up;  ///< gate and up projections, one below the other.
  torch::Tensor down;

  /// x [rows, hidden] → [rows, hidden]; undefined when the taps say that nothing more is wanted.
  torch::Tensor forward(const torch::Tensor& x, const AttentionShape& shape,
                        const torch::Tensor& rope, double epsilon, TapVisits& taps) const;
};

/// Mistral (Jiang et al. 2023) or Llama: embedding, layers, final norm, head. Float32 on the CPU.
/// All weights are views of one flat array (parameters.hpp), which a trainer may change in place.
class Transformer {
 public:
  explicit Transformer(const Checkpoint& checkpoint);

  const ModelConfig& config() const { return config_; }
  const ParameterLayout& layout() const { return layout_; }
  std::span<float> weights() const;

  /// ids [rows] → [rows, hidden]. Throws Error for an id outside the vocabulary.
  torch::Tensor embed(std::span<const int32_t> ids) const;
  /// All layers and the final norm: x [batch · time, hidden] → the same shape, ready for the head.
  /// Differentiable in x and in the weights that require_gradients() has marked. Undefined if the
  /// taps stop it.
  torch::Tensor trunk(torch::Tensor x, int64_t batch, int64_t time, TapVisits& taps) const;
  /// What predicts the next token: logits = trunk · headᵀ. [vocab, hidden]
  const torch::Tensor& head() const { return head_; }
  const ParameterSlot& embedding_slot() const { return layout_.slot("model.embed_tokens.weight"); }
  const ParameterSlot& head_slot() const;

  /// From now on backward() adds the trunk's gradients to `flat` (of the layout's size, laid out
  /// like the weights). Embedding and head are left to the caller.
  void require_gradients(const torch::Tensor& flat);

 private:
  torch::Tensor view(const torch::Tensor& flat, const std::string& first, int64_t rows,
                     int64_t columns) const;
  const torch::Tensor& rope_table(int64_t time) const;
  std::vector<TransformerLayer> layers_over(const torch::Tensor& flat) const;

  ModelConfig config_;
  ParameterLayout layout_;
  torch::Tensor flat_;  // [layout.size]
  torch::Tensor embedding_, final_norm_, head_;
  std::vector<TransformerLayer> layers_;
  mutable torch::Tensor rope_;  // [longest time so far, head_dim]
};

struct Model::Impl {
  Transformer network;
};

}  // namespace featflow
