#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"

namespace featflow {

/// Mistral as its description says, in float64 and plain loops, one sequence at a time. Written
/// without a look at the implementation's layout: named tensors, repeated key/value heads, a mask.
/// For tests only.
class ReferenceTransformer {
 public:
  using Row = std::vector<double>;
  using Rows = std::vector<Row>;  ///< [time, width]
  /// Sees, and may change, the values of each tap as it is passed.
  using Edit = std::function<void(const std::string& tap, Rows& values)>;

  /// Borrows the checkpoint.
  explicit ReferenceTransformer(const Checkpoint& checkpoint)
      : config_(checkpoint.config), tensors_(checkpoint.tensors) {}

  /// [time, vocab]
  Rows logits(
      const std::vector<int32_t>& ids, const Edit& edit = [](auto&, auto&) {}) const {
    Rows x;
    for (const int32_t id : ids) x.push_back(row("model.embed_tokens.weight", id));
    for (int64_t layer = 0; layer < config_.num_hidden_layers; ++layer) {
      const std::string prefix = "model.layers." + std::to_string(layer) + ".";
      const std::string block = "blocks." + std::to_string(layer) + ".";
      add(x, attention(normalized(x, prefix + "input_layernorm.weight"), prefix + "self_attn."));
      const Rows h = normalized(x, prefix + "post_attention_layernorm.weight");
      Rows post = product(h, prefix + "mlp.gate_proj.weight");
      const Rows up = product(h, prefix + "mlp.up_proj.weight");
      for (size_t t = 0; t < post.size(); ++t) {
        for (size_t i = 0; i < post[t].size(); ++i) {
          post[t][i] = post[t][i] / (1 + std::exp(-post[t][i])) * up[t][i];
        }
      }
      edit(block + "mlp.hook_post", post);
      Rows out = product(post, prefix + "mlp.down_proj.weight");
      edit(block + "hook_mlp_out", out);
      add(x, out);
      edit(block + "hook_resid_post", x);
    }
    const bool tied = config_.tie_word_embeddings;
    return product(normalized(x, "model.norm.weight"),
                   tied ? "model.embed_tokens.weight" : "lm_head.weight");
  }

 private:
  Row row(const std::string& name, int64_t index) const {
    const Tensor& tensor = tensors_.at(name);
    const auto begin = tensor.data.begin() + index * tensor.shape[1];
    return {begin, begin + tensor.shape[1]};
  }

  static void add(Rows& x, const Rows& y) {
    for (size_t t = 0; t < x.size(); ++t) {
      for (size_t i = 0; i < x[t].size(); ++i) x[t][i] += y[t][i];
    }
  }

  Rows product(const Rows& x, const std::string& name) const {
    Rows y(x.size());
    for (int64_t o = 0; o < tensors_.at(name).shape[0]; ++o) {
      const Row w = row(name, o);
      for (size_t t = 0; t < x.size(); ++t) {
        y[t].push_back(std::inner_product(w.begin(), w.end(), x[t].begin(), 0.0));
      }
    }
    return y;
  }

  Rows normalized(Rows x, const std::string& name) const {
    for (Row& values : x) {
      double square = 0;
      for (const double value : values) square += value * value;
      const double rms =
          std::sqrt(square / static_cast<double>(values.size()) + config_.rms_norm_eps);
      for (size_t i = 0; i < values.size(); ++i) values[i] *= tensors_.at(name).data[i] / rms;
    }
    return x;
  }

  // Head `head` of a projection, rotated by position if asked.
  Rows head_of(const Rows& x, int64_t head, bool rotate) const {
    const auto dim = static_cast<size_t>(config_.resolved_head_dim());
    Rows result;
    for (size_t t = 0; t < x.size(); ++t) {
      const auto begin = x[t].begin() + head * static_cast<int64_t>(dim);
      Row h(begin, begin + static_cast<int64_t>(dim));
      Row rotated = h;
      for (size_t i = 0; i < dim; ++i) {
        const double exponent = 2.0 * static_cast<double>(i % (dim / 2)) / static_cast<double>(dim);
        const double angle = static_cast<double>(t) / std::pow(config_.rope_theta, exponent);
        const double partner = i < dim / 2 ? -h[i + dim / 2] : h[i - dim / 2];
        rotated[i] = h[i] * std::cos(angle) + partner * std::sin(angle);
      }
      result.push_back(rotate ? rotated : h);
    }
    return result;
  }

  Rows attention(const Rows& x, const std::string& prefix) const {
    const Rows q = product(x, prefix + "q_proj.weight"), k = product(x, prefix + "k_proj.weight");
    const Rows v = product(x, prefix + "v_proj.weight");
    const int64_t group = config_.num_attention_heads / config_.num_key_value_heads;
    const int64_t dim = config_.resolved_head_dim();
    const auto time = static_cast<int64_t>(x.size());
    Rows joined(x.size());
    for (int64_t head = 0; head < config_.num_attention_heads; ++head) {
      const Rows qh = head_of(q, head, true), kh = head_of(k, head / group, true);
      const Rows vh = head_of(v, head / group, false);
      for (int64_t i = 0; i < time; ++i) {
        Row weights(x.size(), 0.0);
        double sum = 0;
        for (int64_t j = 0; j < time; ++j) {
          const bool seen =
              j <= i && (config_.sliding_window == 0 || i - j < config_.sliding_window);
          if (!seen) continue;
          const auto& a = qh[static_cast<size_t>(i)];
          const auto& b = kh[static_cast<size_t>(j)];
          const double score = std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
          weights[static_cast<size_t>(j)] = std::exp(score / std::sqrt(static_cast<double>(dim)));
          sum += weights[static_cast<size_t>(j)];
        }
        for (size_t c = 0; c < static_cast<size_t>(dim); ++c) {
          double value = 0;
          for (size_t j = 0; j < x.size(); ++j) value += weights[j] / sum * vh[j][c];
          joined[static_cast<size_t>(i)].push_back(value);
        }
      }
    }
    return product(joined, prefix + "o_proj.weight");
  }

  const ModelConfig& config_;
  const TensorMap& tensors_;
};

}  // namespace featflow
