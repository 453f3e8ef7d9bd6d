#include "autoencoder/saelens.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "autoencoder/kernels.hpp"
#include "core/error.hpp"
#include "storage/files.hpp"
#include "storage/safetensors.hpp"

namespace featflow {
namespace {

using Json = nlohmann::json;
using Path = std::filesystem::path;

constexpr int64_t kMaxConfigBytes = 1 << 20;
constexpr double kUnitTolerance = 1e-5;

// [rows, cols] → [cols, rows], in blocks that stay in cache.
std::vector<float> transposed(const std::vector<float>& x, int64_t rows, int64_t cols) {
  constexpr int64_t kBlock = 32;
  std::vector<float> result(x.size());
  for (int64_t r0 = 0; r0 < rows; r0 += kBlock) {
    for (int64_t c0 = 0; c0 < cols; c0 += kBlock) {
      for (int64_t r = r0; r < std::min(r0 + kBlock, rows); ++r) {
        for (int64_t c = c0; c < std::min(c0 + kBlock, cols); ++c) {
          result[static_cast<size_t>(c * rows + r)] = x[static_cast<size_t>(r * cols + c)];
        }
      }
    }
  }
  return result;
}

// cfg.json with typed access; errors name the file and the key.
class Config {
 public:
  explicit Config(const Path& path) : path_(path) {
    std::error_code code;
    const auto size = std::filesystem::file_size(path, code);
    if (!code && size > static_cast<uintmax_t>(kMaxConfigBytes)) {
      throw Error(fmt::format("{}: {} bytes, expected at most {}: this is no SAELens cfg.json",
                              path.string(), size, kMaxConfigBytes));
    }
    json_ = Json::parse(read_file(path), nullptr, /*allow_exceptions=*/false);
    if (!json_.is_object()) {
      throw Error(fmt::format("{}: not a JSON object, expected a SAELens cfg.json", path.string()));
    }
  }

  int64_t size(const char* key) const {
    const Json* value = find(json_, key);
    if (!value || !value->is_number_integer() || value->get<int64_t>() < 1 ||
        value->get<int64_t>() > (int64_t{1} << 31)) {
      throw Error(fmt::format("{}: {} is {}, expected a positive integer", path_.string(), key,
                              value ? shown(*value) : "missing"));
    }
    return value->get<int64_t>();
  }
  std::string text(const char* key, const std::string& otherwise) const {
    const Json* value = find(json_, key);
    if (value && !value->is_string()) wrong(key, *value, "a string");
    return value ? value->get<std::string>() : otherwise;
  }
  bool flag(const char* key, bool otherwise) const {
    const Json* value = find(json_, key);
    if (value && !value->is_boolean()) wrong(key, *value, "true or false");
    return value ? value->get<bool>() : otherwise;
  }
  // v6 keeps these under "metadata", older files beside the rest.
  const Json* about(const char* key) const {
    const Json* metadata = find(json_, "metadata");
    const Json* value = metadata && metadata->is_object() ? find(*metadata, key) : nullptr;
    return value ? value : find(json_, key);
  }
  std::string about_text(const char* key) const {
    const Json* value = about(key);
    return value && value->is_string() ? value->get<std::string>() : "";
  }
  void expect(const char* key, const std::string& supported) const {
    const Json* given = find(json_, key);
    if (given && *given == false && supported == "none") return;  // as older files say it
    const std::string value = text(key, supported);
    if (value != supported) {
      throw Error(fmt::format("{}: {} is {}, supported is '{}'", path_.string(), key,
                              in_quotes(value), supported));
    }
  }

