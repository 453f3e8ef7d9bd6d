#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "activations/autoencoder_evaluation.hpp"
#include "activations/harvest.hpp"
#include "activations/model_source.hpp"
#include "autoencoder/saelens.hpp"
#include "autoencoder/trainer.hpp"
#include "core/error.hpp"
#include "core/rng.hpp"
#include "storage/files.hpp"
#include "study/canonical.hpp"
#include "study/estimates.hpp"
#include "study/stages.hpp"

namespace featflow {
namespace {

using nlohmann::json;

// "BabyPython", or "BabyPython@0.001": an autoencoder of the λ table.
struct AutoencoderName {
  std::string model;
  double l1_coefficient = 0;
  bool of_table = false;

  std::string name() const {
    return of_table ? fmt::format("{}@{}", model, l1_coefficient) : model;
  }
};

std::vector<AutoencoderName> autoencoders(const Study& study) {
  std::vector<AutoencoderName> all;
  const double usual = study.autoencoder.training.l1_coefficient;
  for (const ModelSettings& model : study.models) all.push_back({model.name, usual, false});
  for (const double l1 : study.autoencoder.l1_table) {
    if (l1 != usual) all.push_back({study.models.front().name, l1, true});
  }
  return all;
}

std::vector<std::string> inputs_of(const Study& study, const std::string& model) {
  std::vector<std::string> inputs = {"model/" + model};
  for (const std::string& corpus : study.corpora_seen(model)) {
    inputs.push_back("tokens/" + corpus);
  }
  return inputs;
}

// One split of all corpora that a model has seen, as the autoencoder's blocks.
std::unique_ptr<ModelActivationSource> activation_source(const Study& study,
                                                         const StageContext& context,
                                                         const std::string& model,
                                                         const char* split, int64_t tokens,
                                                         uint64_t seed) {
  const AutoencoderSettings& settings = study.autoencoder;
  std::vector<MixtureComponent> components;
  for (const std::string& corpus : study.corpora_seen(model)) {
    auto shard = std::make_shared<const TokenShard>(load_token_shard(
        context.input("tokens/" + corpus) / (std::string(split) + ".safetensors")));
    const double share = settings.mixture == "tokens" ? static_cast<double>(shard->size()) : 1.0;
    components.push_back({corpus, std::move(shard), share});
  }
  const int64_t batch_tokens = settings.block_size * settings.batch_blocks;
  const int64_t batches = (tokens + batch_tokens - 1) / batch_tokens;
  auto blocks = std::make_shared<const BlockMixture>(std::move(components), settings.block_size,
                                                     batches * settings.batch_blocks, seed);
  auto network = std::make_shared<const Model>(load_checkpoint(context.input("model/" + model)));
  return std::make_unique<ModelActivationSource>(std::move(network), settings.tap,
                                                 std::move(blocks), settings.batch_blocks);
}

void add_training(const Study& study, const AutoencoderName& which, StageGraph& graph) {
  // Definitions 4: no two autoencoders share a start or an order of data.
  const uint64_t seed = derive_seed(study.seed, "autoencoder/" + which.name());
  AutoencoderSettings settings = study.autoencoder;
  settings.training.l1_coefficient = which.l1_coefficient;
  Stage stage;
  stage.kind = "autoencoder";
  stage.name = which.name();
  json config = canonical(settings);
  config["seed"] = seed;
  config["corpora"] = study.corpora_seen(which.model);  // in the order in which blocks are drawn
  stage.config = config.dump();
  stage.inputs = inputs_of(study, which.model);
  const int64_t n = study.architecture.intermediate_size;
  stage.estimated_seconds =
      autoencoder_seconds(n, n * settings.training.expansion, settings.tokens);
  stage.estimated_bytes = 8 * n * n * settings.training.expansion * 4;  // with its checkpoint
  stage.estimated_memory = autoencoder_memory(n, n * settings.training.expansion,
                                              settings.block_size * settings.batch_blocks);
  stage.run = [&study, which, settings, seed](const StageContext& context) {
    const auto source = activation_source(study, context, which.model, "train", settings.tokens,
                                          derive_seed(seed, "blocks"));
    AutoencoderTraining training = settings.training;
    training.steps = source->batch_count();
    training.seed = seed;
    const Autoencoder trained =
        train_autoencoder(training, *source, context.folder, "autoencoder " + which.name());
    SaelensInfo info;
    info.model_name = which.model;
    info.hook_name = settings.tap;
    info.context_size = settings.block_size;
    save_saelens(context.folder, trained, info);
  };
  graph.add(std::move(stage));
}

void add_evaluation(const Study& study, const AutoencoderName& which, StageGraph& graph) {
  Stage stage;
  stage.kind = "autoencoder_evaluation";
  stage.name = which.name();
  const uint64_t seed = derive_seed(study.seed, "autoencoder_evaluation/" + which.model);
  stage.config = json{
      {"tokens", study.autoencoder.evaluation_tokens},
      {"explained_loss_tokens", study.autoencoder.explained_loss_tokens},
      {"tap", study.autoencoder.tap},
      {"block_size", study.autoencoder.block_size},
      {"mixture", study.autoencoder.mixture},
      {"batch_blocks", study.autoencoder.batch_blocks},
      {"corpora", study.corpora_seen(which.model)},
      {"seed", seed}}.dump();
  stage.inputs = inputs_of(study, which.model);
  stage.inputs.push_back("autoencoder/" + which.name());
  const int64_t n = study.architecture.intermediate_size;
  stage.estimated_seconds =
      encoding_seconds(n, n * study.autoencoder.training.expansion,
                       2 * study.autoencoder.evaluation_tokens) +
      forward_seconds(study.architecture, 5 * study.autoencoder.explained_loss_tokens);
  stage.run = [&study, which, seed](const StageContext& context) {
    const Autoencoder autoencoder =
        load_saelens(context.input("autoencoder/" + which.name())).autoencoder;
    const Model model(load_checkpoint(context.input("model/" + which.model)));
    const auto source = activation_source(study, context, which.model, "validation",
                                          study.autoencoder.evaluation_tokens, seed);
    std::vector<std::pair<std::string, TokenShard>> texts;
    for (const std::string& corpus : study.corpora_seen(which.model)) {
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
        to_json(evaluate_autoencoder(model, autoencoder, *source, texts, config)) + "\n");
  };
  graph.add(std::move(stage));
}

void add_activations(const Study& study, const std::string& model, StageGraph& graph) {
  Stage stage;
  stage.kind = "activations";
  stage.name = model;
  stage.config =
      json{{"tap", study.autoencoder.tap}, {"block_size", study.autoencoder.block_size}}.dump();
  stage.inputs = {"model/" + model, "autoencoder/" + model, "matching_text/matching_text"};
  const int64_t n = study.architecture.intermediate_size;
  stage.estimated_seconds =
      encoding_seconds(n, n * study.autoencoder.training.expansion, study.matching.tokens) +
      forward_seconds(study.architecture, study.matching.tokens);
  stage.estimated_bytes = study.matching.tokens * (40 * 6 + 20);  // about 40 active features a row
  stage.estimated_memory = activations_memory(std::min(study.matching.tokens, kShardRows)) +
                           8 * n * n * study.autoencoder.training.expansion;
  stage.run = [&study, model](const StageContext& context) {
    HarvestConfig config;
    config.tap = study.autoencoder.tap;
    config.block_size = study.autoencoder.block_size;
    config.model_name = model;
    config.autoencoder_name = model;
    harvest(Model(load_checkpoint(context.input("model/" + model))),
            load_saelens(context.input("autoencoder/" + model)).autoencoder,
            load_matching_text(context.input("matching_text/matching_text")), config,
            context.folder);
  };
  graph.add(std::move(stage));
}

}  // namespace

void add_autoencoder_stages(const Study& study, StageGraph& graph) {
  for (const AutoencoderName& which : autoencoders(study)) {
    add_training(study, which, graph);
    add_evaluation(study, which, graph);
  }
  for (const ModelSettings& model : study.models) add_activations(study, model.name, graph);
}

}  // namespace featflow
