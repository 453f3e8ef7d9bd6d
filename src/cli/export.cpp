#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "activations/logit_weights.hpp"
#include "activations/tap_position.hpp"
#include "autoencoder/saelens.hpp"
#include "checkpoint/checkpoint.hpp"
#include "cli/command.hpp"
#include "core/error.hpp"
#include "core/log.hpp"
#include "core/nearest.hpp"
#include "report/delphi_cache.hpp"
#include "report/neuronpedia_export.hpp"
#include "storage/artifact.hpp"
#include "study/language_model_run.hpp"
#include "study/run_folder.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr char kNeuronpedia[] = "neuronpedia", kDelphi[] = "delphi";

struct ExportOptions {
  std::string run, format, out, model_id, source_set = "featflow";
  std::vector<std::string> models;
  int64_t examples = 40, context = 0, splits = 5;
  bool force = false;

  int64_t context_or(int64_t otherwise) const { return context > 0 ? context : otherwise; }
};

// The models asked for, or the family.
std::vector<std::string> chosen_models(const Study& study, const std::vector<std::string>& asked) {
  std::vector<std::string> names, chosen;
  for (const ModelSettings& model : study.models) names.push_back(model.name);
  for (const std::string& name : asked) {
    if (std::ranges::find(names, name) == names.end()) {
      throw Error(fmt::format("--model {}: no such model in study {}; {}", in_quotes(name),
                              study.name, expected_name(name, names)));
    }
    if (std::ranges::find(chosen, name) == chosen.end()) chosen.push_back(name);
  }
  if (!asked.empty()) return chosen;
  for (const ModelSettings& model : study.family()) chosen.push_back(model.name);
  return chosen;
}

fs::path input(const ExportOptions& options, const std::string& id) {
  return stage_folder(options.run, id, "activations");
}

// Explanations by rule of the features that there are now; empty if there are none.
fs::path current_explanations(const fs::path& run, const std::string& model) {
  const auto explained = read_artifact(run / "explanations" / model);
  const auto activations = read_artifact(run / "activations" / model);
  if (!explained || !activations) return {};
  const auto input = explained->inputs.find("activations/" + model);
  if (input != explained->inputs.end() && input->second == activations->fingerprint()) {
    return run / "explanations" / model / "explanations.json";
  }
  log_warning(
      fmt::format("{}: of features that are no more; not used. featflow explain {} makes the "
                  "present ones",
                  (run / "explanations" / model).string(), run.string()));
  return {};
}

// Explanations by rule, then by a language model, as far as the run has them.
FeatureExplanations explanations_of(const ExportOptions& options, const std::string& model,
                                    int64_t feature_count) {
  FeatureExplanations explanations;
  const fs::path run = options.run;
  for (const auto& [file, key] :
       {std::pair(current_explanations(run, model), "text"),
        std::pair(current_language_model_explanations(run, model), "explanation")}) {
    if (fs::exists(file)) add_explanations(file, key, feature_count, explanations);
  }
  return explanations;
}

std::vector<TokenLogit> token_logits(const std::vector<int32_t>& tokens,
                                     const std::vector<float>& weights) {
  std::vector<TokenLogit> logits;
  for (size_t i = 0; i < tokens.size(); ++i) logits.push_back({tokens[i], weights[i]});
  return logits;
}

Json export_to_neuronpedia(const ExportOptions& options, const Study& study,
                           const std::string& model) {
  const Checkpoint checkpoint = load_checkpoint(input(options, "model/" + model));
  const Autoencoder autoencoder = load_saelens(input(options, "autoencoder/" + model)).autoencoder;
  const std::string& tap = study.autoencoder.tap;
  NeuronpediaExport features;
  features.model_id = options.model_id.empty() ? model : options.model_id;
  features.source =
      fmt::format("{}-{}", tap_position(checkpoint.config, tap).layer, options.source_set);
  features.activations = input(options, "activations/" + model);
  features.tokens = input(options, "matching_text/matching_text") / "tokens.safetensors";
  features.tokenizer = input(options, "tokenizer/tokenizer");
  features.examples = options.examples;
  features.context = options.context_or(features.context);
  features.explanations = explanations_of(options, model, autoencoder.feature_count);
  features.logits = [&](std::span<const int32_t> batch) {
    std::vector<FeatureLogits> logits;
    for (const LogitTokens& tokens :
         top_logit_tokens(checkpoint, autoencoder, tap, batch, kNeuronpediaLogits)) {
      logits.push_back({token_logits(tokens.promoted, tokens.promoted_weights),
                        token_logits(tokens.suppressed, tokens.suppressed_weights)});
    }
    return logits;
  };
  const fs::path folder = fs::path(options.out) / model;
  const NeuronpediaSize size = write_neuronpedia(features, folder);
  return {{"model", model},
          {"folder", folder.string()},
          {"source", features.source},
          {"features", size.features},
          {"silent", size.silent},
          {"explained", size.explained},
          {"files", size.files.size()}};
}

