#include "checkpoint/checkpoint.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/rng.hpp"
#include "storage/files.hpp"
#include "storage/half.hpp"
#include "storage/safetensors.hpp"
#include "storage/temporary_folder.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

ModelConfig small_config() {
  return {.vocab_size = 11,
          .hidden_size = 6,
          .intermediate_size = 5,
          .num_hidden_layers = 2,
          .num_attention_heads = 4,
          .num_key_value_heads = 2,
          .head_dim = 2};
}

Checkpoint random_checkpoint(const ModelConfig& config) {
  Rng rng(9);
  Checkpoint checkpoint{config, {}};
  for (const auto& [name, shape] : expected_tensors(config)) {
    Tensor& tensor = checkpoint.tensors[name];
    tensor.shape = shape;
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    for (int64_t i = 0; i < count; ++i) tensor.data.push_back(static_cast<float>(rng.normal()));
  }
  return checkpoint;
}

void expect_same_tensors(const TensorMap& actual, const TensorMap& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    ASSERT_TRUE(actual.contains(name)) << name;
    EXPECT_EQ(actual.at(name).shape, tensor.shape) << name;
    EXPECT_EQ(actual.at(name).data, tensor.data) << name;
  }
}

std::vector<TensorView> views_of(const TensorMap& tensors) {
  std::vector<TensorView> views;
  for (const auto& [name, tensor] : tensors) {
    views.push_back(tensor_view(name, tensor.shape, tensor.data));
  }
  return views;
}

class CheckpointTest : public testing::Test {
 protected:
  /// Saves the tensors as they are, right or wrong, beside the config.
  void write(const TensorMap& tensors, const ModelConfig& config = small_config()) {
    write_file_atomic(folder_ / "config.json", to_json(config));
    write_safetensors(folder_ / "model.safetensors", views_of(tensors), {{"format", "pt"}});
  }

  /// The tensors in two shards, split by the order of their names, and the index of them.
  json write_shards(const TensorMap& tensors) {
    write_file_atomic(folder_ / "config.json", to_json(small_config()));
    std::vector<TensorMap> shards(2);
    json index = {{"metadata", {{"total_size", 1}}}, {"weight_map", json::object()}};
    for (const auto& [name, tensor] : tensors) {
      const size_t shard = index["weight_map"].size() % 2;
      shards[shard][name] = tensor;
      index["weight_map"][name] = kShards[shard];
    }
    for (size_t i = 0; i < 2; ++i) write_safetensors(folder_ / kShards[i], views_of(shards[i]));
    write_index(index);
    return index;
  }
  void write_index(const json& index) {
    write_file_atomic(folder_ / "model.safetensors.index.json", index.dump());
  }

  void expect_refused(const std::string& reason) {
    try {
      load_checkpoint(folder_.path());
      ADD_FAILURE() << "accepted; expected: " << reason;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::StartsWith(folder_.path().string()));
      EXPECT_THAT(error.what(), HasSubstr(reason));
      EXPECT_THAT(error.what(), testing::Not(HasSubstr("\n")));
    }
  }

  const std::array<std::string, 2> kShards = {"model-00001-of-00002.safetensors",
                                              "model-00002-of-00002.safetensors"};
  TemporaryFolder folder_;
};

TEST(ExpectedTensors, OfThePapersModel) {
  const auto shapes = expected_tensors({});
  ASSERT_EQ(shapes.size(), 12u);
  using Shape = std::vector<int64_t>;
  const std::string layer = "model.layers.0.";
  EXPECT_EQ(shapes.at("model.embed_tokens.weight"), (Shape{32000, 512}));
  EXPECT_EQ(shapes.at("lm_head.weight"), (Shape{32000, 512}));
  EXPECT_EQ(shapes.at("model.norm.weight"), (Shape{512}));
  EXPECT_EQ(shapes.at(layer + "input_layernorm.weight"), (Shape{512}));
  EXPECT_EQ(shapes.at(layer + "post_attention_layernorm.weight"), (Shape{512}));
  EXPECT_EQ(shapes.at(layer + "self_attn.q_proj.weight"), (Shape{512, 512}));
  EXPECT_EQ(shapes.at(layer + "self_attn.k_proj.weight"), (Shape{256, 512}));
  EXPECT_EQ(shapes.at(layer + "self_attn.v_proj.weight"), (Shape{256, 512}));
  EXPECT_EQ(shapes.at(layer + "self_attn.o_proj.weight"), (Shape{512, 512}));
  EXPECT_EQ(shapes.at(layer + "mlp.gate_proj.weight"), (Shape{1024, 512}));
  EXPECT_EQ(shapes.at(layer + "mlp.up_proj.weight"), (Shape{1024, 512}));
  EXPECT_EQ(shapes.at(layer + "mlp.down_proj.weight"), (Shape{512, 1024}));
}

