#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace featflow {

/// Features per upload, logits per side, tokens per activation and length of an explanation that
/// Neuronpedia takes.
inline constexpr int64_t kNeuronpediaBatch = 128;
inline constexpr int64_t kNeuronpediaLogits = 20;
inline constexpr int64_t kNeuronpediaTokens = 1024;
inline constexpr size_t kNeuronpediaExplanation = 512;

/// A token that a feature speaks for or against, and its logit weight.
struct TokenLogit {
  int32_t token = 0;
  float value = 0;
};
struct FeatureLogits {
  std::vector<TokenLogit> top, bottom;  ///< Strongest first.
};

/// Explanations by feature, in the order of the files that they come from.
using FeatureExplanations = std::map<int32_t, std::vector<std::string>>;

/// Adds those of {"features": [{"feature": j, `text_key`: "…"}]}; one without a text is left out.
/// Throws Error naming the file if it is of another form or names a feature that is not below
/// `feature_count`.
void add_explanations(const std::filesystem::path& file, const std::string& text_key,
                      int64_t feature_count, FeatureExplanations& explanations);

/// One model's features for Neuronpedia.
struct NeuronpediaExport {
  std::string model_id;  ///< What Neuronpedia calls the model; written in lower case, as it wants.
  std::string source;    ///< "<layer>-<source set>"; the same.
  std::filesystem::path activations, tokens, tokenizer;  ///< Of the run.
  int64_t examples = 40;  ///< Of each feature: half the strongest, the others spread over the rest.
  int64_t context = 32;   ///< Tokens on either side of an example's token.
  /// Logits of a batch of features; called from one thread. None: left out.
  std::function<std::vector<FeatureLogits>(std::span<const int32_t> features)> logits;
  FeatureExplanations explanations;
};

struct NeuronpediaSize {
  int64_t features = 0;
  int64_t silent = 0;     ///< Never active and so left out: an upload needs an activation.
  int64_t explained = 0;  ///< Features with an explanation.
  std::vector<std::filesystem::path> files;
};

/// Writes `folder`/batch-0000.json …, in place of those that are there, each the body of one POST
/// to /api/feature/upload-batch:
///   {"modelId", "source", "features": [{"index", "density", "topLogits": [{"token", "value"}],
///     "bottomLogits", "explanations": [{"text", "methodName": null, "modelName": null}],
///     "activations": [{"tokens": [text], "values": [number], "quantileMin", "quantileMax",
///       "quantileFraction"}]}]}
/// The strongest examples have null quantiles; of the others, quantileMin and quantileMax are the
/// weakest and strongest activation of the feature's equal share of active tokens that it was drawn
/// from, and quantileFraction that share. The same input gives the same bytes. Throws Error naming
/// the file if a stage file is malformed or belongs to another text.
NeuronpediaSize write_neuronpedia(const NeuronpediaExport& features,
                                  const std::filesystem::path& folder);

}  // namespace featflow
