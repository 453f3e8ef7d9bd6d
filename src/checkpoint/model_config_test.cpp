#include "checkpoint/model_config.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.hpp"

namespace featflow {
namespace {

using nlohmann::json;
using testing::HasSubstr;

/// As the paper's model was saved.
const char* kMistral = R"({
  "_name_or_path": "x", "architectures": ["MistralForCausalLM"], "attention_dropout": 0.0,
  "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 512,
  "initializer_range": 0.02, "intermediate_size": 1024, "max_position_embeddings": 2048,
  "model_type": "mistral", "num_attention_heads": 16, "num_hidden_layers": 1,
  "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "sliding_window": 4096,
  "tie_word_embeddings": false, "torch_dtype": "float32", "transformers_version": "4.38.1",
  "use_cache": true, "vocab_size": 32000})";

ModelConfig parse(const json& content) { return parse_model_config(content.dump(), "config.json"); }

ModelConfig with(const std::string& key, const json& value) {
  json content = json::parse(kMistral);
  content[key] = value;
  return parse(content);
}

ModelConfig without(const std::string& key) {
  json content = json::parse(kMistral);
  content.erase(key);
  return parse(content);
}

/// Refused with one line that names the file, the key, and `reason`.
void expect_refused(const std::string& key, const json& value, const std::string& reason) {
  try {
    with(key, value);
    ADD_FAILURE() << key << " accepted: " << value;
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_THAT(message, testing::StartsWith("config.json: "));
    EXPECT_THAT(message, HasSubstr(key));
    EXPECT_THAT(message, HasSubstr(reason));
    EXPECT_THAT(message, testing::Not(HasSubstr("\n")));
  }
}

TEST(ModelConfig, ReadsThePapersModel) {
  const ModelConfig config = parse_model_config(kMistral, "config.json");
  EXPECT_EQ(config.model_type, "mistral");
  EXPECT_EQ(config.vocab_size, 32000);
  EXPECT_EQ(config.hidden_size, 512);
  EXPECT_EQ(config.intermediate_size, 1024);
  EXPECT_EQ(config.num_hidden_layers, 1);
  EXPECT_EQ(config.num_attention_heads, 16);
  EXPECT_EQ(config.num_key_value_heads, 8);
  EXPECT_EQ(config.head_dim, 0);
  EXPECT_EQ(config.resolved_head_dim(), 32);
  EXPECT_EQ(config.max_position_embeddings, 2048);
  EXPECT_EQ(config.sliding_window, 4096);
  EXPECT_EQ(config.rms_norm_eps, 1e-6);
  EXPECT_EQ(config.rope_theta, 1e4);
  EXPECT_EQ(config.bos_token_id, 1);
  EXPECT_EQ(config.eos_token_id, 2);
  EXPECT_FALSE(config.tie_word_embeddings);
  EXPECT_EQ(config.parameter_count(), 35'128'832);
}

TEST(ModelConfig, OptionalKeysInEveryForm) {
  EXPECT_EQ(with("head_dim", nullptr).head_dim, 0);
  EXPECT_EQ(with("head_dim", 48).resolved_head_dim(), 48);
  EXPECT_EQ(with("sliding_window", nullptr).sliding_window, 0);
  EXPECT_EQ(without("sliding_window").sliding_window, 4096);
  EXPECT_EQ(without("num_key_value_heads").num_key_value_heads, 8);
  EXPECT_EQ(with("num_key_value_heads", nullptr).num_key_value_heads, 16);
  EXPECT_EQ(with("rope_theta", 500000).rope_theta, 5e5);
  EXPECT_EQ(with("rope_parameters", {{"rope_type", "default"}, {"rope_theta", 1e6}}).rope_theta,
            1e6);
  EXPECT_EQ(with("rope_parameters", {{"rope_type", "default"}}).rope_theta, 1e4);
  EXPECT_EQ(with("rope_parameters", nullptr).rope_theta, 1e4);
  EXPECT_NO_THROW(with("rope_scaling", nullptr));
  EXPECT_NO_THROW(with("rope_scaling", {{"type", "default"}}));
  EXPECT_NO_THROW(with("attention_bias", false));
  EXPECT_EQ(with("bos_token_id", nullptr).bos_token_id, -1);
  EXPECT_EQ(with("eos_token_id", {7, 8}).eos_token_id, 7);
  EXPECT_TRUE(with("tie_word_embeddings", true).tie_word_embeddings);
}

