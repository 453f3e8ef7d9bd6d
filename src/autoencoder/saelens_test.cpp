#include "autoencoder/saelens.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/rng.hpp"
#include "storage/files.hpp"
#include "storage/safetensors.hpp"

namespace featflow {
namespace {

using Json = nlohmann::json;

constexpr int64_t kWidth = 5, kFeatures = 70;

class Saelens : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              ("featflow_saelens_" + std::to_string(::getpid()));
    std::filesystem::remove_all(folder_);
    Rng rng(1);
    const auto random = [&](int64_t count) {
      std::vector<float> values(static_cast<size_t>(count));
      for (float& value : values) value = static_cast<float>(rng.normal());
      return values;
    };
    a_.input_size = kWidth;
    a_.feature_count = kFeatures;
    a_.encoder_weight = random(kFeatures * kWidth);
    a_.encoder_bias = random(kFeatures);
    a_.decoder_weight = random(kFeatures * kWidth);
    a_.decoder_bias = random(kWidth);
    x_ = random(40 * kWidth);
    raw_ = a_;
    for (int64_t j = 0; j < kFeatures; ++j) {
      double square = 0;
      for (int64_t i = 0; i < kWidth; ++i) square += std::pow(a_.decoder_weight[j * kWidth + i], 2);
      for (int64_t i = 0; i < kWidth; ++i)
        a_.decoder_weight[j * kWidth + i] /= static_cast<float>(std::sqrt(square));
    }
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void change_config(const std::function<void(Json&)>& change) {
    Json config = Json::parse(read_file(folder_ / "cfg.json"));
    change(config);
    write_file_atomic(folder_ / "cfg.json", config.dump());
  }
  std::string error() {
    try {
      load_saelens(folder_);
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  }

  std::filesystem::path folder_;
  Autoencoder a_, raw_;  // raw_: dictionary vectors of any norm
  std::vector<float> x_;
  SaelensInfo info_ = {"BabyPython", "blocks.0.mlp.hook_post", 256, false};
};

TEST_F(Saelens, RoundTripIsExactInTheLayoutOfVersionSix) {
  save_saelens(folder_, a_, info_);
  const SaelensAutoencoder loaded = load_saelens(folder_);
  EXPECT_EQ(loaded.autoencoder.encoder_weight, a_.encoder_weight);
  EXPECT_EQ(loaded.autoencoder.encoder_bias, a_.encoder_bias);
  EXPECT_EQ(loaded.autoencoder.decoder_weight, a_.decoder_weight);
  EXPECT_EQ(loaded.autoencoder.decoder_bias, a_.decoder_bias);
  EXPECT_EQ(loaded.info.model_name, "BabyPython");
  EXPECT_EQ(loaded.info.hook_name, "blocks.0.mlp.hook_post");
  EXPECT_EQ(loaded.info.context_size, 256);

  const Json config = Json::parse(read_file(folder_ / "cfg.json"));
  const Json expected = Json::parse(R"({
    "d_in": 5, "d_sae": 70, "dtype": "float32", "device": "cpu", "apply_b_dec_to_input": true,
    "normalize_activations": "none", "reshape_activations": "none", "architecture": "standard",
    "metadata": {"sae_lens_version": "6.0.0", "sae_lens_training_version": null,
                 "model_name": "BabyPython", "hook_name": "blocks.0.mlp.hook_post",
                 "hook_head_index": null, "context_size": 256, "prepend_bos": false,
                 "seqpos_slice": [null], "model_from_pretrained_kwargs": {}}})");
  EXPECT_EQ(config, expected);
  const SafetensorsFile weights(folder_ / "sae_weights.safetensors");
  const std::vector<float> encoder = weights.read<float>("W_enc", {kWidth, kFeatures});
  EXPECT_EQ(encoder[2 * kFeatures + 33], a_.encoder_weight[33 * kWidth + 2]);
  EXPECT_EQ(weights.tensors().size(), 4u);
}

TEST_F(Saelens, AnyNormOfDictionaryVectorsIsFolded) {
  std::ranges::fill_n(raw_.decoder_weight.begin() + 3 * kWidth, kWidth,
                      0.0f);  // a zero vector stays
  save_saelens(folder_, raw_, info_);
  const Autoencoder loaded = load_saelens(folder_).autoencoder;
  const SparseRows f = encode(loaded, x_, 40), f_raw = encode(raw_, x_, 40);
  ASSERT_EQ(f.features, f_raw.features);
  std::vector<float> x_hat(x_.size()), x_hat_raw(x_.size());
  decode(loaded, f, x_hat);
  decode(raw_, f_raw, x_hat_raw);
  for (size_t i = 0; i < x_.size(); ++i) EXPECT_NEAR(x_hat[i], x_hat_raw[i], 1e-4);
  for (int64_t j = 0; j < kFeatures; ++j) {
    double square = 0;
    for (int64_t i = 0; i < kWidth; ++i)
      square += std::pow(loaded.decoder_weight[j * kWidth + i], 2);
    EXPECT_NEAR(square, j == 3 ? 0 : 1, 1e-5);
  }
}

TEST_F(Saelens, AnEncoderOfUncentredInputIsFolded) {
  save_saelens(folder_, a_, info_);
  change_config([](Json& config) { config["apply_b_dec_to_input"] = false; });
  const Autoencoder loaded = load_saelens(folder_).autoencoder;
  const SparseRows f = encode(loaded, x_, 40);
  Autoencoder uncentred = a_;  // the same encoder with b_d = 0
  std::ranges::fill(uncentred.decoder_bias, 0.0f);
  const SparseRows expected = encode(uncentred, x_, 40);
  ASSERT_EQ(f.features, expected.features);
  for (size_t e = 0; e < f.values.size(); ++e) EXPECT_NEAR(f.values[e], expected.values[e], 1e-5);
  EXPECT_EQ(loaded.decoder_bias, a_.decoder_bias);
}

TEST_F(Saelens, OlderFlatConfigurationsAreRead) {
  save_saelens(folder_, a_, info_);
  write_file_atomic(
      folder_ / "cfg.json",
      R"({"d_in": 5, "d_sae": 70, "activation_fn_str": "relu", "model_name": "gpt2-small",
                        "hook_name": "blocks.8.hook_resid_pre", "context_size": 128,
                        "prepend_bos": true, "normalize_activations": "none"})");
  const SaelensAutoencoder loaded = load_saelens(folder_);
  EXPECT_EQ(loaded.info.model_name, "gpt2-small");
  EXPECT_EQ(loaded.info.context_size, 128);
  EXPECT_TRUE(loaded.info.prepend_bos);
}

