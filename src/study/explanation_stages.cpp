#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "activations/harvest.hpp"
#include "activations/logit_weights.hpp"
#include "activations/matching_text.hpp"
#include "autoencoder/saelens.hpp"
#include "core/rng.hpp"
#include "explaining/explanations.hpp"
#include "explaining/path_groups.hpp"
#include "storage/files.hpp"
#include "study/estimates.hpp"
#include "study/stages.hpp"

namespace featflow {
namespace {

using nlohmann::json;

// Of what stands beside the explanations, so many features or neurons are scored.
constexpr int64_t kReferenceFeatures = 256;

// Evenly spaced, ascending.
std::vector<int32_t> spread_features(int64_t count) {
  std::vector<int32_t> chosen;
  const int64_t kept = std::min(count, kReferenceFeatures);
  for (int64_t i = 0; i < kept; ++i) chosen.push_back(static_cast<int32_t>(count * i / kept));
  return chosen;
}

ExplanationSummary score(const RuleSearch& search, const FeatureColumns& columns) {
  std::vector<int64_t> active;
  for (int64_t j = columns.first_feature; j < columns.end_feature(); ++j) {
    active.push_back(std::ssize(columns.column(j).rows));
  }
  return summarize(search.explain_all(columns), active);
}

// The positive part of some entries of the tap: what they are with a dictionary of unit vectors.
FeatureActivations neuron_activations(const Study& study, const StageContext& context,
                                      const std::string& model_name, const MatchingText& text) {
  const Model model(load_checkpoint(context.input("model/" + model_name)));
  const int64_t n = load_saelens(context.input("autoencoder/" + model_name)).autoencoder.input_size;
  const std::vector<int32_t> neurons = spread_features(n);
  Autoencoder identity;
  identity.input_size = n;
  identity.feature_count = std::ssize(neurons);
  identity.encoder_weight.assign(neurons.size() * static_cast<size_t>(n), 0);
  for (size_t j = 0; j < neurons.size(); ++j) {
    identity.encoder_weight[j * static_cast<size_t>(n) + static_cast<size_t>(neurons[j])] = 1;
  }
  identity.decoder_weight = identity.encoder_weight;
  identity.encoder_bias.assign(neurons.size(), 0);
  identity.decoder_bias.assign(static_cast<size_t>(n), 0);
  HarvestConfig config;
  config.tap = study.autoencoder.tap;
  config.block_size = study.autoencoder.block_size;
  config.model_name = config.autoencoder_name = model_name;
  FeatureActivations all;
  stream_activations(model, identity, text, config, [&](FeatureActivations batch) {
    if (all.rows.rows() == 0) {
      all = std::move(batch);
    } else {
      append_rows(all, batch);
    }
  });
  return all;
}

void add_groups(const Study& study, const FeatureStatistics& statistics,
                const std::filesystem::path& flow_json, ModelExplanations& out) {
  const std::vector<uint8_t> usable = measurable(statistics, measurable_limits(study));
  std::vector<int32_t> measurable_features;
  for (size_t j = 0; j < usable.size(); ++j) {
    if (usable[j] != 0) measurable_features.push_back(static_cast<int32_t>(j));
  }
  out.measurable_groups = group_shares(out.groups, measurable_features);
  const auto m = static_cast<size_t>(statistics.feature_count());
  for (size_t c = 0; c < statistics.corpus_names.size(); ++c) {
    out.corpus_groups.emplace_back(
        statistics.corpus_names[c],
        group_shares_by_mass(out.groups, std::span(statistics.corpus_mass).subspan(c * m, m)));
  }
  out.path_groups = path_groups(flow_json, out.model, out.groups);
}

void add_explanations(const Study& study, const std::string& name, StageGraph& graph) {
  const uint64_t seed = derive_seed(study.seed, "explanations/" + name);
  std::vector<std::string> untrained;
  for (const ModelSettings& model : study.models) {
    if (model.random_weights && model.control_of == name) untrained.push_back(model.name);
  }
  Stage stage;
  stage.kind = "explanations";
  stage.version = 2;
  stage.name = name;
  stage.inputs = {"activations/" + name,         "model/" + name,
                  "autoencoder/" + name,         "flow/flow",
                  "matching_text/matching_text", "tokenizer/tokenizer"};
  for (const std::string& model : untrained) stage.inputs.push_back("activations/" + model);
  stage.config = json{
      {"tap", study.autoencoder.tap},
      {"block_size", study.autoencoder.block_size},
      {"minimum_tokens", study.matching.minimum_tokens},
      {"minimum_documents", study.matching.minimum_documents},
      {"untrained", untrained},
      {"seed", seed}}.dump();
  stage.estimated_seconds = 3 + 2e-5 * static_cast<double>(study.matching.tokens) +
                            forward_seconds(study.architecture, study.matching.tokens);
  stage.estimated_bytes = 10 << 20;
  // Of the neurons about half are active in a row, 8 bytes each, and their transpose is held too.
  stage.estimated_memory = 3 * activations_memory(study.matching.tokens) +
                           study.matching.tokens * kReferenceFeatures * 8;
  stage.run = [&study, name, untrained, seed](const StageContext& context) {
    const MatchingText text = load_matching_text(context.input("matching_text/matching_text"));
    const Tokenizer tokenizer = Tokenizer::load(context.input("tokenizer/tokenizer"));
    const FeatureActivations activations =
        load_feature_activations(context.input("activations/" + name));
    const FeatureStatistics statistics = feature_statistics(activations);
    const TextAttributes attributes = text_attributes(
        text.tokens, activations.token_positions,
        [&](int32_t id) { return tokenizer.token_bytes(id); }, study.autoencoder.block_size,
        text.document_corpora, text.corpus_names);
    const std::vector<uint8_t> halves = document_halves(activations.documents, text.tokens);
    RuleOptions options;
    options.min_tokens = study.matching.minimum_tokens;
    const RuleSearch search(attributes, halves, options);

    ModelExplanations out;
    out.model = name;
    out.min_tokens = options.min_tokens;
    explain_features(activations, statistics, attributes, search,
                     parse_bytes(study.matching.memory, "matching.memory"), out);
    add_groups(study, statistics, context.input("flow/flow") / "flow.json", out);

    const std::vector<int32_t> order = shuffled_rows(halves, seed);
    out.references.emplace_back(
        "shuffled features",
        score(search, transpose(keep_features(activations.rows,
                                              spread_features(activations.rows.feature_count)),
                                {.row_order = order})));
    out.references.emplace_back(
        "MLP neurons",
        score(search, transpose(neuron_activations(study, context, name, text).rows)));
    for (const std::string& model : untrained) {
      const FeatureActivations other =
          load_feature_activations(context.input("activations/" + model));
      out.references.emplace_back(model, score(search, transpose(other.rows)));
    }
    write_file_atomic(
        context.folder / "explanations.json",
        explanations_json(out, attributes, [&](int32_t id) { return tokenizer.token_text(id); }));
  };
  graph.add(std::move(stage));
}

// The tokens that each feature speaks for and against: the report's, in the format of
// docs/formats.md.
void add_logit_weights(const Study& study, const std::string& name, StageGraph& graph) {
  Stage stage;
  stage.kind = "logit_weights";
  stage.name = name;
  stage.inputs = {"model/" + name, "autoencoder/" + name};
  stage.config = json{{"tap", study.autoencoder.tap}}.dump();
  stage.estimated_seconds = 3;
  stage.estimated_bytes = 3 << 20;
  stage.run = [&study, name](const StageContext& context) {
    const Checkpoint checkpoint = load_checkpoint(context.input("model/" + name));
    const Autoencoder autoencoder = load_saelens(context.input("autoencoder/" + name)).autoencoder;
    std::vector<int32_t> all(static_cast<size_t>(autoencoder.feature_count));
    std::iota(all.begin(), all.end(), 0);
    const std::vector<LogitTokens> tokens =
        top_logit_tokens(checkpoint, autoencoder, study.autoencoder.tap, all);
    json rows = json::array();
    for (size_t j = 0; j < tokens.size(); ++j) {
      rows.push_back(
          {{"feature", j}, {"promoted", tokens[j].promoted}, {"suppressed", tokens[j].suppressed}});
    }
    write_file_atomic(context.folder / "logit_weights.json",
                      json{{"model", name}, {"features", std::move(rows)}}.dump() + "\n");
  };
  graph.add(std::move(stage));
}

}  // namespace

// Definitions 21 and 22 for every member of the family.
void add_explanation_stages(const Study& study, StageGraph& graph) {
  for (const ModelSettings& model : study.family()) {
    add_explanations(study, model.name, graph);
    add_logit_weights(study, model.name, graph);
  }
}

}  // namespace featflow
