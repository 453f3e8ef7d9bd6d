#include "merging/merge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <utility>

#include "core/error.hpp"
#include "core/log.hpp"
#include "core/nearest.hpp"
#include "core/parallel.hpp"
#include "storage/files.hpp"
#include "storage/safetensors_header.hpp"

namespace featflow {
namespace {

constexpr std::array kMethods = {MergeMethod::kLinear, MergeMethod::kSlerp};
constexpr double kSmallestNorm = 1e-8;      // below it a vector has no direction to speak of
constexpr double kParallelCosine = 0.9995;  // above it sin θ is too small to divide by
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

// The factors of a and b at t. Both branches are exact at the ends: (1, 0) and (0, 1).
std::pair<double, double> weights(bool slerp, double cosine, double t) {
  if (!slerp) return {1 - t, t};
  const double angle = std::acos(cosine);
  return {std::sin((1 - t) * angle) / std::sin(angle), std::sin(t * angle) / std::sin(angle)};
}

}  // namespace

std::string_view merge_method_name(MergeMethod method) {
  switch (method) {
    case MergeMethod::kLinear:
      return "linear";
    case MergeMethod::kSlerp:
      return "slerp";
  }
  FEATFLOW_CHECK(false, "not a merge method");
}

MergeMethod parse_merge_method(std::string_view text, const std::string& where) {
  const MergeMethod nearest = *std::ranges::min_element(kMethods, {}, [&](MergeMethod method) {
    return edit_distance(text, merge_method_name(method));
  });
  if (merge_method_name(nearest) == text) return nearest;
  std::string known;
  for (const MergeMethod method : kMethods) {
    known += (known.empty() ? "" : ", ") + std::string(merge_method_name(method));
  }
  throw Error(fmt::format("{}: {} is not a merge method; did you mean \"{}\"? Methods: {}", where,
                          in_quotes(text), merge_method_name(nearest), known));
}

nlohmann::ordered_json to_json(const std::vector<TensorReport>& reports) {
  nlohmann::ordered_json tensors = nlohmann::ordered_json::array();
  for (const TensorReport& tensor : reports) {
    tensors.push_back({{"name", tensor.name},
                       {"cosine", tensor.cosine},
                       {"branch", tensor.branch},
                       {"norm_a", tensor.norm_a},
                       {"norm_b", tensor.norm_b},
                       {"norm_merged", tensor.norm_merged}});
  }
  return tensors;
}

std::string merge_direction(const ParentNames& names) {
  return fmt::format("t = 0 is {}, t = 1 is {}", names.a, names.b);
}

Merger::Merger(const Checkpoint& a, const Checkpoint& b, MergeMethod method, ParentNames names)
    : a_(&a), b_(&b) {
  require_mergeable(a, b, names);
  for (const auto& [name, tensor] : a.tensors) {
    const Tensor& other = b.tensors.at(name);
    const size_t count = tensor.data.size();
    FEATFLOW_CHECK(other.data.size() == count, name + ": data does not fill the shape");
    for (size_t begin = 0; begin < count; begin += kChunkElements) {
      chunks_.push_back({pairs_.size(), begin, std::min(begin + kChunkElements, count)});
    }
    pairs_.push_back({name, &tensor, &other, 0, 0, 0, false});
  }

  struct Sums {
    double aa = 0, bb = 0, ab = 0;
  };
  std::vector<Sums> partial(chunks_.size());
  parallel_for(std::ssize(chunks_), 1, [&](int64_t first, int64_t last, int) {
    for (int64_t c = first; c < last; ++c) {
      const Chunk& chunk = chunks_[c];
      const float* x = pairs_[chunk.tensor].a->data.data();
      const float* y = pairs_[chunk.tensor].b->data.data();
      Sums sums;
      for (size_t i = chunk.begin; i < chunk.end; ++i) {
        const double xi = x[i], yi = y[i];
        sums.aa += xi * xi;
        sums.bb += yi * yi;
        sums.ab += xi * yi;
      }
      partial[c] = sums;
    }
  });

  // Partial sums are added in the order of the chunks, whichever thread computed them.
  std::vector<Sums> totals(pairs_.size());
  for (size_t c = 0; c < chunks_.size(); ++c) {
    Sums& total = totals[chunks_[c].tensor];
    total.aa += partial[c].aa;
    total.bb += partial[c].bb;
    total.ab += partial[c].ab;
  }
  for (size_t i = 0; i < pairs_.size(); ++i) {
    TensorPair& pair = pairs_[i];
    pair.norm_a = std::sqrt(totals[i].aa);
    pair.norm_b = std::sqrt(totals[i].bb);
    if (!std::isfinite(pair.norm_a) || !std::isfinite(pair.norm_b)) {
      throw Error(
          fmt::format("merging {} with {}: tensor {} of {} holds NaN or infinity; has its "
                      "training diverged?",
                      in_quotes(names.a), in_quotes(names.b), in_quotes(pair.name),
                      in_quotes(std::isfinite(pair.norm_a) ? names.b : names.a)));
    }
    const auto length = [](double norm) { return norm > kSmallestNorm ? norm : 1; };
    pair.cosine = totals[i].ab / (length(pair.norm_a) * length(pair.norm_b));
    pair.slerp = method == MergeMethod::kSlerp && std::abs(pair.cosine) <= kParallelCosine;
  }
}

void Merger::at(double t, Checkpoint& out) const {
  if (!std::isfinite(t)) {
    throw Error(fmt::format(
        "merging: t is {}, expected a number (0 is the first parent, 1 the second)", t));
  }
  FEATFLOW_CHECK(&out != a_ && &out != b_, "a merge does not overwrite its parents");
  out.config = a_->config;
  std::erase_if(out.tensors, [&](const auto& entry) { return !a_->tensors.contains(entry.first); });

  struct Target {
    double weight_a, weight_b;
    float* data;
  };
  std::vector<Target> targets;
  for (const TensorPair& pair : pairs_) {
    Tensor& tensor = out.tensors[pair.name];
    tensor.shape = pair.a->shape;
    tensor.data.resize(pair.a->data.size());
    const auto [weight_a, weight_b] = weights(pair.slerp, pair.cosine, t);
    targets.push_back({weight_a, weight_b, tensor.data.data()});
  }

  parallel_for(std::ssize(chunks_), 1, [&](int64_t first, int64_t last, int) {
    for (int64_t c = first; c < last; ++c) {
      const auto [tensor, begin, end] = chunks_[c];
      const float* x = pairs_[tensor].a->data.data();
      const float* y = pairs_[tensor].b->data.data();
      const auto [weight_a, weight_b, merged] = targets[tensor];
      // The ends are copied: 1 · −0 + 0 · y would lose the sign of zero.
      if (t == 0 || t == 1) {
        const float* parent = t == 0 ? x : y;
        std::copy(parent + begin, parent + end, merged + begin);
        continue;
      }
      for (size_t i = begin; i < end; ++i) {
        merged[i] = static_cast<float>(weight_a * x[i] + weight_b * y[i]);
      }
    }
  });
}

std::vector<TensorReport> Merger::reports(const Checkpoint& merged) const {
  std::vector<double> partial(chunks_.size());
  parallel_for(std::ssize(chunks_), 1, [&](int64_t first, int64_t last, int) {
    for (int64_t c = first; c < last; ++c) {
      const auto [tensor, begin, end] = chunks_[c];
      const std::vector<float>& data = merged.tensors.at(pairs_[tensor].name).data;
      FEATFLOW_CHECK(end <= data.size(), pairs_[tensor].name + " is not of this merge");
      double sum = 0;
      for (size_t i = begin; i < end; ++i) sum += double{data[i]} * double{data[i]};
      partial[c] = sum;
    }
  });
  std::vector<double> squares(pairs_.size(), 0.0);
  for (size_t c = 0; c < chunks_.size(); ++c) squares[chunks_[c].tensor] += partial[c];

  std::vector<TensorReport> reports;
  for (size_t i = 0; i < pairs_.size(); ++i) {
    const TensorPair& pair = pairs_[i];
    reports.push_back({pair.name, pair.cosine, pair.slerp ? "slerp" : "lerp", pair.norm_a,
                       pair.norm_b, std::sqrt(squares[i])});
  }
  return reports;
}

MergeResult merge(const Checkpoint& a, const Checkpoint& b, MergeMethod method, double t,
                  const ParentNames& names) {
  const Merger merger(a, b, method, names);
  MergeResult result;
  merger.at(t, result.checkpoint);
  result.reports = merger.reports(result.checkpoint);
  return result;
}

void require_same_tokenizer(const std::filesystem::path& folder_a,
                            const std::filesystem::path& folder_b) {
  const std::filesystem::path file_a = folder_a / "tokenizer.model";
  const std::filesystem::path file_b = folder_b / "tokenizer.model";
  const bool in_a = std::filesystem::exists(file_a), in_b = std::filesystem::exists(file_b);
  if (!in_a && !in_b) {
    log_warning(
        fmt::format("neither {} nor {} has a tokenizer.model: whether their vocabularies "
                    "are the same cannot be told",
                    in_quotes(folder_a.string()), in_quotes(folder_b.string())));
    return;
  }
  if (in_a != in_b) {
    throw Error(
        fmt::format("{}: no such file, but {} exists; models to be merged must share one "
                    "tokenizer: copy it if they do",
                    in_quotes((in_a ? file_b : file_a).string()),
                    in_quotes((in_a ? file_a : file_b).string())));
  }
  if (read_file(file_a) != read_file(file_b)) {
    throw Error(
        fmt::format("{} and {} differ: the same token id means different text in the two "
                    "models; merge only models trained with one tokenizer",
                    in_quotes(file_a.string()), in_quotes(file_b.string())));
  }
}

}  // namespace featflow
