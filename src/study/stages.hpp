#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "features/statistics.hpp"
#include "study/matching_options.hpp"
#include "study/settings.hpp"
#include "study/stage_graph.hpp"

namespace featflow {

/// The whole study as a graph of stages, in the order in which they run. Reads the outside files
/// (to hash them), writes nothing. Throws Error if one is missing. `run`, if there is one already,
/// may hold explanations by a language model, which the report shows.
///
///   corpus/X → tokenizer/tokenizer → tokens/X → model/M → evaluation/M, extension/M, sweep/M
///   tokens/* → matching_text/matching_text
///   model/M → autoencoder/M → autoencoder_evaluation/M, activations/M
///   X+method of a merged X: sweep, model, evaluation; with autoencoder/parents → retained/X
///   activations/A, B → matching/A--B → flow/flow → case_studies/case_studies → report/report
///   of edges in [controls]: activations/* → nulls/A--B; matching/* → verdict/A--B → flow/flow
///   matching/A--B, case_studies/case_studies, model/A, B → causal/A--B
///   flow/flow, activations/M, model/M → explanations/M → report/report
///   model/M, autoencoder/M → logit_weights/M → report/report
StageGraph build_stages(const Study& study, const std::filesystem::path& run = {});

// The parts of build_stages, in order.
void check_loaded_models(const Study& study);  // their folders and tokenizers
void add_text_stages(const Study& study, StageGraph& graph);
void add_model_stages(const Study& study, StageGraph& graph);
void add_autoencoder_stages(const Study& study, StageGraph& graph);
void add_matching_stages(const Study& study, StageGraph& graph);
void add_null_stages(const Study& study, StageGraph& graph);
void add_verdict_stages(const Study& study, StageGraph& graph);
void add_merge_comparison_stages(const Study& study, StageGraph& graph);
void add_flow_stage(const Study& study, StageGraph& graph);
void add_case_study_stage(const Study& study, StageGraph& graph);
void add_causal_stages(const Study& study, StageGraph& graph);
void add_explanation_stages(const Study& study, StageGraph& graph);
void add_report_stage(const Study& study, const std::filesystem::path& run, StageGraph& graph);

/// An autoencoder of the study: artefact autoencoder/NAME.
struct AutoencoderVariant {
  std::string
      name;  ///< "Lua"; "Lua@BabyPython": of Lua, on BabyPython's text; "Lua@0.001": with λ.
  std::string model;    ///< Whose activations it explains.
  std::string text_of;  ///< The model on whose corpora it is trained.
  double l1_coefficient = 0;
};
AutoencoderVariant own_autoencoder(const Study& study, const std::string& model);
/// One more, with a seed of its own, for ceilings (definitions 14): with C for the child of an edge
/// and P for its parent, P′ = P@C, C′ = C@C, P″ = P@P.
AutoencoderVariant further_autoencoder(const Study& study, const std::string& model,
                                       const std::string& text_of);
/// Those of all edges in controls.ceilings, each once.
std::vector<AutoencoderVariant> ceiling_autoencoders(const Study& study);

/// What the verdict on an edge from P to C is made from, beside P--C itself: P--P′, P--C′, C--C′,
/// P′--C, P--P″.
std::vector<std::pair<std::string, std::string>> verdict_pairs(const Study& study,
                                                               const std::string& parent,
                                                               const std::string& child);

/// Every pair of members of the family, the earlier one first.
std::vector<std::pair<std::string, std::string>> family_pairs(const Study& study);

/// model/M of a merged M, after sweep/M if it is at the balance point. M need not be in the study.
void add_merged_model(const Study& study, const ModelSettings& merged, StageGraph& graph);
/// evaluation/M: accuracy and loss on the validation split of every corpus. M as above.
void add_model_evaluation(const Study& study, const ModelSettings& model, StageGraph& graph);
/// The one model that both parents were fine-tuned from; empty if there is none.
std::string common_base(const Study& study, const ModelSettings& merged);
/// `merge.compare` as models of their own beside `merged`, "X+ties", each at its own balance point
/// with its default scale and compare_density. The method of `merged` itself is not among them.
std::vector<ModelSettings> compared_merges(const ModelSettings& merged);

/// One row for each λ of autoencoder.l1_table and the usual one, ascending: the evaluation.json of
/// the first model's autoencoder trained with it.
nlohmann::json lambda_rows(const Study& study, const std::filesystem::path& run);

/// One report/report artefact: its page.
inline constexpr const char* kReportFile = "report.html";

/// What the finished study found, in lines for people: accuracies and gains, merge, autoencoders,
/// flow, and a warning for each bar that was missed.
std::string summarize(const Study& study, const std::filesystem::path& run);
/// The warnings alone. Both read the stage files before the report's.
std::vector<std::string> study_warnings(const Study& study, const std::filesystem::path& run);

}  // namespace featflow