TEST(ExpectedTensors, AddUpToTheParameterCount) {
  Rng rng(4);
  for (int round = 0; round < 50; ++round) {
    const auto size = [&](uint64_t most) { return static_cast<int64_t>(1 + rng.below(most)); };
    ModelConfig config = {.vocab_size = size(50),
                          .hidden_size = size(20),
                          .intermediate_size = size(30),
                          .num_hidden_layers = size(4)};
    config.num_key_value_heads = size(3);
    config.num_attention_heads = config.num_key_value_heads * size(3);
    config.head_dim = 2 * size(5);
    config.bos_token_id = config.eos_token_id = 0;
    config.tie_word_embeddings = rng.below(2) == 1;
    config.validate("x");
    int64_t total = 0;
    for (const auto& [name, shape] : expected_tensors(config)) {
      int64_t count = 1;
      for (const int64_t extent : shape) count *= extent;
      total += count;
    }
    EXPECT_EQ(total, config.parameter_count());
  }
}

TEST_F(CheckpointTest, RoundTripWithTokenizer) {
  Checkpoint checkpoint = random_checkpoint(small_config());
  const TemporaryFolder tokenizer;
  write_file_atomic(tokenizer / "tokenizer.model", std::string("\0\1\2", 3));
  write_file_atomic(tokenizer / "tokenizer_config.json", "{}");
  write_file_atomic(tokenizer / "config.json", "not copied");
  const fs::path saved = folder_ / "a" / "b";
  save_checkpoint(checkpoint, saved, tokenizer.path());

  const Checkpoint loaded = load_checkpoint(saved);
  expect_same_tensors(loaded.tensors, checkpoint.tensors);
  EXPECT_EQ(to_json(loaded.config), to_json(checkpoint.config));
  EXPECT_EQ(read_file(saved / "tokenizer.model"), std::string("\0\1\2", 3));
  EXPECT_EQ(read_file(saved / "tokenizer_config.json"), "{}");
  const SafetensorsFile file(saved / "model.safetensors");
  EXPECT_EQ(file.metadata(), (Metadata{{"format", "pt"}}));

  // The same bytes again, and saving over what is there.
  const std::string bytes = read_file(saved / "model.safetensors");
  save_checkpoint(loaded, saved);
  EXPECT_EQ(read_file(saved / "model.safetensors"), bytes);
}

TEST_F(CheckpointTest, NotANumberIsAllowed) {
  Checkpoint checkpoint = random_checkpoint(small_config());
  checkpoint.tensors["model.norm.weight"].data[2] = std::numeric_limits<float>::quiet_NaN();
  checkpoint.tensors["model.norm.weight"].data[3] = std::numeric_limits<float>::infinity();
  save_checkpoint(checkpoint, folder_.path());
  const Checkpoint loaded = load_checkpoint(folder_.path());
  EXPECT_TRUE(std::isnan(loaded.tensors.at("model.norm.weight").data[2]));
  EXPECT_TRUE(std::isinf(loaded.tensors.at("model.norm.weight").data[3]));
}

TEST_F(CheckpointTest, OtherFloatTypesAreWidened) {
  const Checkpoint checkpoint = random_checkpoint(small_config());
  std::map<std::string, std::vector<uint16_t>> halves;
  std::vector<double> doubles;
  std::vector<TensorView> views;
  TensorMap expected = checkpoint.tensors;
  Rng rng(2);
  for (auto& [name, tensor] : expected) {
    if (name == "model.norm.weight") {
      doubles.assign(tensor.data.begin(), tensor.data.end());
      views.push_back(tensor_view(name, tensor.shape, doubles));
      continue;
    }
    const bool brain = name.find("proj") != std::string::npos;
    std::vector<uint16_t>& stored = halves[name];
    for (float& value : tensor.data) {
      stored.push_back(static_cast<uint16_t>(rng.below(0x7c00)));  // finite in both types
      value = brain ? float_from_bfloat16(stored.back()) : float_from_half(stored.back());
    }
    views.push_back(
        {name, brain ? DType::kBF16 : DType::kF16, tensor.shape, std::as_bytes(std::span(stored))});
  }
  write_file_atomic(folder_ / "config.json", to_json(small_config()));
  write_safetensors(folder_ / "model.safetensors", views);
  expect_same_tensors(load_checkpoint(folder_.path()).tensors, expected);
}

