#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/model_config.hpp"

namespace featflow {

struct Tensor {
  std::vector<int64_t> shape;
  std::vector<float> data;  ///< Row-major; fp16 and bf16 files are widened on reading.
};

/// Name (Hugging Face's, e.g. "model.layers.0.mlp.gate_proj.weight") → tensor.
using TensorMap = std::map<std::string, Tensor>;

/// A Hugging Face model folder as plain named tensors.
struct Checkpoint {
  ModelConfig config;
  TensorMap tensors;
};

/// The names and shapes a model of this config must have, sorted (lm_head absent when tied).
std::map<std::string, std::vector<int64_t>> expected_tensors(const ModelConfig& config);

/// config.json + model.safetensors, or model.safetensors.index.json + shards. Shard names must be
/// plain basenames inside the folder. Missing, extra or misshapen tensors throw Error (legacy
/// rotary_emb.inv_freq is ignored).
Checkpoint load_checkpoint(const std::filesystem::path& folder);

/// Writes config.json and model.safetensors (metadata {"format":"pt"}), each atomically, and
/// copies tokenizer files (tokenizer.model, …) from `tokenizer_from` if not empty.
void save_checkpoint(const Checkpoint& checkpoint, const std::filesystem::path& folder,
                     const std::filesystem::path& tokenizer_from = {});

}  // namespace featflow