Json export_to_delphi(const ExportOptions& options, const Study& study, const std::string& model) {
  DelphiCache cache;
  cache.module = study.autoencoder.tap;
  cache.model_name = fs::absolute(input(options, "model/" + model)).lexically_normal().string();
  cache.dataset = study.name;
  cache.context = options.context_or(cache.context);
  cache.splits = options.splits;
  const TokenShard text =
      load_token_shard(input(options, "matching_text/matching_text") / "tokens.safetensors");
  const ActivationShards activations(input(options, "activations/" + model));
  const fs::path folder = fs::path(options.out) / model;
  const DelphiCacheSize size = write_delphi_cache(activations, text, cache, folder);
  return {{"model", model},
          {"folder", folder.string()},
          {"features", activations.feature_count()},
          {"contexts", size.contexts},
          {"context", cache.context},
          {"entries", size.entries},
          {"entries_left_out", size.entries_left_out},
          {"tokens_left_out", size.tokens_left_out},
          {"files", size.files.size()}};
}

void print(const Json& model, bool delphi) {
  const auto count = [&](const char* key) { return model[key].get<int64_t>(); };
  if (delphi) {
    fmt::print("{}: {} activations of {} features in {} contexts of {} tokens, {} files\n",
               model["folder"].get<std::string>(), count("entries"), count("features"),
               count("contexts"), count("context"), count("files"));
  } else {
    fmt::print("{}: {} features in {} files, {} explained; {} are silent and left out\n",
               model["folder"].get<std::string>(), count("features"), count("files"),
               count("explained"), count("silent"));
  }
}

void export_run(const ExportOptions& options, const CommonOptions& common) {
  require_new(options.out, options.force);
  const bool delphi = options.format == kDelphi;
  const Study study = load_run(options.run).study;
  const std::vector<std::string> models = chosen_models(study, options.models);
  if (!options.model_id.empty() && models.size() != 1) {
    throw Error(
        fmt::format("--model-id {}: it names one model, but {} are to be exported; expected "
                    "one --model",
                    in_quotes(options.model_id), models.size()));
  }
  constexpr int64_t kWidest = (kNeuronpediaTokens - 1) / 2;
  if (!delphi && options.context > kWidest) {
    throw Error(
        fmt::format("--context {}: Neuronpedia takes {} tokens of an example; expected at "
                    "most {} on either side",
                    options.context, kNeuronpediaTokens, kWidest));
  }
  Json results = Json::array();
  for (const std::string& model : models) {
    log_info(fmt::format("{}", model));
    results.push_back(delphi ? export_to_delphi(options, study, model)
                             : export_to_neuronpedia(options, study, model));
    if (!common.json) print(results.back(), delphi);
  }
  if (common.json) {
    print_json({{"out", options.out}, {"format", options.format}, {"models", results}});
  }
}

void refuse_options_of_the_other_format(const CLI::App& command, const std::string& format) {
  for (const auto& [name, of] : {std::pair("--examples", kNeuronpedia),
                                 {"--model-id", kNeuronpedia},
                                 {"--source-set", kNeuronpedia},
                                 {"--splits", kDelphi}}) {
    if (command.count(name) > 0 && format != of) {
      throw Error(
          fmt::format("{}: it belongs to --format {}, but {} was asked for", name, of, format));
    }
  }
}

}  // namespace

void add_export(CLI::App& app, CommonOptions& common) {
  auto options = std::make_shared<ExportOptions>();
  CLI::App* command =
      add_command(app, "export", "A run's features for other tools: Neuronpedia, delphi",
                  "featflow export runs/quick --format neuronpedia --out features\n"
                  "  featflow export runs/quick --format delphi --model Lua --out latents",
                  common);
  command->add_option("run", options->run, "Run folder with its features encoded")->required();
  command
      ->add_option("--format", options->format,
                   "neuronpedia: batches to upload; delphi: its cache of activations")
      ->required()
      ->check(CLI::IsMember({kNeuronpedia, kDelphi}));
  command->add_option("--out", options->out, "Folder to write, one folder in it for each model")
      ->required();
  command->add_option("--model", options->models, "Repeatable (default: the whole family)")
      ->allow_extra_args(false);
  command
      ->add_option("--context", options->context,
                   "neuronpedia: tokens on either side of an example (32); delphi: tokens of a "
                   "context (256)")
      ->check(CLI::Range(1, 65536));
  command->add_option("--examples", options->examples, "neuronpedia: examples of each feature")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command
      ->add_option("--splits", options->splits, "delphi: files that the features are divided over")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  command->add_option("--model-id", options->model_id,
                      "neuronpedia: its name of the model (default: the model's)");
  command
      ->add_option("--source-set", options->source_set,
                   "neuronpedia: the source is LAYER-SOURCESET")
      ->capture_default_str();
  command->add_flag("--force", options->force, "Replace the files of an existing folder");
  command->callback([options, command, &common] {
    common.apply();
    refuse_options_of_the_other_format(*command, options->format);
    export_run(*options, common);
  });
}

}  // namespace featflow