TEST_F(CheckpointTest, IntegersAreRefused) {
  const Checkpoint checkpoint = random_checkpoint(small_config());
  std::vector<TensorView> views = views_of(checkpoint.tensors);
  views.back().dtype = DType::kI32;
  write_file_atomic(folder_ / "config.json", to_json(small_config()));
  write_safetensors(folder_ / "model.safetensors", views);
  expect_refused("is I32, expected F32, F64, F16 or BF16");
}

TEST_F(CheckpointTest, MissingTensor) {
  TensorMap tensors = random_checkpoint(small_config()).tensors;
  tensors.erase("model.layers.1.mlp.up_proj.weight");
  write(tensors);
  expect_refused("tensor 'model.layers.1.mlp.up_proj.weight' is missing");
}

TEST_F(CheckpointTest, ExtraTensor) {
  TensorMap tensors = random_checkpoint(small_config()).tensors;
  tensors["model.layers.0.self_attn.q_proj.bias"] = {{8}, std::vector<float>(8)};
  write(tensors);
  expect_refused("tensor 'model.layers.0.self_attn.q_proj.bias' is not part of a mistral of 2");
}

TEST_F(CheckpointTest, LegacyRotaryBuffersAreIgnored) {
  const TensorMap expected = random_checkpoint(small_config()).tensors;
  TensorMap tensors = expected;
  tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = {{1}, {1.0f}};
  write(tensors);
  expect_same_tensors(load_checkpoint(folder_.path()).tensors, expected);
}

TEST_F(CheckpointTest, MisshapenTensor) {
  TensorMap tensors = random_checkpoint(small_config()).tensors;
  tensors["model.layers.0.mlp.down_proj.weight"].shape = {5, 6};  // transposed
  write(tensors);
  expect_refused("'model.layers.0.mlp.down_proj.weight' has shape [5, 6], expected [6, 5]");
}

TEST_F(CheckpointTest, AnotherVocabulary) {
  ModelConfig config = small_config();
  const TensorMap tensors = random_checkpoint(config).tensors;
  config.vocab_size = 12;
  write(tensors, config);
  expect_refused("has shape [11, 6], expected [12, 6]");
}

TEST_F(CheckpointTest, HugeConfigOverASmallFile) {
  ModelConfig config = small_config();
  const TensorMap tensors = random_checkpoint(config).tensors;
  config.vocab_size = int64_t{1} << 31;
  config.hidden_size = config.intermediate_size = int64_t{1} << 20;
  write(tensors, config);
  expect_refused("has shape");
}

TEST_F(CheckpointTest, TiedEmbeddings) {
  ModelConfig config = small_config();
  config.tie_word_embeddings = true;
  const Checkpoint checkpoint = random_checkpoint(config);
  EXPECT_FALSE(checkpoint.tensors.contains("lm_head.weight"));
  save_checkpoint(checkpoint, folder_.path());
  expect_same_tensors(load_checkpoint(folder_.path()).tensors, checkpoint.tensors);

  TensorMap tensors = checkpoint.tensors;
  tensors["lm_head.weight"] = tensors.at("model.embed_tokens.weight");
  write(tensors, config);
  expect_same_tensors(load_checkpoint(folder_.path()).tensors, checkpoint.tensors);

  tensors["lm_head.weight"].data[7] += 1;
  write(tensors, config);
  expect_refused("lm_head.weight differs from model.embed_tokens.weight");

  write(checkpoint.tensors, small_config());  // not tied, but no head
  expect_refused("should tie_word_embeddings be true?");
}

TEST_F(CheckpointTest, MissingFiles) {
  expect_refused("config.json: cannot be opened: No such file or directory");
  write_file_atomic(folder_ / "config.json", to_json(small_config()));
  expect_refused("has neither model.safetensors nor");
}

TEST_F(CheckpointTest, SavingChecksShapes) {
  Checkpoint checkpoint = random_checkpoint(small_config());
  checkpoint.tensors["model.norm.weight"].shape = {7};
  EXPECT_THROW(save_checkpoint(checkpoint, folder_.path()), InternalError);
  checkpoint.tensors.erase("model.norm.weight");
  EXPECT_THROW(save_checkpoint(checkpoint, folder_.path()), InternalError);
  EXPECT_FALSE(fs::exists(folder_ / "model.safetensors"));
}

TEST_F(CheckpointTest, Shards) {
  const TensorMap tensors = random_checkpoint(small_config()).tensors;
  write_shards(tensors);
  expect_same_tensors(load_checkpoint(folder_.path()).tensors, tensors);
}

