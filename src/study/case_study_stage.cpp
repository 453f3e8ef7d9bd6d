#include <nlohmann/json.hpp>

#include "features/case_study.hpp"
#include "storage/files.hpp"
#include "study/estimates.hpp"
#include "study/hypotheses.hpp"
#include "study/stages.hpp"

namespace featflow {

using nlohmann::json;

// The paper's Section 4.2 for each hypothesis of the study.
void add_case_study_stage(const Study& study, StageGraph& graph) {
  if (study.case_studies.tokens.empty()) return;
  Stage stage;
  stage.kind = "case_studies";
  stage.name = "case_studies";
  stage.version = 2;
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
