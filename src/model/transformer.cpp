#include "model/transformer.hpp"

#include <fmt/format.h>

#include <cstring>

#include "core/error.hpp"

namespace featflow {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

// The layer's parts that are not matrix products, as differentiable operations: layer_kernels.hpp
// computes, these keep what the backward pass needs.

struct RmsNorm : Function<RmsNorm> {
  // x [rows, width], weight [width] → [rows, width]
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        double epsilon) {
    context->save_for_backward({x, weight});
    context->saved_data["epsilon"] = epsilon;
    Tensor y = torch::empty_like(x);
    rms_norm(x.data_ptr<float>(), weight.data_ptr<float>(), x.size(0), x.size(1),
             static_cast<float>(epsilon), y.data_ptr<float>());
    return y;
  }
  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], dy = gradients[0].contiguous();
    Tensor dx = torch::empty_like(x), d_weight = torch::empty_like(weight);
    rms_norm_backward(x.data_ptr<float>(), weight.data_ptr<float>(), dy.data_ptr<float>(),
                      x.size(0), x.size(1),
                      static_cast<float>(context->saved_data["epsilon"].toDouble()),
                      dx.data_ptr<float>(), d_weight.data_ptr<float>());
    return {dx, d_weight, Tensor()};
  }
};

struct SwiGlu : Function<SwiGlu> {
  // gate_up [rows, 2·width] → silu(gate) · up [rows, width]
  static Tensor forward(AutogradContext* context, const Tensor& gate_up) {
    context->save_for_backward({gate_up});
    const int64_t rows = gate_up.size(0), width = gate_up.size(1) / 2;
    Tensor y = torch::empty({rows, width}, gate_up.options());
    swiglu(gate_up.data_ptr<float>(), rows, width, y.data_ptr<float>());
    return y;
  }
  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    const Tensor gate_up = context->get_saved_variables()[0], dy = gradients[0].contiguous();
    Tensor d_gate_up = torch::empty_like(gate_up);
    swiglu_backward(gate_up.data_ptr<float>(), dy.data_ptr<float>(), dy.size(0), dy.size(1),
                    d_gate_up.data_ptr<float>());
    return {d_gate_up};
  }
};

struct Attention : Function<Attention> {
  // qkv [rows, q | k | v] → [rows, heads · head_dim]. Rotates qkv in place: nobody else holds it,
  // and the projection that made it does not need its own output to go backward.
  static Tensor forward(AutogradContext* context, const Tensor& qkv, const Tensor& rope,
                        const AttentionShape& shape) {
    rotate_heads(shape, rope.data_ptr<float>(), /*inverse=*/false, qkv.data_ptr<float>());
    context->save_for_backward({qkv, rope});
    context->saved_data["shape"] = std::vector<int64_t>{
        shape.batch, shape.time, shape.heads, shape.kv_heads, shape.head_dim, shape.window};
    Tensor out = torch::empty({qkv.size(0), shape.q_width()}, qkv.options());
    attention(shape, qkv.data_ptr<float>(), out.data_ptr<float>());
    return out;
  }
  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &qkv = saved[0], &rope = saved[1], d_out = gradients[0].contiguous();
    const auto s = context->saved_data["shape"].toIntVector();
    const AttentionShape shape = {s[0], s[1], s[2], s[3], s[4], s[5]};
    Tensor d_qkv = torch::empty_like(qkv);
    attention_backward(shape, qkv.data_ptr<float>(), d_out.data_ptr<float>(),
                       d_qkv.data_ptr<float>());
    rotate_heads(shape, rope.data_ptr<float>(), /*inverse=*/true, d_qkv.data_ptr<float>());
    return {d_qkv, Tensor(), Tensor()};
  }
};

}  // namespace

torch::Tensor TransformerLayer::forward(const torch::Tensor& x, const AttentionShape& shape,
                                        const torch::Tensor& rope, double epsilon,
                                        TapVisits& taps) const {
  const torch::Tensor projected = torch::mm(RmsNorm::apply(x, attention_norm, epsilon), qkv.t());
  const torch::Tensor attended = Attention::apply(projected, rope, shape);
  const torch::Tensor middle = torch::addmm(x, attended, attention_out.t());  // the residual stream

  torch::Tensor post =
      SwiGlu::apply(torch::mm(RmsNorm::apply(middle, mlp_norm, epsilon), gate_up.t()));
  taps.visit(index, "mlp.hook_post", post);
  if (taps.finished()) return {};
  if (taps.empty()) return torch::addmm(middle, post, down.t());

  torch::Tensor mlp_out = torch::mm(post, down.t());
  taps.visit(index, "hook_mlp_out", mlp_out);
  if (taps.finished()) return {};
  torch::Tensor y = middle + mlp_out;
  taps.visit(index, "hook_resid_post", y);
  return y;
}

torch::Tensor Transformer::trunk(torch::Tensor x, int64_t batch, int64_t time,
                                 TapVisits& taps) const {
  FEATFLOW_CHECK(taps.empty() || !torch::GradMode::is_enabled(), "taps are for inference");
  const AttentionShape shape = {batch,
                                time,
                                config_.num_attention_heads,
                                config_.num_key_value_heads,
                                config_.resolved_head_dim(),
                                config_.sliding_window};
  for (const TransformerLayer& layer : layers_) {
    x = layer.forward(x, shape, rope_table(time), config_.rms_norm_eps, taps);
    if (taps.finished()) return {};
  }
  return RmsNorm::apply(x, final_norm_, config_.rms_norm_eps);
}

