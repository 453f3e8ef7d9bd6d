#include "training/backpropagation.hpp"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "core/rng.hpp"

namespace featflow {
namespace {

using Weights = std::map<std::string, torch::Tensor>;

// The plain formula: LibTorch's own operations in float64, all logits at once, no fused kernels.
torch::Tensor plain_loss(const ModelConfig& config, Weights& w, const torch::Tensor& ids) {
  const int64_t batch = ids.size(0), time = ids.size(1), dim = config.resolved_head_dim();
  const int64_t heads = config.num_attention_heads, kv_heads = config.num_key_value_heads;
  const auto options = torch::dtype(torch::kFloat64);
  const auto norm = [&](const torch::Tensor& x, const torch::Tensor& weight) {
    return x * torch::rsqrt(x.pow(2).mean(-1, true) + config.rms_norm_eps) * weight;
  };
  const torch::Tensor position = torch::arange(time, options).unsqueeze(1);
  const torch::Tensor exponent = torch::arange(0, dim, 2, options) / dim;
  const torch::Tensor angle = position * torch::pow(config.rope_theta, -exponent);  // [time, dim/2]
  const torch::Tensor cosine = torch::cat({angle, angle}, 1).cos();
  const torch::Tensor sine = torch::cat({angle, angle}, 1).sin();
  const auto rotate = [&](const torch::Tensor& x) {  // [batch, heads, time, dim]
    const auto halves = x.chunk(2, -1);
    return x * cosine + torch::cat({-halves[1], halves[0]}, -1) * sine;
  };
  const torch::Tensor distance =
      torch::arange(time).unsqueeze(1) - torch::arange(time).unsqueeze(0);  // i − j
  torch::Tensor hidden_from = distance < 0;
  if (config.sliding_window > 0) hidden_from = hidden_from | (distance >= config.sliding_window);

  torch::Tensor x = torch::embedding(w["model.embed_tokens.weight"], ids);
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const auto weight = [&](const std::string& part) {
      return w["model.layers." + std::to_string(layer) + "." + part + ".weight"];
    };
    const auto split = [&](const torch::Tensor& y, int64_t count) {
      return y.view({batch, time, count, dim}).transpose(1, 2);
    };
    torch::Tensor h = norm(x, weight("input_layernorm"));
    const torch::Tensor q = rotate(split(torch::matmul(h, weight("self_attn.q_proj").t()), heads));
    torch::Tensor k = rotate(split(torch::matmul(h, weight("self_attn.k_proj").t()), kv_heads));
    torch::Tensor v = split(torch::matmul(h, weight("self_attn.v_proj").t()), kv_heads);
    k = k.repeat_interleave(heads / kv_heads, 1);
    v = v.repeat_interleave(heads / kv_heads, 1);
    const torch::Tensor scores = torch::matmul(q, k.transpose(2, 3)) / std::sqrt(dim);
    const torch::Tensor attended =
        torch::matmul(torch::softmax(scores.masked_fill(hidden_from, -INFINITY), -1), v)
            .transpose(1, 2)
            .reshape({batch, time, heads * dim});
    x = x + torch::matmul(attended, weight("self_attn.o_proj").t());
    h = norm(x, weight("post_attention_layernorm"));
    const torch::Tensor gate = torch::matmul(h, weight("mlp.gate_proj").t());
    const torch::Tensor up = torch::matmul(h, weight("mlp.up_proj").t());
    x = x + torch::matmul(torch::silu(gate) * up, weight("mlp.down_proj").t());
  }
  x = norm(x, w["model.norm.weight"]);
  const torch::Tensor& head =
      w[config.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight"];
  const torch::Tensor logits = torch::matmul(x, head.t()).narrow(1, 0, time - 1);
  return torch::nn::functional::cross_entropy(logits.reshape({-1, config.vocab_size}),
                                              ids.narrow(1, 1, time - 1).reshape({-1}));
}

struct Shape {
  std::string name;
  int64_t head_chunk;
  int64_t time;
  bool tied;
  int64_t window;
};

class Gradients : public testing::TestWithParam<Shape> {};

TEST_P(Gradients, AgreeWithAutogradOfThePlainFormula) {
  const Shape& shape = GetParam();
  ModelConfig config;
  config.vocab_size = 53;
  config.hidden_size = 20;
  config.intermediate_size = 27;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 6;
  config.initializer_range = 0.3;
  config.tie_word_embeddings = shape.tied;
  config.sliding_window = shape.window;
  Rng rng(3);
  Checkpoint checkpoint = Model::random(config, rng);
  for (auto& [name, tensor] : checkpoint.tensors) {
    if (tensor.shape.size() > 1) continue;
    for (float& value : tensor.data) value = static_cast<float>(0.5 + rng.uniform());
  }
  const int64_t batch = 3;
  std::vector<int32_t> ids(static_cast<size_t>(batch * shape.time));
  for (int32_t& id : ids) id = static_cast<int32_t>(rng.below(53));

  Weights weights;
  for (auto& [name, tensor] : checkpoint.tensors) {
    weights[name] =
        torch::from_blob(tensor.data.data(), tensor.shape).to(torch::kFloat64).requires_grad_(true);
  }
  const torch::Tensor id_tensor =
      torch::from_blob(ids.data(), {batch, shape.time}, torch::kInt32).to(torch::kInt64);
  const torch::Tensor expected = plain_loss(config, weights, id_tensor);
  expected.backward();

  Model model(checkpoint);
  Backpropagation network(model);
  // The second run must not see what is left of the first.
  network.run(std::vector<int32_t>(ids.rbegin(), ids.rend()), batch, shape.time, shape.head_chunk);
  const double loss = network.run(ids, batch, shape.time, shape.head_chunk);
  EXPECT_NEAR(loss, expected.item<double>(), 1e-6 * loss);
  const TensorMap gradients = network.layout().unpack(network.gradients());
  ASSERT_EQ(gradients.size(), weights.size());
  for (const auto& [name, tensor] : gradients) {
    const torch::Tensor reference = weights[name].grad();
    ASSERT_TRUE(reference.sizes().vec() == tensor.shape) << name;
    double error = 0, size = 0;
    for (int64_t i = 0; i < reference.numel(); ++i) {
      const double value = reference.data_ptr<double>()[i];
      error += std::pow(tensor.data[static_cast<size_t>(i)] - value, 2);
      size += value * value;
    }
    EXPECT_GT(size, 0) << name;
    EXPECT_LT(std::sqrt(error / size), 1e-5) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Gradients,
                         testing::Values(Shape{"ChunkLargerThanAll", 512, 13, false, 0},
                                         Shape{"ChunkNotDividing", 7, 13, false, 0},
                                         Shape{"Tied", 16, 13, true, 0},
                                         Shape{"Window", 16, 13, false, 4},
                                         Shape{"SeveralTiles", 100, 140, true, 0},
                                         Shape{"SeveralTilesWithWindow", 100, 140, false, 75}),
                         [](const auto& param) { return param.param.name; });

TEST(Backpropagation, InferenceOnTheSameModelSeesUpdatedWeights) {
  ModelConfig config;
  config.vocab_size = 11;
  config.hidden_size = 8;
  config.intermediate_size = 8;
  config.num_attention_heads = 2;
  config.num_key_value_heads = 1;
  Rng rng(4);
  Model model(Model::random(config, rng));
  Backpropagation network(model);
  const std::vector<int32_t> ids = {1, 5, 3, 9};
  double before = network.run(ids, 1, 4, 512);
  for (int step = 0; step < 50; ++step) {
    for (size_t i = 0; i < network.weights().size(); ++i) {
      network.weights()[i] -= 0.5f * network.gradients()[i];
    }
    network.run(ids, 1, 4, 512);
  }
  double after = 0;
  for (const float loss : model.score(ids, 1, 4).loss) after += loss / 3;
  EXPECT_LT(after, before / 2);
  EXPECT_NEAR(after, network.run(ids, 1, 4, 512), 1e-6);
}

}  // namespace
}  // namespace featflow
