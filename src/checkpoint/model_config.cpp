#include "checkpoint/model_config.hpp"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/error.hpp"
#include "core/log.hpp"

namespace featflow {

using nlohmann::json;

namespace {

/// Limits far above any real model, below which no product of sizes overflows 64 bits.
constexpr int64_t kMaxVocabulary = int64_t{1} << 31;
constexpr int64_t kMaxWidth = int64_t{1} << 20;
constexpr int64_t kMaxLayers = int64_t{1} << 12;
constexpr int64_t kMaxHeads = int64_t{1} << 14;
constexpr int64_t kMaxHeadDim = int64_t{1} << 12;
constexpr int64_t kMaxPositions = int64_t{1} << 40;

/// A value as JSON, short enough for a message.
std::string shown(const json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "a list";
  return in_quotes(value.dump());
}

/// The keys of one JSON object, with errors that name file and key.
class Keys {
 public:
  Keys(const json& object, std::string where) : object_(object), where_(std::move(where)) {}

  /// Null if the key is absent or null.
  const json& find(const std::string& key) const {
    static const json null;
    const auto entry = object_.find(key);
    return entry == object_.end() ? null : *entry;
  }
  bool has(const std::string& key) const { return object_.contains(key); }

  [[noreturn]] void fail(const std::string& key, const std::string& expected) const {
    throw Error(fmt::format("{}: {} is {}, expected {}", where_, key, shown(find(key)), expected));
  }

  int64_t integer(const std::string& key, int64_t absent) const {
    return find(key).is_null() ? absent : integer(key);
  }
  int64_t integer(const std::string& key) const {
    if (!has(key)) {
      throw Error(fmt::format("{}: {} is missing, expected an integer", where_, key));
    }
    const json& value = find(key);
    const bool fits = value.is_number_integer() &&
                      (!value.is_number_unsigned() || value.get<uint64_t>() <= INT64_MAX);
    if (!fits) fail(key, "an integer");
    return value.get<int64_t>();
  }
  double number(const std::string& key, double absent) const {
    const json& value = find(key);
    if (value.is_null()) return absent;
    if (!value.is_number()) fail(key, "a number");
    return value.get<double>();
  }
  bool boolean(const std::string& key, bool absent) const {
    const json& value = find(key);
    if (value.is_null()) return absent;
    if (!value.is_boolean()) fail(key, "true or false");
    return value.get<bool>();
  }
  std::string text(const std::string& key, const std::string& absent) const {
    const json& value = find(key);
    if (value.is_null()) return absent;
    if (!value.is_string()) fail(key, "text");
    return value.get<std::string>();
  }
  int64_t token(const std::string& key, int64_t absent) const {
    if (!has(key)) return absent;
    const json& value = find(key);
    if (value.is_array() && !value.empty() && value[0].is_number_integer()) {
      return Keys(json{{key, value[0]}}, where_).integer(key);
    }
    return integer(key, -1);
  }

