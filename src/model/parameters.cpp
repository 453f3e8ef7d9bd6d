#include "model/parameters.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/error.hpp"

namespace featflow {
namespace {

std::vector<std::string> names_in_order(const ModelConfig& config) {
  std::vector<std::string> names = {"model.embed_tokens.weight"};
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    for (const char* part : {"input_layernorm", "self_attn.q_proj", "self_attn.k_proj",
                             "self_attn.v_proj", "self_attn.o_proj", "post_attention_layernorm",
                             "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}) {
      names.push_back(fmt::format("model.layers.{}.{}.weight", layer, part));
    }
  }
  names.push_back("model.norm.weight");
  if (!config.tie_word_embeddings) names.push_back("lm_head.weight");
  return names;
}

}  // namespace

ParameterLayout::ParameterLayout(const ModelConfig& config) {
  const auto shapes = expected_tensors(config);
  for (const std::string& name : names_in_order(config)) {
    ParameterSlot slot{name, shapes.at(name), size_, 1};
    for (const int64_t extent : slot.shape) slot.count *= extent;
    size_ += slot.count;
    slots_.push_back(std::move(slot));
  }
  FEATFLOW_CHECK(slots_.size() == shapes.size(), "every tensor has its place");
}

const ParameterSlot& ParameterLayout::slot(std::string_view name) const {
  const auto found = std::ranges::find(slots_, name, &ParameterSlot::name);
  FEATFLOW_CHECK(found != slots_.end(), fmt::format("no parameter is called {}", name));
  return *found;
}

void ParameterLayout::pack(const TensorMap& tensors, std::span<float> flat) const {
  FEATFLOW_CHECK(std::ssize(flat) == size_, "one float for each parameter");
  for (const ParameterSlot& slot : slots_) {
    const auto found = tensors.find(slot.name);
    if (found == tensors.end()) {
      throw Error(
          fmt::format("checkpoint: tensor {} is missing; its config.json asks for it", slot.name));
    }
    const Tensor& tensor = found->second;
    if (tensor.shape != slot.shape || std::ssize(tensor.data) != slot.count) {
      throw Error(
          fmt::format("checkpoint: tensor {} has shape {} and {} values, but its "
                      "config.json asks for {}",
                      slot.name, tensor.shape, tensor.data.size(), slot.shape));
    }
    std::ranges::copy(tensor.data, flat.begin() + slot.offset);
  }
}

TensorMap ParameterLayout::unpack(std::span<const float> flat) const {
  FEATFLOW_CHECK(std::ssize(flat) == size_, "one float for each parameter");
  TensorMap tensors;
  for (const ParameterSlot& slot : slots_) {
    const auto values =
        flat.subspan(static_cast<size_t>(slot.offset), static_cast<size_t>(slot.count));
    tensors[slot.name] = {slot.shape, {values.begin(), values.end()}};
  }
  return tensors;
}

}  // namespace featflow
