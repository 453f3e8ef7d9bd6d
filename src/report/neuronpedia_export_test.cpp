#include "report/neuronpedia_export.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "core/error.hpp"
#include "features/dense_activations.hpp"
#include "storage/files.hpp"
#include "storage/temporary_folder.hpp"
#include "tokens/token_shard.hpp"
#include "tokens/tokenizer.hpp"

namespace featflow {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr int64_t kFeatures = 140;
constexpr int64_t kSilent = 17;

/// A text and a model with random activations on it; one feature is silent, one hardly active.
class Model {
 public:
  Model() {
    std::vector<std::string> documents;
    Rng rng(1);
    const std::vector<std::string> words = {"local x = nil\n", "once upon a time ", "def g(y):\n",
                                            "größe "};
    for (int d = 0; d < 12; ++d) {
      std::string& document = documents.emplace_back();
      for (int w = 0; w < 10; ++w)
        document += words[rng.below(4)] + std::to_string(rng.below(10'000));
    }
    input.tokenizer = folder_ / "tokenizer.model";
    Tokenizer::train({.vocab_size = 320}, documents, input.tokenizer);
    tokenizer.emplace(Tokenizer::load(input.tokenizer));
    text = tokenize(*tokenizer, documents);
    for (const int32_t id : text.tokens) spelled.push_back(tokenizer->token_text(id));
    input.tokens = folder_ / "tokens.safetensors";
    save_token_shard(text, input.tokens);
    dense = random_dense(text.size(), kFeatures, 0.1, 2);
    for (size_t row = 0; row < dense.size(); ++row) {
      dense[row][kSilent] = 0;
      dense[row][3] = row == 5 ? 0.1f : 0;
    }
    FeatureActivations activations = activations_from_dense(dense, kFeatures);
    for (int64_t i = 0; i < text.size(); ++i) {
      activations.documents.push_back(static_cast<int32_t>(text.document_of(i)));
    }
    input.activations = folder_ / "activations.safetensors";
    save_feature_activations(activations, input.activations);
    input.model_id = "LuaStories";
    input.source = "0-FeatFlow";
    input.context = 6;
  }
  std::filesystem::path operator/(const std::string& name) const { return folder_ / name; }

  NeuronpediaExport input;
  TokenShard text;
  std::vector<std::string> spelled;  ///< Its tokens.
  DenseRows dense;
  std::optional<Tokenizer> tokenizer;

 private:
  TemporaryFolder folder_;
};

Model& model() {
  static Model made;
  return made;
}

std::vector<json> features_of(const NeuronpediaSize& size) {
  std::vector<json> features;
  for (const auto& file : size.files) {
    const json batch = json::parse(read_file(file));
    EXPECT_EQ(batch["modelId"], "luastories");
    EXPECT_EQ(batch["source"], "0-featflow");
    EXPECT_LE(batch["features"].size(), 128u);
    for (const json& feature : batch["features"]) features.push_back(feature);
  }
  return features;
}

/// Whether the text has these tokens somewhere with the feature's values on them, by brute force.
bool stands_in_text(const json& activation, size_t feature) {
  const auto tokens = activation["tokens"].get<std::vector<std::string>>();
  const auto values = activation["values"].get<std::vector<double>>();
  EXPECT_EQ(tokens.size(), values.size());
  for (size_t at = 0; at + tokens.size() <= model().spelled.size(); ++at) {
    bool same = true;
    for (size_t i = 0; same && i < tokens.size(); ++i) {
      same = model().dense[at + i][feature] == static_cast<float>(values[i]) &&
             model().spelled[at + i] == tokens[i];
    }
    if (same) return true;
  }
  return false;
}

TEST(NeuronpediaExport, EveryActiveFeatureHasItsDensityAndExamplesOfTheText) {
  const NeuronpediaSize size = write_neuronpedia(model().input, model() / "all");
  EXPECT_EQ(size.features, kFeatures - 1);
  EXPECT_EQ(size.silent, 1);
  EXPECT_EQ(size.explained, 0);
  ASSERT_EQ(size.files.size(), 2u);  // 128 + 11
  EXPECT_EQ(size.files[1].filename(), "batch-0001.json");
  const std::vector<json> features = features_of(size);
  ASSERT_EQ(std::ssize(features), kFeatures - 1);
  for (size_t i = 0; i < features.size(); ++i) {
    const json& feature = features[i];
    const auto index = feature["index"].get<int32_t>();
    EXPECT_EQ(index, static_cast<int32_t>(i) + (static_cast<int64_t>(i) >= kSilent ? 1 : 0));
    std::vector<float> values;
    for (const auto& row : model().dense) {
      if (row[static_cast<size_t>(index)] > 0) values.push_back(row[static_cast<size_t>(index)]);
    }
    std::ranges::sort(values, std::greater());
    EXPECT_DOUBLE_EQ(
        feature["density"].get<double>(),
        static_cast<double>(values.size()) / static_cast<double>(model().dense.size()));
    EXPECT_EQ(feature["explanations"], json::array());
    EXPECT_FALSE(feature.contains("topLogits"));
    ASSERT_FALSE(feature["activations"].empty());
    EXPECT_LE(feature["activations"].size(), 40u);
    // The first example is around the strongest token.
    const auto first = feature["activations"][0]["values"].get<std::vector<double>>();
    EXPECT_EQ(static_cast<float>(std::ranges::max(first)), values.front());
    for (const json& activation : feature["activations"]) {
      if (i % 10 == 0) {
        EXPECT_TRUE(stands_in_text(activation, static_cast<size_t>(index))) << activation.dump();
      }
      EXPECT_LE(activation["tokens"].size(), 13u);
      if (activation["quantileFraction"].is_null()) continue;
      // An interval is an equal share of the active tokens: its limits are values of given ranks.
      const auto rank = [&](const char* limit) {
        const auto value = static_cast<float>(activation[limit].get<double>());
        return std::ranges::find(values, value) - values.begin();
      };
      const int64_t begin = rank("quantileMax"), end = rank("quantileMin") + 1;
      EXPECT_LE(begin, end);
      EXPECT_LT(end, std::ssize(values) + 1);
      EXPECT_NEAR(activation["quantileFraction"].get<double>(), 0.2,
                  1.0 / static_cast<double>(values.size()));
    }
  }
  const json& rare = features[3];
  ASSERT_EQ(rare["activations"].size(), 1u);
  EXPECT_THAT(rare["activations"][0].dump(), HasSubstr("0.1,"));  // the float's shortest decimals
}

TEST(NeuronpediaExport, LogitsAndExplanationsStandBesideTheFeatureTheyAreOf) {
  Model& own = model();
  NeuronpediaExport input = own.input;
  input.logits = [](std::span<const int32_t> features) {
    std::vector<FeatureLogits> logits;
    for (const int32_t j : features) {
      FeatureLogits& one = logits.emplace_back();
      for (int32_t k = 0; k < 25; ++k) {
        one.top.push_back({k + j % 200, 0.1f * static_cast<float>(j + 25 - k)});
      }
      one.bottom = {{j % 300, -0.7f}};
    }
    return logits;
  };
  std::string wide;
  for (int i = 0; i < 300; ++i) wide += "𝄞";  // 600 units of UTF-16
  input.explanations = {{5, {"Lua", "nil in Lua"}}, {139, {wide}}};
  const NeuronpediaSize size = write_neuronpedia(input, own / "logits");
  EXPECT_EQ(size.explained, 2);
  for (const json& feature : features_of(size)) {
    const auto j = feature["index"].get<int32_t>();
    ASSERT_EQ(feature["topLogits"].size(), 20u);
    EXPECT_EQ(feature["topLogits"][3]["token"], own.tokenizer->token_text(3 + j % 200));
    EXPECT_EQ(static_cast<float>(feature["topLogits"][3]["value"].get<double>()),
              0.1f * static_cast<float>(j + 22));
    EXPECT_EQ(feature["bottomLogits"][0]["token"], own.tokenizer->token_text(j % 300));
    EXPECT_EQ(feature["bottomLogits"][0]["value"], -0.7);
    if (j == 5) {
      ASSERT_EQ(feature["explanations"].size(), 2u);
      EXPECT_EQ(feature["explanations"][1]["text"], "nil in Lua");
      EXPECT_TRUE(feature["explanations"][1]["methodName"].is_null());
    } else if (j == 139) {  // cut between characters, with an ellipsis: 2 · 255 + 1 units
      EXPECT_EQ(feature["explanations"][0]["text"], wide.substr(0, 4 * 255) + "…");
    } else {
      EXPECT_TRUE(feature["explanations"].empty());
    }
  }
}

TEST(NeuronpediaExport, TwoExportsGiveTheSameBytes) {
  const NeuronpediaSize a = write_neuronpedia(model().input, model() / "first");
  create_folder(model() / "second");
  write_file_atomic(model() / "second" / "batch-0007.json", "of an earlier export");
  const NeuronpediaSize b = write_neuronpedia(model().input, model() / "second");
  EXPECT_FALSE(std::filesystem::exists(model() / "second" / "batch-0007.json"));
  for (size_t i = 0; i < a.files.size(); ++i) {
    EXPECT_EQ(read_file(a.files[i]), read_file(b.files.at(i)));
  }
}

TEST(NeuronpediaExport, ReadsExplanationsAndSaysWhatIsWrongWithOthers) {
  const TemporaryFolder folder;
  const auto read = [&](const std::string& content, const std::string& key = "text") {
    write_file_atomic(folder / "explanations.json", content);
    FeatureExplanations explanations = {{1, {"before"}}};
    add_explanations(folder / "explanations.json", key, 10, explanations);
    return explanations;
  };
  EXPECT_EQ(read(R"({"features": [{"feature": 1, "text": "a", "score": 0.83},
                     {"feature": 9, "text": "b"}, {"feature": 2, "text": null},
                     {"feature": 3, "text": ""}, {"feature": 4}]})"),
            (FeatureExplanations{{1, {"before", "a"}}, {9, {"b"}}}));
  EXPECT_EQ(read(R"({"features": [{"feature": 2, "explanation": "c"}]})", "explanation"),
            (FeatureExplanations{{1, {"before"}}, {2, {"c"}}}));
  for (const auto& [content, message] : std::map<std::string, std::string>{
           {"{", "no JSON"},
           {"[]", "no list of features"},
           {R"({"features": 3})", "no list of features"},
           {R"({"features": [7]})", "without the number"},
           {R"({"features": [{"feature": "1"}]})", "without the number"},
           {R"({"features": [{"feature": 10}]})", "feature 10, but the model has 10 features"},
           {R"({"features": [{"feature": -1}]})", "feature -1"}}) {
    const std::string wrong = content;
    EXPECT_THAT([&] { read(wrong); }, ThrowsMessage<Error>(HasSubstr(message))) << wrong;
  }
}

TEST(NeuronpediaExport, RefusesActivationsOfAnotherText) {
  NeuronpediaExport input = model().input;
  TokenShard shorter = model().text;
  shorter.tokens.resize(50);
  std::erase_if(shorter.document_starts, [](int64_t start) { return start >= 50; });
  const TemporaryFolder folder;
  input.tokens = folder / "tokens.safetensors";
  save_token_shard(shorter, input.tokens);
  EXPECT_THAT([&] { write_neuronpedia(input, folder / "out"); },
              ThrowsMessage<Error>(HasSubstr("was it encoded on another text?")));
}

}  // namespace
}  // namespace featflow
