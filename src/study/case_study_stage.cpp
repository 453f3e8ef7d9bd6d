#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "activations/matching_text.hpp"
#include "features/case_study.hpp"
#include "storage/files.hpp"
#include "study/estimates.hpp"
#include "study/hypotheses.hpp"
#include "study/stages.hpp"

namespace featflow {

using nlohmann::json;

TokenSet token_set_of_hypothesis(const Tokenizer& tokenizer, const std::string& hypothesis) {
  if (hypothesis.size() > 2 && hypothesis.front() == '/' && hypothesis.back() == '/') {
    return token_set_of_pattern(tokenizer, hypothesis.substr(1, hypothesis.size() - 2));
  }
  return token_set_of_word(tokenizer, hypothesis);
}

std::vector<CaseStudy> case_studies_of(const Study& study, const ArtifactFolder& input,
                                       const std::vector<std::string>& hypotheses) {
  const std::vector<ModelSettings> members = study.family();
  const MatchingText text = load_matching_text(input("matching_text/matching_text"));
  const Tokenizer tokenizer = Tokenizer::load(input("tokenizer/tokenizer"));
  std::vector<TokenSet> sets;  // first, so that a mistake in one costs nothing
  for (const std::string& hypothesis : hypotheses) {
    sets.push_back(token_set_of_hypothesis(tokenizer, hypothesis));
  }
  std::vector<FeatureActivations> activations;
  std::vector<FeatureStatistics> statistics;
  for (const ModelSettings& model : members) {
    activations.push_back(load_feature_activations(input("activations/" + model.name)));
    statistics.push_back(feature_statistics(activations.back()));
  }
  std::vector<CaseStudyModel> models;
  std::vector<std::pair<int, int>> family;
  for (size_t child = 0; child < members.size(); ++child) {
    models.push_back({members[child].name, &activations[child], &statistics[child]});
    for (size_t parent = 0; parent < child; ++parent) {
      const auto parents = members[child].parents();
      if (std::ranges::find(parents, members[parent].name) != parents.end()) {
        family.emplace_back(static_cast<int>(parent), static_cast<int>(child));
      }
    }
  }
  std::vector<CaseStudy> all;
  for (const TokenSet& set : sets) {
    all.push_back(case_study(set, models, family, text.tokens.tokens,
                             {study.matching.threshold, measurable_limits(study)}));
  }
  return all;
}

// The paper's Section 4.2 for each hypothesis of the study.
void add_case_study_stage(const Study& study, StageGraph& graph) {
  if (study.case_studies.tokens.empty()) return;
  Stage stage;
  stage.kind = "case_studies";
  stage.name = "case_studies";
  json edges = json::array();
  const std::vector<ModelSettings> members = study.family();
  for (const ModelSettings& model : members) {
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
  stage.estimated_memory = 2 * std::ssize(members) * activations_memory(study.matching.tokens);
  stage.run = [&study](const StageContext& context) {
    write_file_atomic(
        context.folder / "case_studies.json",
        case_studies_json(case_studies_of(study, context.input, study.case_studies.tokens)));
  };
  graph.add(std::move(stage));
}

}  // namespace featflow
