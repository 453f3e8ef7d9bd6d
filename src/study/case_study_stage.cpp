#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "activations/matching_text.hpp"
#include "features/case_study.hpp"
#include "storage/files.hpp"
#include "study/stages.hpp"

namespace featflow {
namespace {

using nlohmann::json;

json score_json(const std::optional<TokenSetScore>& score) {
  if (!score) return {{"feature", nullptr}};
  return {{"feature", score->feature},
          {"llr_bits", score->bits},
          {"llr_nats", score->nats},
          {"active_bits", score->active_bits},
          {"mass_share", score->share},
          {"times_more_active_elsewhere", score->elsewhere},
          {"active_tokens", score->active_tokens},
          {"active_on_hypothesis", score->active_in_set},
          {"correlation_with_hypothesis", score->correlation}};
}

json to_json(const CaseStudy& study) {
  json models = json::array(), correlations = json::array(), edges = json::array();
  for (size_t i = 0; i < study.models.size(); ++i) {
    json model = score_json(study.best[i]);
    model["model"] = study.models[i];
    models.push_back(std::move(model));
  }
  for (const CaseStudy::Pair& pair : study.correlations) {
    correlations.push_back({{"a", pair.a}, {"b", pair.b}, {"correlation", pair.correlation}});
  }
  for (const CaseStudyEdge& edge : study.edges) {
    edges.push_back({{"parent", edge.parent},
                     {"child", edge.child},
                     {"correlation", edge.correlation ? json(*edge.correlation) : json()},
                     {"persists", edge.persists},
                     {"strongest_correlation", edge.strongest_correlation},
                     {"strongest", score_json(edge.strongest)}});
  }
  return {{"hypothesis", study.label},
          {"threshold", study.threshold},
          {"token_share", study.probability},
          {"bound_bits", study.bound_bits},
          {"occurrences", study.occurrences},
          {"models", models},
          {"correlations", correlations},
          {"mean_correlation", study.mean_correlation ? json(*study.mean_correlation) : json()},
          {"edges", edges},
          {"persists", study.persists}};
}

}  // namespace

// The paper's Section 4.2 for each hypothesis of the study.
void add_case_study_stage(const Study& study, StageGraph& graph) {
  if (study.case_studies.tokens.empty()) return;
  Stage stage;
  stage.kind = "case_studies";
  stage.name = "case_studies";
  json edges = json::array();
  for (const ModelSettings& model : study.models) {
    stage.inputs.push_back("activations/" + model.name);
    for (const std::string& parent : model.parents()) edges.push_back({parent, model.name});
  }
  stage.inputs.insert(stage.inputs.end(), {"matching_text/matching_text", "tokenizer/tokenizer"});
  stage.config = json{
      {"tokens", study.case_studies.tokens},
      {"threshold", study.matching.threshold},
      {"minimum_tokens", study.matching.minimum_tokens},
      {"minimum_documents", study.matching.minimum_documents},
      {"edges",
       edges}}.dump();
  stage.estimated_seconds = 5;
  stage.run = [&study](const StageContext& context) {
    const MatchingText text = load_matching_text(context.input("matching_text/matching_text"));
    const Tokenizer tokenizer = Tokenizer::load(context.input("tokenizer/tokenizer"));
    std::vector<FeatureActivations> activations;
    std::vector<FeatureStatistics> statistics;
    for (const ModelSettings& model : study.models) {
      activations.push_back(load_feature_activations(context.input("activations/" + model.name)));
      statistics.push_back(feature_statistics(activations.back()));
    }
    std::vector<CaseStudyModel> models;
    std::vector<std::pair<int, int>> family;
    for (size_t child = 0; child < study.models.size(); ++child) {
      models.push_back({study.models[child].name, &activations[child], &statistics[child]});
      for (size_t parent = 0; parent < child; ++parent) {
        const auto parents = study.models[child].parents();
        if (std::ranges::find(parents, study.models[parent].name) != parents.end()) {
          family.emplace_back(static_cast<int>(parent), static_cast<int>(child));
        }
      }
    }
    CaseStudyOptions options{study.matching.threshold, measurable_limits(study)};
    json all = json::array();
    for (const std::string& word : study.case_studies.tokens) {
      all.push_back(to_json(case_study(token_set_of_word(tokenizer, word), models, family,
                                       text.tokens.tokens, options)));
    }
    write_file_atomic(context.folder / "case_studies.json", all.dump(2) + "\n");
  };
  graph.add(std::move(stage));
}

}  // namespace featflow
