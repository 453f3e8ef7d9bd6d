#include <algorithm>
#include <nlohmann/json.hpp>

#include "activations/matching_text.hpp"
#include "core/rng.hpp"
#include "matching/significance.hpp"
#include "storage/files.hpp"
#include "study/estimates.hpp"
#include "study/stages.hpp"

namespace featflow {
namespace {

using nlohmann::json;

// The token of each row.
std::vector<int32_t> tokens_of_rows(const FeatureActivations& activations,
                                    const MatchingText& text) {
  std::vector<int32_t> tokens;
  tokens.reserve(activations.token_positions.size());
  for (const int64_t position : activations.token_positions) {
    tokens.push_back(text.tokens.tokens.at(static_cast<size_t>(position)));
  }
  return tokens;
}

// Definitions 16: the matches along one edge, held against each null.
void add_nulls(const Study& study, const std::string& parent, const std::string& child,
               StageGraph& graph) {
  const ControlSettings& controls = study.controls;
  const uint64_t seed = derive_seed(study.seed, "nulls/" + edge_name(parent, child));
  std::vector<std::string> untrained;
  for (const ModelSettings& model : study.models) {
    if (model.random_weights) untrained.push_back(model.name);
  }
  Stage stage;
  stage.kind = "nulls";
  stage.name = edge_name(parent, child);
  stage.config = json{
      {"runs", controls.null_runs},
      {"false_discovery_rate", controls.false_discovery_rate},
      {"threshold", study.matching.threshold},
      {"minimum_tokens", study.matching.minimum_tokens},
      {"minimum_documents", study.matching.minimum_documents},
      {"untrained", untrained},
      {"seed", seed}}.dump();
  stage.inputs = {"activations/" + parent, "activations/" + child, "matching_text/matching_text"};
  for (const std::string& model : untrained) stage.inputs.push_back("activations/" + model);
  stage.estimated_seconds =
      2 * static_cast<double>(controls.null_runs) * correlation_seconds(study.matching.tokens);
  stage.estimated_bytes = 1 << 20;
  stage.estimated_memory = 6 * activations_memory(study.matching.tokens);
  stage.run = [&study, &controls, parent, child, untrained, seed](const StageContext& context) {
    const auto load = [&](const std::string& model) {
      return load_feature_activations(context.input("activations/" + model));
    };
    const FeatureActivations a = load(parent), b = load(child);
    NullOptions options;
    options.runs = controls.null_runs;
    options.seed = seed;
    options.correlation.limits = measurable_limits(study);
    options.correlation.memory_bytes = parse_bytes(study.matching.memory, "matching.memory");
    options.correlation.progress_label = parent + " → " + child;
    const BestCorrelations observed = best_correlations(a, b, options.correlation);

    nlohmann::ordered_json nulls = nlohmann::ordered_json::array();
    const auto hold_against = [&](const NullMaxima& null) {
      nulls.push_back(to_json(
          significance(observed, null, {study.matching.threshold, controls.false_discovery_rate})));
    };
    options.correlation.progress_label = parent + " shifted → " + child;
    hold_against(shifted_rows_null(a, b, options));
    options.correlation.progress_label = parent + " among equal tokens → " + child;
    hold_against(same_token_null(
        a, b, tokens_of_rows(a, load_matching_text(context.input("matching_text/matching_text"))),
        options));
    if (!untrained.empty()) {
      std::vector<FeatureActivations> others;
      std::ranges::transform(untrained, std::back_inserter(others), load);
      std::vector<const FeatureActivations*> random_models;
      for (const FeatureActivations& other : others) random_models.push_back(&other);
      options.correlation.progress_label = "untrained";
      hold_against(random_model_null(a, b, random_models, options.correlation));
    }
    write_file_atomic(context.folder / "nulls.json", nulls.dump(2) + "\n");
  };
  graph.add(std::move(stage));
}

}  // namespace

void add_null_stages(const Study& study, StageGraph& graph) {
  for (const auto& [parent, child] : study.edges()) {
    if (names_edge(study.controls.nulls, parent, child)) add_nulls(study, parent, child, graph);
  }
}

}  // namespace featflow