TEST_F(Saelens, SaysWhatItCannotRead) {
  save_saelens(folder_, a_, info_);
  const std::string good = read_file(folder_ / "cfg.json");
  const auto error_with = [&](const std::function<void(Json&)>& change) {
    write_file_atomic(folder_ / "cfg.json", good);
    change_config(change);
    return error();
  };
  EXPECT_THAT(error_with([](Json& c) { c["architecture"] = "jumprelu"; }),
              testing::HasSubstr("architecture is 'jumprelu', supported is 'standard'"));
  EXPECT_THAT(error_with([](Json& c) { c["normalize_activations"] = "layer_norm"; }),
              testing::HasSubstr("normalize_activations"));
  EXPECT_THAT(error_with([](Json& c) { c["normalize_activations"] = true; }),
              testing::HasSubstr("normalize_activations is 'true', expected a string"));
  EXPECT_EQ(error_with([](Json& c) { c["normalize_activations"] = false; }), "no error");
  EXPECT_THAT(error_with([](Json& c) { c["apply_b_dec_to_input"] = "yes"; }),
              testing::HasSubstr("expected true or false"));
  EXPECT_THAT(error_with([](Json& c) { c["reshape_activations"] = "hook_z"; }),
              testing::HasSubstr("reshape_activations"));
  EXPECT_THAT(error_with([](Json& c) { c["d_in"] = -1; }), testing::HasSubstr("d_in is '-1'"));
  const std::string deep(400'000, '[');
  write_file_atomic(folder_ / "cfg.json",
                    R"({"architecture": )" + deep + std::string(400'000, ']') + "}");
  EXPECT_THAT(error(), testing::HasSubstr("architecture is a list, expected a string"));
  EXPECT_THAT(error_with([](Json& c) { c["d_in"] = 1e300; }), testing::HasSubstr("d_in"));
  EXPECT_THAT(error_with([](Json& c) { c["d_in"] = uint64_t{18446744073709551615u}; }),
              testing::HasSubstr("d_in"));
  EXPECT_THAT(error_with([](Json& c) { c.erase("d_sae"); }),
              testing::HasSubstr("d_sae is missing"));
  EXPECT_THAT(error_with([](Json& c) { c["d_sae"] = 71; }), testing::HasSubstr("W_enc"));
  write_file_atomic(folder_ / "cfg.json", "[1, 2");
  EXPECT_THAT(error(), testing::HasSubstr("not a JSON object"));
  write_file_atomic(folder_ / "cfg.json", std::string(2 << 20, ' '));
  EXPECT_THAT(error(), testing::HasSubstr("bytes, expected at most"));
  std::filesystem::remove(folder_ / "cfg.json");
  EXPECT_THAT(error(), testing::HasSubstr("cfg.json"));

  const std::vector<float> decoder = a_.decoder_weight;
  std::fill_n(a_.decoder_weight.begin(), kWidth, 1e-40f);
  save_saelens(folder_, a_, info_);
  EXPECT_THAT(error(), testing::HasSubstr("W_dec has inf at element 0 once decoder rows"));
  a_.decoder_weight = decoder;
  a_.encoder_bias[7] = std::numeric_limits<float>::infinity();
  save_saelens(folder_, a_, info_);
  EXPECT_THAT(error(), testing::HasSubstr("tensor b_enc has inf at element 7"));
}

}  // namespace
}  // namespace featflow