 private:
  [[noreturn]] void wrong(const char* key, const Json& value, const char* expected) const {
    throw Error(
        fmt::format("{}: {} is {}, expected {}", path_.string(), key, shown(value), expected));
  }
  // A stranger's list may be nested deeper than a recursive dump can go.
  static std::string shown(const Json& value) {
    if (value.is_object()) return "an object";
    if (value.is_array()) return "a list";
    return in_quotes(value.dump(-1, ' ', true, Json::error_handler_t::replace));
  }
  static const Json* find(const Json& object, const char* key) {
    const auto at = object.find(key);
    return at == object.end() || at->is_null() ? nullptr : &*at;
  }
  Path path_;
  Json json_;
};

}  // namespace

void save_saelens(const Path& folder, const Autoencoder& autoencoder, const SaelensInfo& info) {
  const int64_t n = autoencoder.input_size, m = autoencoder.feature_count;
  create_folder(folder);
  const std::vector<float> encoder = transposed(autoencoder.encoder_weight, m, n);
  write_safetensors(folder / "sae_weights.safetensors",
                    {tensor_view("W_enc", {n, m}, encoder),
                     tensor_view("W_dec", {m, n}, autoencoder.decoder_weight),
                     tensor_view("b_enc", {m}, autoencoder.encoder_bias),
                     tensor_view("b_dec", {n}, autoencoder.decoder_bias)});
  nlohmann::ordered_json config = {
      {"d_in", n},
      {"d_sae", m},
      {"dtype", "float32"},
      {"device", "cpu"},
      {"apply_b_dec_to_input", true},
      {"normalize_activations", "none"},
      {"reshape_activations", "none"},
      {"metadata",
       {{"sae_lens_version", "6.0.0"},
        {"sae_lens_training_version", nullptr},
        {"model_name", info.model_name},
        {"hook_name", info.hook_name},
        {"hook_head_index", nullptr},
        {"context_size", info.context_size},
        {"prepend_bos", info.prepend_bos},
        {"seqpos_slice", nlohmann::ordered_json::array({nullptr})},
        {"model_from_pretrained_kwargs", nlohmann::ordered_json::object()}}},
      {"architecture", "standard"}};
  // A model's path need not be UTF-8.
  write_file_atomic(folder / "cfg.json",
                    config.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

SaelensAutoencoder load_saelens(const Path& folder) {
  const Config config(folder / "cfg.json");
  config.expect("architecture", "standard");
  config.expect("activation_fn_str", "relu");  // before version 6
  config.expect("activation_fn", "relu");
  config.expect("normalize_activations", "none");
  config.expect("reshape_activations", "none");
  if (config.flag("finetuning_scaling_factor", false)) {
    throw Error(fmt::format("{}: finetuning_scaling_factor is true, supported is false",
                            (folder / "cfg.json").string()));
  }

  SaelensAutoencoder result;
  result.info.model_name = config.about_text("model_name");
  result.info.hook_name = config.about_text("hook_name");
  const Json* context_size = config.about("context_size");
  if (context_size && context_size->is_number_integer()) {
    result.info.context_size = context_size->get<int64_t>();
  }
  const Json* prepend_bos = config.about("prepend_bos");
  result.info.prepend_bos = prepend_bos && prepend_bos->is_boolean() && prepend_bos->get<bool>();

  Autoencoder& autoencoder = result.autoencoder;
  const int64_t n = autoencoder.input_size = config.size("d_in");
  const int64_t m = autoencoder.feature_count = config.size("d_sae");
  const SafetensorsFile weights(folder / "sae_weights.safetensors");
  autoencoder.encoder_weight = transposed(weights.read_float("W_enc", {n, m}), n, m);
  autoencoder.decoder_weight = weights.read_float("W_dec", {m, n});
  autoencoder.encoder_bias = weights.read_float("b_enc", {m});
  autoencoder.decoder_bias = weights.read_float("b_dec", {n});
  const auto require_finite = [&](const char* when) {
    for (const auto& [name, values] : {std::pair{"W_enc", &autoencoder.encoder_weight},
                                       {"W_dec", &autoencoder.decoder_weight},
                                       {"b_enc", &autoencoder.encoder_bias},
                                       {"b_dec", &autoencoder.decoder_bias}}) {
      const auto bad = std::ranges::find_if(*values, [](float v) { return !std::isfinite(v); });
      if (bad != values->end()) {
        throw Error(fmt::format("{}: tensor {} has {} at element {}{}, expected finite numbers",
                                weights.path().string(), name, *bad, bad - values->begin(), when));
      }
    }
  };
  require_finite("");

  const bool centred = config.flag("apply_b_dec_to_input", true);
  for (int64_t j = 0; j < m; ++j) {
    float* encoder = autoencoder.encoder_weight.data() + j * n;
    float* decoder = autoencoder.decoder_weight.data() + j * n;
    float& bias = autoencoder.encoder_bias[static_cast<size_t>(j)];
    double square = 0, projection = 0;
    for (int64_t i = 0; i < n; ++i) {
      square += static_cast<double>(decoder[i]) * static_cast<double>(decoder[i]);
      projection += static_cast<double>(encoder[i]) *
                    static_cast<double>(autoencoder.decoder_bias[static_cast<size_t>(i)]);
    }
    // ReLU(W_e x + b) = ReLU(W_e (x − b_d) + (b + W_e b_d))
    if (!centred) bias = static_cast<float>(static_cast<double>(bias) + projection);
    const double norm = std::sqrt(square);
    if (norm == 0 || std::fabs(norm - 1) < kUnitTolerance) continue;
    multiply(static_cast<float>(1 / norm), decoder, n);
    multiply(static_cast<float>(norm), encoder, n);
    bias *= static_cast<float>(norm);
  }
  require_finite(" once decoder rows have unit norm");
  return result;
}

}  // namespace featflow
