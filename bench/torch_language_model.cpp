#include <torch/torch.h>

#include <cmath>
#include <map>
#include <string>

#include "torch_steps.hpp"

namespace featflow::bench {

struct TorchLanguageModel::Impl {
  ModelConfig config;
  std::map<std::string, torch::Tensor> weights;
  std::unique_ptr<torch::optim::AdamW> optimizer;

  explicit Impl(const Checkpoint& start) : config(start.config) {
    for (const auto& [name, tensor] : start.tensors) {
      weights[name] = torch::from_blob(const_cast<float*>(tensor.data.data()), tensor.shape)
                          .clone()
                          .requires_grad_(true);
    }
    optimizer = std::make_unique<torch::optim::AdamW>(parameters(), torch::optim::AdamWOptions());
  }

  std::vector<torch::Tensor> parameters() const {
    std::vector<torch::Tensor> list;
    for (const auto& [name, weight] : weights) list.push_back(weight);
    return list;
  }

  torch::Tensor norm(const torch::Tensor& x, const torch::Tensor& weight) const {
    return x * torch::rsqrt(x.square().mean(-1, true) + config.rms_norm_eps) * weight;
  }

  // ids [batch, time] → logits [batch, time, vocab], as Hugging Face's eager Mistral does.
  torch::Tensor logits(const torch::Tensor& ids) {
    const int64_t batch = ids.size(0), time = ids.size(1), dim = config.resolved_head_dim();
    const int64_t heads = config.num_attention_heads, kv_heads = config.num_key_value_heads;
    const torch::Tensor frequency =
        torch::pow(config.rope_theta, -torch::arange(0, dim, 2).to(torch::kFloat32) / dim);
    const torch::Tensor angle =
        torch::arange(time).to(torch::kFloat32).unsqueeze(1) * torch::cat({frequency, frequency});
    const torch::Tensor cosine = angle.cos(), sine = angle.sin();
    const auto rotate = [&](const torch::Tensor& x) {  // [batch, heads, time, dim]
      const auto halves = x.chunk(2, -1);
      return x * cosine + torch::cat({-halves[1], halves[0]}, -1) * sine;
    };
    const torch::Tensor future =
        torch::full({time, time}, -INFINITY).triu(1);  // added to the scores

    torch::Tensor x = torch::embedding(weights["model.embed_tokens.weight"], ids);
    for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
      const auto weight = [&](const std::string& part) {
        return weights["model.layers." + std::to_string(layer) + "." + part + ".weight"];
      };
      const auto project = [&](const torch::Tensor& y, const std::string& part, int64_t count) {
        return torch::linear(y, weight(part)).view({batch, time, count, dim}).transpose(1, 2);
      };
      torch::Tensor h = norm(x, weight("input_layernorm"));
      const torch::Tensor q = rotate(project(h, "self_attn.q_proj", heads));
      const torch::Tensor k =
          rotate(project(h, "self_attn.k_proj", kv_heads)).repeat_interleave(heads / kv_heads, 1);
      const torch::Tensor v =
          project(h, "self_attn.v_proj", kv_heads).repeat_interleave(heads / kv_heads, 1);
      const torch::Tensor scores =
          torch::matmul(q, k.transpose(2, 3)) / std::sqrt(static_cast<double>(dim)) + future;
      const torch::Tensor attended = torch::matmul(torch::softmax(scores, -1), v)
                                         .transpose(1, 2)
                                         .reshape({batch, time, heads * dim});
      x = x + torch::linear(attended, weight("self_attn.o_proj"));
      h = norm(x, weight("post_attention_layernorm"));
      const torch::Tensor gated = torch::silu(torch::linear(h, weight("mlp.gate_proj"))) *
                                  torch::linear(h, weight("mlp.up_proj"));
      x = x + torch::linear(gated, weight("mlp.down_proj"));
    }
    return torch::linear(norm(x, weights["model.norm.weight"]), weights["lm_head.weight"]);
  }
};

TorchLanguageModel::TorchLanguageModel(const Checkpoint& start) : impl_(new Impl(start)) {}
TorchLanguageModel::~TorchLanguageModel() = default;

double TorchLanguageModel::step(std::span<const int32_t> ids, int64_t batch, int64_t time,
                                double learning_rate) {
  Impl& s = *impl_;
  const torch::Tensor text =
      torch::from_blob(const_cast<int32_t*>(ids.data()), {batch, time}, torch::kInt32)
          .to(torch::kInt64);
  for (auto& group : s.optimizer->param_groups()) {
    auto& options = static_cast<torch::optim::AdamWOptions&>(group.options());
    options.lr(learning_rate).weight_decay(0.1);
  }
  s.optimizer->zero_grad();
  const torch::Tensor logits =
      s.logits(text).narrow(1, 0, time - 1).reshape({batch * (time - 1), s.config.vocab_size});
  const torch::Tensor loss = torch::nn::functional::cross_entropy(
      logits, text.narrow(1, 1, time - 1).reshape({batch * (time - 1)}));
  loss.backward();
  torch::nn::utils::clip_grad_norm_(s.parameters(), 1.0);
  s.optimizer->step();
  return loss.item<double>();
}

}  // namespace featflow::bench
