#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "activations/autoencoder_evaluation.hpp"
#include "activations/harvest.hpp"
#include "activations/model_source.hpp"
#include "autoencoder/saelens.hpp"
#include "autoencoder/trainer.hpp"
#include "core/error.hpp"
#include "core/log.hpp"
#include "core/rng.hpp"
#include "model/model.hpp"
#include "storage/files.hpp"
#include "study/canonical.hpp"
#include "study/estimates.hpp"
#include "study/stages.hpp"

namespace featflow {
namespace {

using nlohmann::json;

// All autoencoders of the study, the family's own first.
std::vector<AutoencoderVariant> autoencoders(const Study& study) {
  std::vector<AutoencoderVariant> all;
  const double usual = study.autoencoder.training.l1_coefficient;
  for (const ModelSettings& model : study.models) all.push_back(own_autoencoder(study, model.name));
  const std::string root = study.family().front().name;
  for (const double l1 : study.autoencoder.l1_table) {
    if (l1 != usual) all.push_back({fmt::format("{}@{}", root, l1), root, root, l1});
  }
  for (const AutoencoderVariant& variant : ceiling_autoencoders(study)) all.push_back(variant);
  return all;
}

int64_t input_size(const Study& study) {
  return tap_width(study.architecture, study.autoencoder.tap);
}

std::vector<std::string> inputs_of(const Study& study, const AutoencoderVariant& which) {
  std::vector<std::string> inputs = {"model/" + which.model};
  for (const std::string& corpus : study.corpora_seen(which.text_of)) {
    inputs.push_back("tokens/" + corpus);
  }
  return inputs;
}

// Of a text that is read many times the dead and the densities are those of one reading.
void warn_of_repeats(const BlockMixture& blocks, const std::string& autoencoder) {
  const std::vector<double> passes = blocks.epochs();
  for (size_t i = 0; i < passes.size(); ++i) {
    if (passes[i] < 1.5) continue;
    log_warning(
        fmt::format("autoencoder {}: the {} tokens of {}'s validation text are read {:.1f} times; "
                    "a smaller autoencoder.evaluation_tokens, or more text?",
                    autoencoder, blocks.components()[i].shard->size(),
                    blocks.components()[i].corpus, passes[i]));
  }
}

// One split of all corpora that the autoencoder reads, in its blocks.
std::shared_ptr<const BlockMixture> text_blocks(const Study& study, const StageContext& context,
                                                const AutoencoderVariant& which, const char* split,
                                                int64_t tokens, uint64_t seed) {
  const AutoencoderSettings& settings = study.autoencoder;
  std::vector<MixtureComponent> components;
  for (const std::string& corpus : study.corpora_seen(which.text_of)) {
    auto shard = std::make_shared<const TokenShard>(load_token_shard(
        context.input("tokens/" + corpus) / (std::string(split) + ".safetensors")));
    const double share = settings.mixture == "tokens" ? static_cast<double>(shard->size()) : 1.0;
    components.push_back({corpus, std::move(shard), share});
  }
  const int64_t batch_tokens = settings.block_size * settings.batch_blocks;
  const int64_t batches = (tokens + batch_tokens - 1) / batch_tokens;
  return std::make_shared<const BlockMixture>(std::move(components), settings.block_size,
                                              batches * settings.batch_blocks, seed);
}

void add_training(const Study& study, const AutoencoderVariant& which, StageGraph& graph) {
  // Definitions 4: no two autoencoders share a start or an order of data.
  const uint64_t seed = derive_seed(study.seed, "autoencoder/" + which.name);
  AutoencoderSettings settings = study.autoencoder;
  settings.training.l1_coefficient = which.l1_coefficient;
  Stage stage;
  stage.kind = "autoencoder";
  stage.name = which.name;
  json config = canonical(settings);
  config["seed"] = seed;
  config["corpora"] = study.corpora_seen(which.text_of);  // in the order in which blocks are drawn
  stage.config = config.dump();
  stage.inputs = inputs_of(study, which);
  const int64_t n = input_size(study);
  stage.estimated_seconds =
      autoencoder_seconds(n, n * settings.training.expansion, settings.tokens);
  stage.estimated_bytes = 8 * n * n * settings.training.expansion * 4;  // with its checkpoint
  stage.estimated_memory = autoencoder_memory(n, n * settings.training.expansion,
                                              settings.block_size * settings.batch_blocks);
  stage.run = [&study, which, settings, seed](const StageContext& context) {
    ModelActivationSource source(
        std::make_shared<const Model>(load_checkpoint(context.input("model/" + which.model))),
        settings.tap,
        text_blocks(study, context, which, "train", settings.tokens, derive_seed(seed, "blocks")),
        settings.batch_blocks);
    AutoencoderTraining training = settings.training;
    training.steps = source.batch_count();
    training.seed = seed;
    const Autoencoder trained =
        train_autoencoder(training, source, context.folder, "autoencoder " + which.name);
    SaelensInfo info;
    info.model_name = which.model;
    info.hook_name = settings.tap;
    info.context_size = settings.block_size;
    save_saelens(context.folder, trained, info);
  };
  graph.add(std::move(stage));
}

void add_evaluation(const Study& study, const AutoencoderVariant& which, StageGraph& graph) {
  Stage stage;
  stage.kind = "autoencoder_evaluation";
  stage.name = which.name;
  const uint64_t seed = derive_seed(study.seed, "autoencoder_evaluation/" + which.model);
  stage.config = json{
      {"tokens", study.autoencoder.evaluation_tokens},
      {"explained_loss_tokens", study.autoencoder.explained_loss_tokens},
      {"tap", study.autoencoder.tap},
      {"block_size", study.autoencoder.block_size},
      {"mixture", study.autoencoder.mixture},
      {"batch_blocks", study.autoencoder.batch_blocks},
      {"corpora", study.corpora_seen(which.text_of)},
      {"seed", seed}}.dump();
  stage.inputs = inputs_of(study, which);
  stage.inputs.push_back("autoencoder/" + which.name);
  const int64_t n = input_size(study);
  stage.estimated_seconds =
      encoding_seconds(n, n * study.autoencoder.training.expansion,
                       2 * study.autoencoder.evaluation_tokens) +
      forward_seconds(study.architecture, 5 * study.autoencoder.explained_loss_tokens);
  stage.run = [&study, which, seed](const StageContext& context) {
    const Autoencoder autoencoder =
        load_saelens(context.input("autoencoder/" + which.name)).autoencoder;
    const auto model =
        std::make_shared<const Model>(load_checkpoint(context.input("model/" + which.model)));
    const auto blocks =
        text_blocks(study, context, which, "validation", study.autoencoder.evaluation_tokens, seed);
    warn_of_repeats(*blocks, which.name);
    ModelActivationSource source(model, study.autoencoder.tap, blocks,
                                 study.autoencoder.batch_blocks);
    std::vector<std::pair<std::string, TokenShard>> texts;
    for (const std::string& corpus : study.corpora_seen(which.text_of)) {
      texts.emplace_back(
          corpus, load_token_shard(context.input("tokens/" + corpus) / "validation.safetensors"));
    }
    AutoencoderEvaluationConfig config;
    config.tap = study.autoencoder.tap;
    config.block_size = study.autoencoder.block_size;
    config.explained_loss_tokens = study.autoencoder.explained_loss_tokens;
    config.l1_coefficient = which.l1_coefficient;
    write_file_atomic(
        context.folder / "evaluation.json",
        to_json(evaluate_autoencoder(*model, autoencoder, source, texts, config)) + "\n");
  };
  graph.add(std::move(stage));
}

void add_activations(const Study& study, const AutoencoderVariant& which, StageGraph& graph) {
  Stage stage;
  stage.kind = "activations";
  stage.name = which.name;
  stage.config =
      json{{"tap", study.autoencoder.tap}, {"block_size", study.autoencoder.block_size}}.dump();
  stage.inputs = {"model/" + which.model, "autoencoder/" + which.name,
                  "matching_text/matching_text"};
  const int64_t n = input_size(study);
  stage.estimated_seconds =
      encoding_seconds(n, n * study.autoencoder.training.expansion, study.matching.tokens) +
      forward_seconds(study.architecture, study.matching.tokens);
  stage.estimated_bytes = study.matching.tokens * (40 * 6 + 20);  // about 40 active features a row
  const int64_t batch_tokens =
      study.autoencoder.block_size * blocks_of_batch(study.autoencoder.block_size);
  stage.estimated_memory = activations_memory(std::min(study.matching.tokens, kShardRows)) +
                           8 * n * n * study.autoencoder.training.expansion +
                           4 * study.architecture.parameter_count() +
                           12 * batch_tokens * study.architecture.intermediate_size;
  stage.run = [&study, which](const StageContext& context) {
    HarvestConfig config;
    config.tap = study.autoencoder.tap;
    config.block_size = study.autoencoder.block_size;
    // Two autoencoders of one model are told apart in its matches.
    config.model_name = which.name;
    config.autoencoder_name = which.name;
    harvest(Model(load_checkpoint(context.input("model/" + which.model))),
            load_saelens(context.input("autoencoder/" + which.name)).autoencoder,
            load_matching_text(context.input("matching_text/matching_text")), config,
            context.folder);
  };
  graph.add(std::move(stage));
}

// Before the models are trained, not after.
void check_settings(const Study& study) {
  const AutoencoderSettings& settings = study.autoencoder;
  check_autoencoder_training(settings.training);
  std::vector<double> table = settings.l1_table;  // each value is an autoencoder of its own
  std::ranges::sort(table);
  if ((!table.empty() && table.front() < 0) || std::ranges::adjacent_find(table) != table.end()) {
    throw Error(fmt::format("autoencoder.l1_table is [{}], expected different values of 0 or more",
                            fmt::join(settings.l1_table, ", ")));
  }
  input_size(study);  // refuses a tap that there is none of
  const int64_t most = study.architecture.max_position_embeddings;
  if (settings.block_size > most) {
    throw Error(
        fmt::format("autoencoder.block_size is {}, expected at most {}, the architecture's "
                    "max_position_embeddings",
                    settings.block_size, most));
  }
  const auto corpora = std::ssize(study.corpora);
  if (settings.explained_loss_tokens / corpora < settings.block_size) {
    throw Error(
        fmt::format("autoencoder.explained_loss_tokens is {}, expected at least {}: a block of "
                    "each corpus",
                    settings.explained_loss_tokens, corpora * settings.block_size));
  }
}

}  // namespace

AutoencoderVariant own_autoencoder(const Study& study, const std::string& model) {
  return {model, model, model, study.autoencoder.training.l1_coefficient};
}

AutoencoderVariant further_autoencoder(const Study& study, const std::string& model,
                                       const std::string& text_of) {
  return {model + "@" + text_of, model, text_of, study.autoencoder.training.l1_coefficient};
}

std::vector<AutoencoderVariant> ceiling_autoencoders(const Study& study) {
  std::vector<AutoencoderVariant> all;
  for (const auto& [parent, child] : study.edges()) {
    if (!names_edge(study.controls.ceilings, parent, child)) continue;
    for (const auto& [model, text_of] :
         {std::pair(parent, child), std::pair(child, child), std::pair(parent, parent)}) {
      AutoencoderVariant variant = further_autoencoder(study, model, text_of);
      if (std::ranges::find(all, variant.name, &AutoencoderVariant::name) == all.end()) {
        all.push_back(std::move(variant));
      }
    }
  }
  return all;
}

void add_autoencoder_stages(const Study& study, StageGraph& graph) {
  check_settings(study);
  for (const AutoencoderVariant& which : autoencoders(study)) {
    add_training(study, which, graph);
    add_evaluation(study, which, graph);
  }
  for (const ModelSettings& model : study.models) {
    add_activations(study, own_autoencoder(study, model.name), graph);
  }
  for (const AutoencoderVariant& which : ceiling_autoencoders(study)) {
    add_activations(study, which, graph);
  }
}

}  // namespace featflow
