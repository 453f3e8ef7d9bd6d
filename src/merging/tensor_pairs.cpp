#include "merging/tensor_pairs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/error.hpp"
#include "core/parallel.hpp"
#include "storage/safetensors_header.hpp"

namespace featflow {
namespace {

constexpr double kSmallestNorm = 1e-8;  // below it a vector has no direction to speak of
constexpr size_t kChunkElements = 1 << 16;

// The first field of config.json that changes what the weights mean, as "field is x and y".
std::optional<std::string> config_difference(const ModelConfig& a, const ModelConfig& b) {
  std::optional<std::string> difference;
  const auto compare = [&](std::string_view field, const auto& x, const auto& y) {
    if (!difference && x != y) difference = fmt::format("{} is {} and {}", field, x, y);
  };
  compare("vocab_size", a.vocab_size, b.vocab_size);
  compare("hidden_size", a.hidden_size, b.hidden_size);
  compare("intermediate_size", a.intermediate_size, b.intermediate_size);
  compare("num_hidden_layers", a.num_hidden_layers, b.num_hidden_layers);
  compare("num_attention_heads", a.num_attention_heads, b.num_attention_heads);
  compare("num_key_value_heads", a.num_key_value_heads, b.num_key_value_heads);
  compare("head_dim", a.resolved_head_dim(), b.resolved_head_dim());
  compare("tie_word_embeddings", a.tie_word_embeddings, b.tie_word_embeddings);
  compare("model_type", a.model_type, b.model_type);
  compare("rope_theta", a.rope_theta, b.rope_theta);
  compare("rms_norm_eps", a.rms_norm_eps, b.rms_norm_eps);
  compare("sliding_window", a.sliding_window, b.sliding_window);
  return difference;
}

void require_mergeable(const Checkpoint& a, const Checkpoint& b, const ParentNames& names) {
  const std::string where =
      fmt::format("merging {} with {}", in_quotes(names.a), in_quotes(names.b));
  const std::optional<std::string> difference = config_difference(a.config, b.config);
  std::string cause = "; are the weights those of the config?";
  if (difference) {
    cause = fmt::format(
        "; {}: only models of one architecture and vocabulary, such as "
        "fine-tunes of one base, can be merged",
        *difference);
  }
  const auto require_in = [&](const TensorMap& other, const std::string& other_name,
                              const std::string& name, const Tensor& tensor) {
    if (other.contains(name)) return;
    throw Error(fmt::format("{}: {} has no tensor {}, {} in the other model{}", where,
                            in_quotes(other_name), in_quotes(name), shape_text(tensor.shape),
                            cause));
  };

  for (const auto& [name, tensor] : a.tensors) {
    require_in(b.tensors, names.b, name, tensor);
    const Tensor& other = b.tensors.at(name);
    if (tensor.shape == other.shape) continue;
    throw Error(fmt::format("{}: tensor {} is {} in {} and {} in {}{}", where, in_quotes(name),
                            shape_text(tensor.shape), in_quotes(names.a), shape_text(other.shape),
                            in_quotes(names.b), cause));
  }
  for (const auto& [name, tensor] : b.tensors) require_in(a.tensors, names.a, name, tensor);
  if (difference) throw Error(where + cause);  // equal shapes, another meaning
}

}  // namespace

template <size_t N>
std::vector<std::array<double, N>> TensorPairs::sums(
    const std::function<std::array<double, N>(const Chunk& chunk)>& measure) const {
  std::vector<std::array<double, N>> partial(chunks_.size());
  for_each_chunk([&](const Chunk& chunk) {
    partial[static_cast<size_t>(&chunk - chunks_.data())] = measure(chunk);
  });
  std::vector<std::array<double, N>> totals(pairs_.size(), std::array<double, N>{});
  for (size_t c = 0; c < chunks_.size(); ++c) {
    for (size_t k = 0; k < N; ++k) totals[chunks_[c].tensor][k] += partial[c][k];
  }
  return totals;
}

TensorPairs::TensorPairs(const Checkpoint& a, const Checkpoint& b, const ParentNames& names)
    : a_(&a), b_(&b) {
  require_mergeable(a, b, names);
  for (const auto& [name, tensor] : a.tensors) {
    const Tensor& other = b.tensors.at(name);
    const size_t count = tensor.data.size();
    FEATFLOW_CHECK(other.data.size() == count, name + ": data does not fill the shape");
    for (size_t begin = 0; begin < count; begin += kChunkElements) {
      chunks_.push_back({pairs_.size(), begin, std::min(begin + kChunkElements, count)});
    }
    pairs_.push_back({name, &tensor, &other});
  }

  const auto squares_and_product = sums<3>([&](const Chunk& chunk) {
    const float* x = pairs_[chunk.tensor].a->data.data();
    const float* y = pairs_[chunk.tensor].b->data.data();
    double aa = 0, bb = 0, ab = 0;
    for (size_t i = chunk.begin; i < chunk.end; ++i) {
      aa += double{x[i]} * double{x[i]};
      bb += double{y[i]} * double{y[i]};
      ab += double{x[i]} * double{y[i]};
    }
    return std::array{aa, bb, ab};
  });
  for (size_t i = 0; i < pairs_.size(); ++i) {
    Pair& pair = pairs_[i];
    const auto [aa, bb, ab] = squares_and_product[i];
    pair.norm_a = std::sqrt(aa);
    pair.norm_b = std::sqrt(bb);
    if (!std::isfinite(pair.norm_a) || !std::isfinite(pair.norm_b)) {
      throw Error(
          fmt::format("merging {} with {}: tensor {} of {} holds NaN or infinity; has its "
                      "training diverged?",
                      in_quotes(names.a), in_quotes(names.b), in_quotes(pair.name),
                      in_quotes(std::isfinite(pair.norm_a) ? names.b : names.a)));
    }
    const auto length = [](double norm) { return norm > kSmallestNorm ? norm : 1; };
    pair.cosine = ab / (length(pair.norm_a) * length(pair.norm_b));
  }
}

void TensorPairs::for_each_chunk(const std::function<void(const Chunk& chunk)>& work) const {
  parallel_for(std::ssize(chunks_), 1, [&](int64_t first, int64_t last, int) {
    for (int64_t c = first; c < last; ++c) work(chunks_[static_cast<size_t>(c)]);
  });
}

void TensorPairs::prepare(Checkpoint& out) const {
  FEATFLOW_CHECK(&out != a_ && &out != b_, "a merge does not overwrite its parents");
  out.config = a_->config;
  std::erase_if(out.tensors, [&](const auto& entry) { return !a_->tensors.contains(entry.first); });
  for (const Pair& pair : pairs_) {
    Tensor& tensor = out.tensors[pair.name];
    tensor.shape = pair.a->shape;
    tensor.data.resize(pair.a->data.size());
  }
}

std::vector<TensorReport> TensorPairs::reports(const Checkpoint& merged) const {
  std::vector<const Tensor*> tensors;
  for (const Pair& pair : pairs_) {
    tensors.push_back(&merged.tensors.at(pair.name));
    FEATFLOW_CHECK(tensors.back()->data.size() == pair.a->data.size(),
                   pair.name + " is not of this merge");
  }
  const auto squares = sums<1>([&](const Chunk& chunk) {
    const float* data = tensors[chunk.tensor]->data.data();
    double sum = 0;
    for (size_t i = chunk.begin; i < chunk.end; ++i) sum += double{data[i]} * double{data[i]};
    return std::array{sum};
  });
  std::vector<TensorReport> reports;
  for (size_t i = 0; i < pairs_.size(); ++i) {
    const Pair& pair = pairs_[i];
    TensorReport report;
    report.name = pair.name;
    report.cosine = pair.cosine;
    report.norm_a = pair.norm_a;
    report.norm_b = pair.norm_b;
    report.norm_merged = std::sqrt(squares[i][0]);
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace featflow
