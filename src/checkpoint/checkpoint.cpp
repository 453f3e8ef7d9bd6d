#include "checkpoint/checkpoint.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <set>
#include <span>
#include <system_error>
#include <utility>

#include "checkpoint/shard_index.hpp"
#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "storage/files.hpp"
#include "storage/safetensors.hpp"

namespace featflow {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kEmbedding = "model.embed_tokens.weight";
constexpr std::string_view kHead = "lm_head.weight";
constexpr std::array kTokenizerFiles = {"tokenizer.model", "tokenizer.json",
                                        "tokenizer_config.json", "special_tokens_map.json",
                                        "added_tokens.json"};

/// Buffers that old versions of transformers saved; they follow from the config.
bool is_legacy(std::string_view name) { return name.ends_with("rotary_emb.inv_freq"); }

/// The open files of a checkpoint and which of them has which tensor.
struct TensorFiles {
  std::vector<std::unique_ptr<SafetensorsFile>> files;
  std::map<std::string, const SafetensorsFile*> file_of;

  std::vector<float> read(const std::string& name, const std::vector<int64_t>& shape) const {
    return file_of.at(name)->read_float(name, shape);
  }
};

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

TensorFiles open_single(const fs::path& path) {
  TensorFiles tensors;
  const auto& file = tensors.files.emplace_back(std::make_unique<SafetensorsFile>(path));
  for (const TensorInfo& tensor : file->tensors()) tensors.file_of[tensor.name] = file.get();
  return tensors;
}

/// Index and shards must agree both ways: each listed tensor in its shard, none unlisted.
TensorFiles open_shards(const fs::path& folder, const fs::path& index_path) {
  TensorFiles tensors;
  for (const auto& [shard, names] : read_shard_index(index_path)) {
    const auto& file = tensors.files.emplace_back(
        std::make_unique<SafetensorsFile>(shard_path(folder, shard, index_path.string())));
    for (const TensorInfo& tensor : file->tensors()) {
      if (!names.contains(tensor.name) && !is_legacy(tensor.name)) {
        throw Error(fmt::format("{}: has tensor {}, which {} does not list there",
                                file->path().string(), in_quotes(tensor.name),
                                index_path.string()));
      }
      tensors.file_of[tensor.name] = file.get();
    }
    for (const std::string& name : names) {
      if (!file->contains(name)) {
        throw Error(fmt::format("{}: has no tensor {}, which {} lists there", file->path().string(),
                                in_quotes(name), index_path.string()));
      }
    }
  }
  return tensors;
}

TensorFiles open_tensors(const fs::path& folder) {
  const fs::path single = folder / "model.safetensors";
  const fs::path index = folder / "model.safetensors.index.json";
  if (is_there(single)) return open_single(single);
  if (is_there(index)) return open_shards(folder, index);
  throw Error(fmt::format(
      "{}: has neither model.safetensors nor model.safetensors.index.json; other formats (.bin, "
      ".gguf) are not read",
      folder.string()));
}

/// A tied model's file may repeat the embeddings as lm_head: taken if it is the same.
void drop_tied_head(TensorFiles& tensors, const std::vector<int64_t>& shape,
                    const fs::path& folder) {
  const auto head = tensors.file_of.find(std::string(kHead));
  if (head == tensors.file_of.end() || !tensors.file_of.contains(std::string(kEmbedding))) return;
  const auto head_values = tensors.read(std::string(kHead), shape);
  const auto embedding = tensors.read(std::string(kEmbedding), shape);
  // Bytes, so that NaN equals itself.
  if (!std::ranges::equal(std::as_bytes(std::span(head_values)),
                          std::as_bytes(std::span(embedding)))) {
    throw Error(
        fmt::format("{}: config.json ties the embeddings, but {} differs from {}; is "
                    "tie_word_embeddings wrong?",
                    folder.string(), kHead, kEmbedding));
  }
  tensors.file_of.erase(head);
}

}  // namespace

