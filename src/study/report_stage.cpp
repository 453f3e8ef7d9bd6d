#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/hash.hpp"
#include "report/report.hpp"
#include "report/results_database.hpp"
#include "storage/files.hpp"
#include "study/canonical.hpp"
#include "study/language_model_run.hpp"
#include "study/stages.hpp"

namespace featflow {
namespace {

using nlohmann::json;

const char* kind_of(const ModelSettings& model) {
  if (model.merged()) return "merged";
  if (model.loaded()) return "loaded";
  return model.parent.empty() ? "pre-trained" : "fine-tuned";
}

ReportModel report_model(const ModelSettings& model, const StageContext& context) {
  ReportModel out;
  out.name = model.name;
  out.parents = model.parents();
  out.kind = kind_of(model);
  const auto folder = context.input("model/" + model.name);
  if (model.merged()) {
    const json merge = json::parse(read_file(folder / "merge.json"));
    out.method =
        fmt::format("{}, t = {:.3f}", merge["method"].get<std::string>(), merge["t"].get<double>());
  }
  out.corpora.assign(model.corpora.begin(), model.corpora.end());
  out.parameters =
      parse_model_config(read_file(folder / "config.json"), (folder / "config.json").string())
          .parameter_count();
  if (!model.merged() && !model.loaded()) {
    out.tokens_trained = model.training.tokens;
    out.metrics = folder / "metrics.jsonl";
  }
  out.evaluation = context.input("evaluation/" + model.name) / "evaluation.json";
  out.autoencoder_evaluation =
      context.input("autoencoder_evaluation/" + model.name) / "evaluation.json";
  out.activations = context.input("activations/" + model.name);
  out.explanations = context.input("explanations/" + model.name) / "explanations.json";
  out.logit_weights = context.input("logit_weights/" + model.name) / "logit_weights.json";
  return out;
}

ReportControl report_control(const ModelSettings& control) {
  using Nature = ReportControl::Nature;
  return {control.control_of, control.name,
          control.random_weights                 ? Nature::kRandomWeights
          : control.parent == control.control_of ? Nature::kOwnText
                                                 : Nature::kAnotherSeed};
}

// The methods that a merged model is compared with, with every sweep that there is.
ReportComparison report_comparison(const ModelSettings& merged, const StageContext& context) {
  ReportComparison comparison{context.input("retained/" + merged.name) / "retained.json", {}};
  const auto add = [&](const ModelSettings& merge) {
    if (!merge.merge.balanced()) return;
    comparison.sweeps.push_back({merge.name, context.input("sweep/" + merge.name) / "sweep.json"});
  };
  add(merged);
  for (const ModelSettings& other : compared_merges(merged)) add(other);
  return comparison;
}

// How the study was set up, for the foot of the report.
std::vector<std::pair<std::string, std::string>> facts(const Study& study) {
  const AutoencoderSettings& sae = study.autoencoder;
  return {
      {"seed", fmt::format("{}", study.seed)},
      {"matching threshold τ", fmt::format("{}", study.matching.threshold)},
      {"measurable", fmt::format("active on at least {} tokens in {} documents",
                                 study.matching.minimum_tokens, study.matching.minimum_documents)},
      {"autoencoders", fmt::format("expansion {}, λ = {}, {} tokens in blocks of {}, {} mixture",
                                   sae.training.expansion, sae.training.l1_coefficient, sae.tokens,
                                   sae.block_size, sae.mixture)},
      {"tap", sae.tap}};
}

// Everything that the report is made from, out of the stages before it.
ReportInputs report_inputs(const Study& study, const StageContext& context) {
  ReportInputs report;
  report.study = study.name;
  report.facts = facts(study);
  report.limits = measurable_limits(study);
  report.budget.examples = study.report.examples;
  report.budget.before = report.budget.after = study.report.context_tokens;
  const auto run_folder = context.folder.parent_path().parent_path();
  report.warnings = study_warnings(study, run_folder);
  for (const ModelSettings& model : study.family()) {
    report.models.push_back(report_model(model, context));
    report.models.back().language_model_explanations =
        current_language_model_explanations(run_folder, model.name);
    if (model.merged() && model.merge.balanced()) {
      report.sweeps.push_back({model.name, context.input("sweep/" + model.name) / "sweep.json"});
    }
    if (!model.merge.compare.empty()) {
      report.comparisons.push_back(report_comparison(model, context));
    }
  }
  for (const ModelSettings& model : study.models) {
    if (model.control()) report.controls.push_back(report_control(model));
  }
  if (study.controls.causal_features > 0) {
    for (const auto& [parent, child] : study.edges()) {
      report.causal.push_back(context.input("causal/" + edge_name(parent, child)) / "causal.json");
    }
  }
  for (const auto& [a, b] : family_pairs(study)) {
    report.matches.push_back(context.input("matching/" + edge_name(a, b)));
  }
  for (const ModelSettings& model : study.family()) {
    for (const std::string& parent : model.parents()) {
      const json edge = json::parse(
          read_file(context.input("matching/" + parent + "--" + model.name) / "edge.json"));
      if (!edge["chance_parents"].is_null()) {
        report.nulls.push_back({parent, model.name, edge["chance_parents"]});
      }
    }
  }
  report.flow = context.input("flow/flow") / "flow.json";
  report.tokens = context.input("matching_text/matching_text") / "tokens.safetensors";
  report.tokenizer = context.input("tokenizer/tokenizer");
  if (!study.case_studies.tokens.empty()) {
    report.case_studies = context.input("case_studies/case_studies") / "case_studies.json";
  }
  if (!study.autoencoder.l1_table.empty()) {
    report.lambda_table = context.folder / "lambda_table.json";
    write_file_atomic(report.lambda_table, lambda_rows(study, run_folder).dump(2) + "\n");
  }
  return report;
}

}  // namespace

void add_report_stage(const Study& study, const std::filesystem::path& run, StageGraph& graph) {
  Stage stage;
  stage.kind = "report";
  stage.name = "report";
  stage.version = 3;
  stage.inputs = {"flow/flow", "matching_text/matching_text", "tokenizer/tokenizer"};
  json models = json::array(), controls = json::array();
  for (const ModelSettings& model : study.family()) {
    const auto said = language_model_explanations_file(run, model.name);
    if (!run.empty() && std::filesystem::exists(said)) {
      stage.external["language_model/" + model.name] = hash_file(said);
    }
    for (const char* kind : {"model", "evaluation", "autoencoder_evaluation", "activations",
                             "explanations", "logit_weights"}) {
      stage.inputs.push_back(std::string(kind) + "/" + model.name);
    }
    if (model.merged() && model.merge.balanced()) stage.inputs.push_back("sweep/" + model.name);
    for (const ModelSettings& other : compared_merges(model)) {
      if (other.merge.balanced()) stage.inputs.push_back("sweep/" + other.name);
    }
    if (model.extension_share > 0) stage.inputs.push_back("extension/" + model.name);
    models.push_back({{"name", model.name},
                      {"parents", model.parents()},
                      {"corpora", model.corpora},
                      {"tokens", model.training.tokens}});
  }
  for (const ModelSettings& model : study.models) {
    if (!model.control()) continue;  // the warnings are about them too
    stage.inputs.push_back("evaluation/" + model.name);
    stage.inputs.push_back("autoencoder_evaluation/" + model.name);
    if (model.extension_share > 0) stage.inputs.push_back("extension/" + model.name);
    controls.push_back({model.name, model.control_of, model.parent, model.random_weights});
  }
  for (const Stage& earlier : graph.stages()) {
    if (earlier.kind == "matching" || earlier.kind == "case_studies" ||
        earlier.kind == "retained" || earlier.kind == "causal" ||
        (earlier.kind == "autoencoder_evaluation" && earlier.name.find('@') != std::string::npos)) {
      stage.inputs.push_back(earlier.id());
    }
  }
  stage.config = json{{"study", study.name},
                      {"facts", facts(study)},
                      {"models", models},
                      {"controls", controls},
                      {"report", canonical(study.report)}}
                     .dump();
  stage.estimated_seconds =  // mostly which features are active together
      2 + 1.3e-5 * static_cast<double>(study.matching.tokens * std::ssize(models));
  stage.estimated_bytes = 25 << 20;
  stage.run = [&study](const StageContext& context) {
    const ReportInputs report = report_inputs(study, context);
    write_report(report, context.folder / kReportFile);
    write_results_database(report, context.folder / kResultsFile);
  };
  graph.add(std::move(stage));
}

}  // namespace featflow