TEST(ModelConfig, LlamaDefaults) {
  const ModelConfig config = parse({{"model_type", "llama"},
                                    {"vocab_size", 100},
                                    {"hidden_size", 12},
                                    {"intermediate_size", 20},
                                    {"num_hidden_layers", 2},
                                    {"num_attention_heads", 2},
                                    {"sliding_window", 4096}});
  EXPECT_EQ(config.num_key_value_heads, 2);
  EXPECT_EQ(config.sliding_window, 0);  // Llama has none
  EXPECT_EQ(config.max_position_embeddings, 2048);
  EXPECT_EQ(config.rope_theta, 1e4);
  EXPECT_EQ(config.rms_norm_eps, 1e-6);
}

TEST(ModelConfig, RoundTrip) {
  ModelConfig config = {.model_type = "llama",
                        .vocab_size = 77,
                        .hidden_size = 10,
                        .intermediate_size = 21,
                        .num_hidden_layers = 3,
                        .num_attention_heads = 6,
                        .num_key_value_heads = 2,
                        .head_dim = 14,
                        .max_position_embeddings = 99,
                        .sliding_window = 0,
                        .initializer_range = 0.1 / 3,
                        .rms_norm_eps = 1e-5,
                        .rope_theta = 123456.789,
                        .bos_token_id = -1,
                        .eos_token_id = 5,
                        .tie_word_embeddings = true};
  const std::string llama = to_json(config);
  EXPECT_EQ(to_json(parse_model_config(llama, "x")), llama);
  const ModelConfig read = parse_model_config(llama, "x");
  EXPECT_EQ(read.initializer_range, config.initializer_range);
  EXPECT_EQ(read.rope_theta, config.rope_theta);
  EXPECT_EQ(read.head_dim, 14);
  EXPECT_EQ(read.bos_token_id, -1);
  EXPECT_EQ(read.eos_token_id, 5);
  EXPECT_EQ(read.num_key_value_heads, 2);
  EXPECT_EQ(read.max_position_embeddings, 99);
  EXPECT_TRUE(read.tie_word_embeddings);
  config.model_type = "mistral";
  config.sliding_window = 50;
  EXPECT_EQ(parse_model_config(to_json(config), "x").sliding_window, 50);
  config.sliding_window = 0;
  EXPECT_EQ(parse_model_config(to_json(config), "x").sliding_window, 0);
}

TEST(ModelConfig, WritesHuggingFacesKeys) {
  const json written = json::parse(to_json(parse_model_config(kMistral, "x")));
  json expected = json::parse(kMistral);
  expected.erase("_name_or_path");
  expected.erase("transformers_version");
  EXPECT_EQ(written, expected);
  EXPECT_EQ(to_json(parse_model_config(kMistral, "x")), written.dump(2) + "\n");  // sorted
}

TEST(ModelConfig, UnsupportedArithmeticIsRefused) {
  expect_refused("hidden_act", "gelu", "expected \"silu\"");
  expect_refused("attention_bias", true, "expected false");
  expect_refused("mlp_bias", true, "expected false");
  expect_refused("rope_scaling", {{"type", "linear"}, {"factor", 2}}, "scaled rotary");
  expect_refused("rope_scaling", {{"rope_type", "llama3"}}, "scaled rotary");
  expect_refused("rope_scaling", "linear", "an object or null");
  expect_refused("rope_parameters", {{"rope_type", "yarn"}, {"rope_theta", 1e4}}, "scaled rotary");
  expect_refused("rope_parameters", {{"rope_theta", "big"}}, "expected a number");
  expect_refused("partial_rotary_factor", 0.5, "expected 1.0");
  expect_refused("quantization_config", {{"bits", 4}}, "quantised");
  expect_refused("model_type", "gpt2", "expected \"mistral\" or \"llama\"");
  expect_refused("model_type", nullptr, "expected \"mistral\" or \"llama\"");
  expect_refused("model_type", 3, "expected text");
}