Transformer::Transformer(const Checkpoint& checkpoint)
    : config_(checkpoint.config), layout_(checkpoint.config) {
  config_.validate("model");
  flat_ = torch::empty({layout_.size()});
  layout_.pack(checkpoint.tensors, weights());
  embedding_ = view(flat_, "model.embed_tokens.weight", config_.vocab_size, config_.hidden_size);
  head_ = view(flat_, head_slot().name, config_.vocab_size, config_.hidden_size);
  final_norm_ = view(flat_, "model.norm.weight", 1, config_.hidden_size).flatten();
  layers_ = layers_over(flat_);
}

std::span<float> Transformer::weights() const {
  return {flat_.data_ptr<float>(), static_cast<size_t>(layout_.size())};
}

const ParameterSlot& Transformer::head_slot() const {
  return config_.tie_word_embeddings ? embedding_slot() : layout_.slot("lm_head.weight");
}

torch::Tensor Transformer::view(const torch::Tensor& flat, const std::string& first, int64_t rows,
                                int64_t columns) const {
  return flat.narrow(0, layout_.slot(first).offset, rows * columns).view({rows, columns});
}

std::vector<TransformerLayer> Transformer::layers_over(const torch::Tensor& flat) const {
  const int64_t hidden = config_.hidden_size, mlp = config_.intermediate_size;
  const int64_t q_width = config_.num_attention_heads * config_.resolved_head_dim();
  const int64_t kv_width = config_.num_key_value_heads * config_.resolved_head_dim();
  std::vector<TransformerLayer> layers;
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    const auto weight = [&](const char* part, int64_t rows, int64_t columns) {
      return view(flat, fmt::format("model.layers.{}.{}.weight", i, part), rows, columns);
    };
    layers.push_back({.index = i,
                      .attention_norm = weight("input_layernorm", 1, hidden).flatten(),
                      .qkv = weight("self_attn.q_proj", q_width + 2 * kv_width, hidden),
                      .attention_out = weight("self_attn.o_proj", hidden, q_width),
                      .mlp_norm = weight("post_attention_layernorm", 1, hidden).flatten(),
                      .gate_up = weight("mlp.gate_proj", 2 * mlp, hidden),
                      .down = weight("mlp.down_proj", hidden, mlp)});
  }
  return layers;
}

void Transformer::require_gradients(const torch::Tensor& flat) {
  const auto mark = [](torch::Tensor& weight, const torch::Tensor& gradient) {
    weight.requires_grad_(true);
    weight.mutable_grad() = gradient;
  };
  std::vector<TransformerLayer> gradients = layers_over(flat);
  for (size_t i = 0; i < layers_.size(); ++i) {
    for (const auto part : {&TransformerLayer::attention_norm, &TransformerLayer::qkv,
                            &TransformerLayer::attention_out, &TransformerLayer::mlp_norm,
                            &TransformerLayer::gate_up, &TransformerLayer::down}) {
      mark(layers_[i].*part, gradients[i].*part);
    }
  }
  mark(final_norm_, view(flat, "model.norm.weight", 1, config_.hidden_size).flatten());
}

torch::Tensor Transformer::embed(std::span<const int32_t> ids) const {
  const int64_t width = config_.hidden_size;
  torch::Tensor x = torch::empty({std::ssize(ids), width});
  const float* table = embedding_.data_ptr<float>();
  float* row = x.data_ptr<float>();
  for (const int32_t id : ids) {
    if (id < 0 || id >= config_.vocab_size) {
      throw Error(
          fmt::format("model: token id {} is outside its vocabulary of {}; the text was "
                      "probably tokenized for another model",
                      id, config_.vocab_size));
    }
    std::memcpy(row, table + id * width, static_cast<size_t>(width) * sizeof(float));
    row += width;
  }
  return x;
}

const torch::Tensor& Transformer::rope_table(int64_t time) const {
  if (!rope_.defined() || rope_.size(0) < time) {
    rope_ = torch::empty({time, config_.resolved_head_dim()});
    fill_rope_table(time, config_.resolved_head_dim(), config_.rope_theta, rope_.data_ptr<float>());
  }
  return rope_;
}

TapVisits::TapVisits(const ModelConfig& config, std::span<const Tap> taps, bool stop_after_last)
    : taps_(taps), remaining_(taps.size()), stop_after_last_(stop_after_last) {
  for (const Tap& tap : taps) tap_width(config, tap.name);  // throws if there is no such tap
}

void TapVisits::visit(int64_t layer, const char* hook, torch::Tensor& values) {
  if (taps_.empty()) return;
  const std::string name = fmt::format("blocks.{}.{}", layer, hook);
  for (const Tap& tap : taps_) {
    if (tap.name != name) continue;
    tap.visit({values.data_ptr<float>(), values.size(0), values.size(1)});
    --remaining_;
  }
}

}  // namespace featflow