std::map<std::string, std::vector<int64_t>> expected_tensors(const ModelConfig& config) {
  const int64_t hidden = config.hidden_size, inner = config.intermediate_size;
  const int64_t query = config.num_attention_heads * config.resolved_head_dim();
  const int64_t key = config.num_key_value_heads * config.resolved_head_dim();
  std::map<std::string, std::vector<int64_t>> shapes;
  shapes[std::string(kEmbedding)] = {config.vocab_size, hidden};
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const std::string prefix = fmt::format("model.layers.{}.", layer);
    shapes[prefix + "input_layernorm.weight"] = {hidden};
    shapes[prefix + "self_attn.q_proj.weight"] = {query, hidden};
    shapes[prefix + "self_attn.k_proj.weight"] = {key, hidden};
    shapes[prefix + "self_attn.v_proj.weight"] = {key, hidden};
    shapes[prefix + "self_attn.o_proj.weight"] = {hidden, query};
    shapes[prefix + "post_attention_layernorm.weight"] = {hidden};
    shapes[prefix + "mlp.gate_proj.weight"] = {inner, hidden};
    shapes[prefix + "mlp.up_proj.weight"] = {inner, hidden};
    shapes[prefix + "mlp.down_proj.weight"] = {hidden, inner};
  }
  shapes["model.norm.weight"] = {hidden};
  if (!config.tie_word_embeddings) shapes[std::string(kHead)] = {config.vocab_size, hidden};
  return shapes;
}

Checkpoint load_checkpoint(const fs::path& folder) {
  const fs::path config_path = folder / "config.json";
  Checkpoint checkpoint;
  checkpoint.config = parse_model_config(read_file(config_path), config_path.string());
  const auto expected = expected_tensors(checkpoint.config);
  TensorFiles tensors = open_tensors(folder);
  if (checkpoint.config.tie_word_embeddings) {
    drop_tied_head(tensors, expected.at(std::string(kEmbedding)), folder);
  }
  for (const auto& [name, file] : tensors.file_of) {
    if (!expected.contains(name) && !is_legacy(name)) {
      throw Error(fmt::format("{}: tensor {} is not part of a {} of {} layers as in config.json",
                              file->path().string(), in_quotes(name), checkpoint.config.model_type,
                              checkpoint.config.num_hidden_layers));
    }
  }
  for (const auto& [name, shape] : expected) {
    if (!tensors.file_of.contains(name)) {
      throw Error(fmt::format("{}: tensor {} is missing, config.json asks for it{}",
                              folder.string(), in_quotes(name),
                              name == kHead ? "; should tie_word_embeddings be true?" : ""));
    }
  }
  for (const auto& [name, shape] : expected) {
    throw_if_interrupted();
    checkpoint.tensors[name] = {shape, tensors.read(name, shape)};
  }
  return checkpoint;
}

void save_checkpoint(const Checkpoint& checkpoint, const fs::path& folder,
                     const fs::path& tokenizer_from) {
  checkpoint.config.validate("checkpoint for " + folder.string());
  const auto expected = expected_tensors(checkpoint.config);
  FEATFLOW_CHECK(checkpoint.tensors.size() == expected.size(), "tensors and config differ");
  std::vector<TensorView> views;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    const auto shape = expected.find(name);
    FEATFLOW_CHECK(shape != expected.end() && shape->second == tensor.shape,
                   "tensor " + name + " and config differ");
    views.push_back(tensor_view(name, tensor.shape, tensor.data));
  }
  create_folder(folder);
  write_file_atomic(folder / "config.json", to_json(checkpoint.config));
  // transformers refuses a file without this entry.
  write_safetensors(folder / "model.safetensors", views, {{"format", "pt"}});
  if (tokenizer_from.empty()) return;
  for (const char* name : kTokenizerFiles) {
    if (!is_there(tokenizer_from / name)) continue;
    const std::string content = read_file(tokenizer_from / name);
    write_file_atomic(folder / name, content);
  }
}

}  // namespace featflow