TEST(ModelConfig, SizesOfTheWrongKindAreRefused) {
  for (const char* key : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                          "num_attention_heads"}) {
    expect_refused(key, "512", "expected an integer");
    expect_refused(key, 512.0, "expected an integer");
    expect_refused(key, nullptr, "expected an integer");
    expect_refused(key, true, "expected an integer");
    expect_refused(key, json::array({512}), "expected an integer");
    expect_refused(key, uint64_t{1} << 63, "expected an integer");
    expect_refused(key, -1, "expected 1 to");
    expect_refused(key, 0, "expected 1 to");
    expect_refused(key, INT64_MAX, "expected 1 to");
    EXPECT_THROW(without(key), Error) << key;
  }
  expect_refused("num_key_value_heads", 0, "expected 1 to 16");
  expect_refused("num_key_value_heads", 32, "expected 1 to 16");
  expect_refused("head_dim", -2, "expected 0 to");
  expect_refused("sliding_window", -1, "expected 0 to");
  expect_refused("max_position_embeddings", 0, "expected 1 to");
  expect_refused("bos_token_id", 32000, "expected -1 to 31999");
  expect_refused("eos_token_id", "</s>", "expected an integer");
  expect_refused("tie_word_embeddings", 1, "expected true or false");
}

TEST(ModelConfig, SizesMustFitTogether) {
  expect_refused("num_key_value_heads", 5, "not a multiple");
  expect_refused("hidden_size", 500, "is not a multiple of num_attention_heads 16");
  expect_refused("head_dim", 33, "expected an even number");
  EXPECT_THROW(with("hidden_size", 16), Error);  // head_dim 1
  expect_refused("rms_norm_eps", 0.0, "expected a positive number");
  expect_refused("rope_theta", -1, "expected a positive number");
  expect_refused("initializer_range", "0.02", "expected a number");
}

TEST(ModelConfig, LargestSizesDoNotOverflow) {
  ModelConfig config;
  config.vocab_size = int64_t{1} << 31;
  config.hidden_size = config.intermediate_size = int64_t{1} << 20;
  config.num_hidden_layers = 1 << 12;
  config.num_attention_heads = config.num_key_value_heads = 1 << 14;
  config.head_dim = 1 << 12;
  config.validate("x");
  // 4·2^46 for attention and 3·2^20 · 2^20 for the feed-forward part, in each layer.
  const double expected =
      std::ldexp(2.0, 51) + 4096 * (4 * std::ldexp(1.0, 46) + 3 * std::ldexp(1.0, 40));
  EXPECT_NEAR(static_cast<double>(config.parameter_count()) / expected, 1.0, 1e-6);
}

TEST(ModelConfig, HostileText) {
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("null"),
        std::string("\xff{}"), std::string("{}x"), std::string(200'000, '['),
        "{\"a\":" + std::string(200'000, '[')}) {
    EXPECT_THROW(parse_model_config(text, "config.json"), Error) << text.substr(0, 20);
  }
  expect_refused("model_type", "a\nb" + std::string(10'000, 'x'), "…");
}

TEST(ModelConfig, TakesSpecialTokensFromTheTokenizer) {
  const auto adopted = [](int64_t bos, int64_t eos, int64_t of_bos, int64_t of_eos) {
    ModelConfig config;
    config.bos_token_id = bos;
    config.eos_token_id = eos;
    adopt_special_tokens(config, of_bos, of_eos, "folder");
    return std::pair(config.bos_token_id, config.eos_token_id);
  };
  EXPECT_EQ(adopted(1, 2, 1, 2), std::pair(1L, 2L));
  EXPECT_EQ(adopted(-1, 2, 1, 2), std::pair(1L, 2L));
  EXPECT_EQ(adopted(0, 1, 1, 2), std::pair(1L, 2L)) << "an early conversion of Llama";
  EXPECT_EQ(adopted(0, 31999, 1, 2), std::pair(1L, 31999L)) << "an EOS of its own";
  EXPECT_EQ(adopted(1, 31999, 1, 2), std::pair(1L, 31999L));
  EXPECT_EQ(adopted(0, 1, -1, -1), std::pair(0L, 1L)) << "a tokenizer without BOS";
}

}  // namespace
}  // namespace featflow