 private:
  const json& object_;
  std::string where_;
};

/// Refuses what would change the arithmetic in ways the model does not have.
void refuse_unsupported(const Keys& keys) {
  const auto only = [&](const std::string& key, const json& supported) {
    const json& value = keys.find(key);
    if (!value.is_null() && value != supported) {
      keys.fail(key, supported.dump() + ": nothing else is supported");
    }
  };
  only("hidden_act", "silu");
  only("attention_bias", false);
  only("mlp_bias", false);
  only("partial_rotary_factor", 1.0);
  for (const std::string key : {"rope_scaling", "rope_parameters"}) {
    const json& rope = keys.find(key);
    if (rope.is_null()) continue;
    if (!rope.is_object()) keys.fail(key, "an object or null");
    for (const char* type : {"rope_type", "type"}) {
      if (rope.contains(type) && rope[type] != "default") {
        keys.fail(fmt::format("{}", key),
                  fmt::format("{} \"default\", not {}: scaled rotary embeddings are not supported",
                              type, shown(rope[type])));
      }
    }
  }
  if (!keys.find("quantization_config").is_null()) {
    keys.fail("quantization_config", "none: quantised weights are not supported");
  }
}

void check_range(const std::string& where, std::string_view field, int64_t value, int64_t low,
                 int64_t high) {
  if (value < low || value > high) {
    throw Error(fmt::format("{}: {} is {}, expected {} to {}", where, field, value, low, high));
  }
}

}  // namespace

int64_t ModelConfig::resolved_head_dim() const {
  return head_dim > 0 ? head_dim : hidden_size / num_attention_heads;
}

int64_t ModelConfig::parameter_count() const {
  const int64_t query = num_attention_heads * resolved_head_dim();
  const int64_t key = num_key_value_heads * resolved_head_dim();
  const int64_t attention = hidden_size * (2 * query + 2 * key);
  const int64_t mlp = 3 * hidden_size * intermediate_size;
  const int64_t embeddings = (tie_word_embeddings ? 1 : 2) * vocab_size * hidden_size;
  return embeddings + num_hidden_layers * (attention + mlp + 2 * hidden_size) + hidden_size;
}

void ModelConfig::validate(const std::string& where) const {
  if (model_type != "mistral" && model_type != "llama") {
    throw Error(fmt::format("{}: model_type is {}, expected mistral or llama", where,
                            in_quotes(model_type)));
  }
  check_range(where, "vocab_size", vocab_size, 1, kMaxVocabulary);
  check_range(where, "hidden_size", hidden_size, 1, kMaxWidth);
  check_range(where, "intermediate_size", intermediate_size, 1, kMaxWidth);
  check_range(where, "num_hidden_layers", num_hidden_layers, 1, kMaxLayers);
  check_range(where, "num_attention_heads", num_attention_heads, 1, kMaxHeads);
  check_range(where, "num_key_value_heads", num_key_value_heads, 1, num_attention_heads);
  check_range(where, "head_dim", head_dim, 0, kMaxHeadDim);
  check_range(where, "max_position_embeddings", max_position_embeddings, 1, kMaxPositions);
  check_range(where, "sliding_window", sliding_window, 0, kMaxPositions);
  check_range(where, "bos_token_id", bos_token_id, -1, vocab_size - 1);
  check_range(where, "eos_token_id", eos_token_id, -1, vocab_size - 1);
  if (num_attention_heads % num_key_value_heads != 0) {
    throw Error(
        fmt::format("{}: num_attention_heads {} is not a multiple of num_key_value_heads {}", where,
                    num_attention_heads, num_key_value_heads));
  }
  if (head_dim == 0 && hidden_size % num_attention_heads != 0) {
    throw Error(fmt::format(
        "{}: hidden_size {} is not a multiple of num_attention_heads {} and head_dim is not given",
        where, hidden_size, num_attention_heads));
  }
  if (resolved_head_dim() % 2 != 0 || resolved_head_dim() > kMaxHeadDim) {
    throw Error(fmt::format("{}: head_dim is {}, expected an even number up to {}", where,
                            resolved_head_dim(), kMaxHeadDim));
  }
  const auto check_positive = [&](std::string_view field, double value) {
    if (!std::isfinite(value) || value <= 0) {
      throw Error(fmt::format("{}: {} is {}, expected a positive number", where, field, value));
    }
  };
  check_positive("rms_norm_eps", rms_norm_eps);
  check_positive("rope_theta", rope_theta);
  check_positive("initializer_range", initializer_range);
}

ModelConfig parse_model_config(const std::string& json_text, const std::string& where) {
  const json root = json::parse(json_text, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) throw Error(where + ": not a JSON object, expected a model's config.json");
  const Keys keys(root, where);

  ModelConfig config;
  config.model_type = keys.text("model_type", "");
  const bool mistral = config.model_type == "mistral";
  if (!mistral && config.model_type != "llama") {
    keys.fail("model_type", "\"mistral\" or \"llama\": other architectures are not supported");
  }
  refuse_unsupported(keys);
  config.vocab_size = keys.integer("vocab_size");
  config.hidden_size = keys.integer("hidden_size");
  config.intermediate_size = keys.integer("intermediate_size");
  config.num_hidden_layers = keys.integer("num_hidden_layers");
  config.num_attention_heads = keys.integer("num_attention_heads");
  const bool mistral_default = mistral && !keys.has("num_key_value_heads");
  config.num_key_value_heads =
      keys.integer("num_key_value_heads", mistral_default ? 8 : config.num_attention_heads);
  config.head_dim = keys.integer("head_dim", 0);
  config.max_position_embeddings = keys.integer("max_position_embeddings", mistral ? 131072 : 2048);
  if (mistral) {
    config.sliding_window = keys.integer("sliding_window", keys.has("sliding_window") ? 0 : 4096);
  }
  config.initializer_range = keys.number("initializer_range", 0.02);
  config.rms_norm_eps = keys.number("rms_norm_eps", 1e-6);
  config.rope_theta = keys.number("rope_theta", 1e4);
  if (const json& rope = keys.find("rope_parameters"); rope.is_object()) {
    config.rope_theta =
        Keys(rope, where + ": rope_parameters").number("rope_theta", config.rope_theta);
  }
  config.bos_token_id = keys.token("bos_token_id", 1);
  config.eos_token_id = keys.token("eos_token_id", 2);
  config.tie_word_embeddings = keys.boolean("tie_word_embeddings", false);
  config.validate(where);
  return config;
}

void adopt_special_tokens(ModelConfig& config, int64_t bos, int64_t eos, const std::string& where) {
  if (bos < 0 || config.bos_token_id == bos) return;
  if (config.bos_token_id >= 0) {
    log_warning(
        fmt::format("{}: bos_token_id of config.json is {}, that of its tokenizer {}: the "
                    "tokenizer's is used",
                    where, config.bos_token_id, bos));
  }
  config.bos_token_id = bos;
  if (config.eos_token_id == bos) config.eos_token_id = eos;
}

std::string to_json(const ModelConfig& config) {
  const auto or_null = [](int64_t value, int64_t none) {
    return value == none ? json() : json(value);
  };
  const bool mistral = config.model_type == "mistral";
  json root = {{"architectures", {mistral ? "MistralForCausalLM" : "LlamaForCausalLM"}},
               {"attention_dropout", 0.0},
               {"bos_token_id", or_null(config.bos_token_id, -1)},
               {"eos_token_id", or_null(config.eos_token_id, -1)},
               {"hidden_act", "silu"},
               {"hidden_size", config.hidden_size},
               {"initializer_range", config.initializer_range},
               {"intermediate_size", config.intermediate_size},
               {"max_position_embeddings", config.max_position_embeddings},
               {"model_type", config.model_type},
               {"num_attention_heads", config.num_attention_heads},
               {"num_hidden_layers", config.num_hidden_layers},
               {"num_key_value_heads", config.num_key_value_heads},
               {"rms_norm_eps", config.rms_norm_eps},
               {"rope_theta", config.rope_theta},
               {"tie_word_embeddings", config.tie_word_embeddings},
               {"torch_dtype", "float32"},
               {"use_cache", true},
               {"vocab_size", config.vocab_size}};
  if (config.head_dim > 0) root["head_dim"] = config.head_dim;
  if (mistral) {
    root["sliding_window"] = or_null(config.sliding_window, 0);
  } else {
    root["attention_bias"] = false;
    root["mlp_bias"] = false;
  }
  return root.dump(2) + "\n";
}

}  // namespace featflow
