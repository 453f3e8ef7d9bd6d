#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "features/statistics.hpp"
#include "study/settings.hpp"
#include "study/stage_graph.hpp"

namespace featflow {

/// The whole study as a graph of stages, in the order in which they run. Reads the outside files
/// (to hash them), writes nothing. Throws Error if one is missing.
///
///   corpus/X → tokenizer/tokenizer → tokens/X → model/M → evaluation/M, extension/M, sweep/M
///   tokens/* → matching_text/matching_text
///   model/M → autoencoder/M → autoencoder_evaluation/M, activations/M
///   activations/A, B → matching/A--B → flow/flow → case_studies/case_studies → report/report
///   flow/flow, case_studies/case_studies, model/A, B → causal/A--B
StageGraph build_stages(const Study& study);

// The parts of build_stages, in order.
void add_text_stages(const Study& study, StageGraph& graph);
void add_model_stages(const Study& study, StageGraph& graph);
void add_autoencoder_stages(const Study& study, StageGraph& graph);
void add_matching_stages(const Study& study, StageGraph& graph);
void add_flow_stage(const Study& study, StageGraph& graph);
void add_case_study_stage(const Study& study, StageGraph& graph);
void add_causal_stages(const Study& study, StageGraph& graph);
void add_report_stage(const Study& study, StageGraph& graph);

MeasurableLimits measurable_limits(const Study& study);

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