TEST_F(CheckpointTest, ShardNamesThatLeaveTheFolderAreRefused) {
  const TensorMap tensors = random_checkpoint(small_config()).tensors;
  const json index = write_shards(tensors);
  const std::string outside = (folder_ / "x.safetensors").string();
  for (const std::string& shard :
       {std::string("../") + kShards[0], outside, "sub/" + kShards[0], "./" + kShards[0],
        "..\\" + kShards[0], std::string(".."), std::string(""), std::string("."),
        std::string("model.bin"), std::string(".safetensors"), std::string(".hidden.safetensors"),
        kShards[0] + std::string("\0.safetensors", 13), "file://" + kShards[0]}) {
    json changed = index;
    changed["weight_map"]["model.norm.weight"] = shard;
    write_index(changed);
    expect_refused("expected a plain file name ending in .safetensors");
  }
  for (const json& shard : {json(1), json(nullptr), json::array({kShards[0]})}) {
    json changed = index;
    changed["weight_map"]["model.norm.weight"] = shard;
    write_index(changed);
    expect_refused("expected a plain file name ending in .safetensors");
  }
}

TEST_F(CheckpointTest, ShardsLinkedFromOutsideAreRefused) {
  const TensorMap tensors = random_checkpoint(small_config()).tensors;
  write_shards(tensors);
  const TemporaryFolder outside;
  fs::copy_file(folder_ / kShards[1], outside / "other");
  fs::remove(folder_ / kShards[1]);
  fs::create_symlink(outside / "other", folder_ / kShards[1]);
  expect_refused("is a link that leaves the folder");

  // Within the folder links are fine.
  fs::copy_file(outside / "other", folder_ / "weights");
  fs::remove(folder_ / kShards[1]);
  fs::create_symlink("weights", folder_ / kShards[1]);
  expect_same_tensors(load_checkpoint(folder_.path()).tensors, tensors);
}

TEST_F(CheckpointTest, HuggingFaceCacheIsRead) {
  const TensorMap tensors = random_checkpoint(small_config()).tensors;
  write_shards(tensors);
  const fs::path cache = folder_ / "models--x", snapshot = cache / "snapshots" / "abc";
  create_folder(snapshot);
  create_folder(cache / "blobs");
  for (const std::string& name : {kShards[0], kShards[1], std::string("config.json"),
                                  std::string("model.safetensors.index.json")}) {
    fs::rename(folder_ / name, cache / "blobs" / ("hash-of-" + name));
    fs::create_symlink("../../blobs/hash-of-" + name, snapshot / name);
  }
  expect_same_tensors(load_checkpoint(snapshot).tensors, tensors);
}

TEST_F(CheckpointTest, IndexAndShardsMustAgree) {
  const TensorMap tensors = random_checkpoint(small_config()).tensors;
  const json index = write_shards(tensors);
  const std::string norm = "model.norm.weight";
  const std::string its_shard = index["weight_map"][norm];
  const std::string other = its_shard == kShards[0] ? kShards[1] : kShards[0];

  json changed = index;
  changed["weight_map"][norm] = other;
  write_index(changed);
  expect_refused("'model.norm.weight', which");

  changed = index;
  changed["weight_map"].erase(norm);
  write_index(changed);
  expect_refused("has tensor 'model.norm.weight', which");

  changed = index;
  changed["weight_map"]["model.extra"] = other;
  write_index(changed);
  expect_refused("has no tensor 'model.extra', which");

  write_index(index);
  fs::remove(folder_ / kShards[1]);
  expect_refused("names shard 'model-00002-of-00002.safetensors', which cannot be opened");
}

TEST_F(CheckpointTest, TensorInTwoShards) {
  const TensorMap tensors = random_checkpoint(small_config()).tensors;
  write_shards(tensors);
  write_safetensors(folder_ / kShards[0], views_of(tensors));
  expect_refused("does not list there");
}

TEST_F(CheckpointTest, DamagedIndex) {
  write_shards(random_checkpoint(small_config()).tensors);
  const fs::path path = folder_ / "model.safetensors.index.json";
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("{\"weight_map\":[]}"),
        std::string("{}"), "{\"weight_map\":" + std::string(100'000, '[')}) {
    write_file_atomic(path, text);
    expect_refused("index of shards");
  }
  write_file_atomic(path, fmt::format(R"({{"weight_map":{{"a":"{0}","a":"{0}"}}}})", kShards[0]));
  expect_refused("'a' appears twice");
  write_file_atomic(path, R"({"weight_map":{},"weight_map":{}})");
  expect_refused("'weight_map' appears twice");
  write_file_atomic(path, R"({"weight_map":{}})");
  expect_refused("is missing");
}

}  // namespace
}  // namespace featflow
