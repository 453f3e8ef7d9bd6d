#include <fmt/format.h>

#include <algorithm>

#include "activations/autoencoder_evaluation.hpp"
#include "activations/harvest.hpp"
#include "activations/model_source.hpp"
#include "autoencoder/file_source.hpp"
#include "autoencoder/saelens.hpp"
#include "autoencoder/trainer.hpp"
#include "cli/command.hpp"
#include "cli/text_input.hpp"
#include "core/error.hpp"
#include "core/hash.hpp"
#include "core/log.hpp"
#include "core/rng.hpp"
#include "storage/artifact.hpp"
#include "storage/files.hpp"
#include "study/canonical.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;

// The study's keys of [autoencoder] as flags: l1_coefficient → --l1-coefficient.
class FlagAdder {
 public:
  explicit FlagAdder(CLI::App& command) : command_(command) {}

  template <typename T>
  void operator()(std::string key, T& value, Range range = {}) {
    if (key == "mixture") return;  // of a study's corpora
    const std::string description = kDescriptions.at(key);
    std::ranges::replace(key, '_', '-');
    if constexpr (std::is_same_v<T, bool>) {
      command_.add_flag("--" + key + ",!--no-" + key, value, description);
    } else {
      CLI::Option* option = command_.add_option("--" + key, value, description);
      option->capture_default_str();
      if constexpr (std::is_arithmetic_v<T>) option->check(in_range(range));
    }
  }
  template <typename T>
  void without_influence(const std::string& key, T& value, Range range = {}) {
    if (key != "l1_table") (*this)(key, value, range);
  }
  template <typename T>
  void evaluation(const std::string&, T&, Range = {}) {}

 private:
  // The bounds of the study file, without its huge upper ones in --help.
  static CLI::Validator in_range(Range range) {
    return CLI::Validator(
        [range](const std::string& text) -> std::string {
          double value = 0;
          if (!CLI::detail::lexical_cast(text, value)) return text + " is not a number";
          if (value >= range.low && value <= range.high) return "";
          return fmt::format("{} is out of range, expected {}", text, words(range));
        },
        words(range));
  }
  static std::string words(Range range) {
    return range.high >= 1e18 ? fmt::format("at least {}", range.low)
                              : fmt::format("{} to {}", range.low, range.high);
  }

  inline static const std::map<std::string, std::string> kDescriptions = {
      {"expansion", "Features per input: m = expansion · n"},
      {"l1_coefficient", "λ of the loss with the error's mean over elements"},
      {"learning_rate", "Of Adam"},
      {"beta1", "Of Adam"},
      {"beta2", "Of Adam"},
      {"epsilon", "Of Adam"},
      {"warmup_steps", "Steps in which the rate rises"},
      {"decay_share", "Last share of the steps, in which the rate falls to 0"},
      {"l1_warmup_share", "First share of the steps, in which λ rises"},
      {"normalize", "Scale activations to a mean square norm of n; folded back at the end"},
      {"center_elements", "Subtract each vector's own mean; folded"},
      {"resample", "Dead features begin anew on badly reconstructed inputs (default: yes)"},
      {"tap", "Default: blocks.L.mlp.hook_post of the last layer"},
      {"block_size", "Tokens the model sees at a time"},
      {"batch_blocks", "Blocks of a batch"},
      {"tokens", "In all"},
      {"checkpoint_every", "Steps between two checkpoints"},
  };
  CLI::App& command_;
};

// What an artefact was made from, by content: the same path may hold another file later.
using Inputs = std::map<std::string, std::string>;

void add_files(Inputs& inputs, const std::string& what, const fs::path& folder) {
  for (const auto& [name, hash] : hash_files(folder)) inputs[what + "/" + name] = hash;
}

std::string content_hash(const TokenShard& text) {
  Hasher hasher;
  hasher.update(std::as_bytes(std::span(text.tokens)));
  hasher.update(std::as_bytes(std::span(text.document_starts)));
  return hasher.hex();
}

std::string default_tap(const Model& model) {
  return fmt::format("blocks.{}.mlp.hook_post", model.config().num_hidden_layers - 1);
}

// Where and in what blocks an autoencoder reads: as asked, else as its cfg.json says, else as
// FeatFlow trains. What is asked and differs is worth a warning: all layers may have one width.
struct Reading {
  std::string tap;
  int64_t block_size = 24;
};
Reading reading_of(const SaelensInfo& info, const Model& model, const std::string& tap,
                   int64_t block_size) {
  const auto has = [&](const std::string& name) {
    try {
      return tap_width(model.config(), name) > 0;
    } catch (const Error&) {
      return false;
    }
  };
  Reading reading;
  const bool named = !info.hook_name.empty() && has(info.hook_name);
  reading.tap = !tap.empty() ? tap : named ? info.hook_name : default_tap(model);
  const int64_t most = std::min<int64_t>(4096, model.config().max_position_embeddings);
  const bool sized = info.context_size >= 2 && info.context_size <= most;
  if (block_size > 0) {
    reading.block_size = block_size;
  } else if (sized) {
    reading.block_size = info.context_size;
  }
  if (named && reading.tap != info.hook_name) {
    log_warning(fmt::format("reading {}, but the autoencoder was trained on {}", reading.tap,
                            info.hook_name));
  }
  if (sized && reading.block_size != info.context_size) {
    log_warning(
        fmt::format("reading in blocks of {} tokens, but the autoencoder was trained on "
                    "blocks of {}",
                    reading.block_size, info.context_size));
  }
  return reading;
}

std::unique_ptr<ModelActivationSource> text_source(std::shared_ptr<const Model> model,
                                                   const std::string& tap, TokenShard text,
                                                   int64_t block_size, int64_t batch_blocks,
                                                   int64_t tokens, uint64_t seed) {
  std::vector<MixtureComponent> components = {
      {"text", std::make_shared<const TokenShard>(std::move(text)), 1.0}};
  const int64_t batch_tokens = block_size * batch_blocks;
  const int64_t batches = (tokens + batch_tokens - 1) / batch_tokens;
  return std::make_unique<ModelActivationSource>(
      std::move(model), tap,
      std::make_shared<const BlockMixture>(std::move(components), block_size,
                                           batches * batch_blocks, seed),
      batch_blocks);
}

struct TrainOptions {
  AutoencoderSettings settings;
  std::string model, data, activations, tensor, out;
  int64_t batch_rows = 3072;
  uint64_t seed = 42;
  bool force = false;
};

void run_sae_train(const TrainOptions& options, const CommonOptions& common) {
  common.apply();
  if (options.model.empty() == options.activations.empty()) {
    throw Error("sae train: expected either --model with --data, or --activations with --tensor");
  }
  if (!options.model.empty() && options.data.empty()) {
    throw Error("sae train: --model without --data; expected the text it is to read");
  }
  if (!options.activations.empty() && options.tensor.empty()) {
    throw Error("sae train: --activations without --tensor; expected the name of a tensor in it");
  }
  require_new(options.out, options.force);
  const fs::path out = fs::absolute(options.out).lexically_normal();
  std::unique_ptr<ActivationSource> source;
  Inputs inputs;
  // Definitions 4: no two autoencoders share a start or an order of data. The name alone would not
  // do: base/sae and tuned/sae.
  const auto seed_of = [&](const Inputs& made_from) {
    return derive_seed(options.seed,
                       "sae/" + out.filename().string() + "/" + nlohmann::json(made_from).dump());
  };
  uint64_t seed = 0;
  SaelensInfo info;
  info.context_size = options.settings.block_size;
  if (!options.model.empty()) {
    auto model = std::make_shared<const Model>(load_model_for_text(options.model));
    info.model_name = options.model;
    info.hook_name = options.settings.tap.empty() ? default_tap(*model) : options.settings.tap;
    TokenShard text = load_text(options.data, options.model);
    add_files(inputs, "model", options.model);
    inputs["text"] = content_hash(text);
    seed = seed_of(inputs);
    source = text_source(model, info.hook_name, std::move(text), options.settings.block_size,
                         options.settings.batch_blocks, options.settings.tokens,
                         derive_seed(seed, "blocks"));
  } else {
    info.hook_name = options.tensor;
    inputs["activations/" + options.tensor] = hash_file(options.activations);
    seed = seed_of(inputs);
    source = std::make_unique<FileActivationSource>(options.activations, options.tensor,
                                                    options.batch_rows, options.settings.tokens,
                                                    derive_seed(seed, "rows"));
  }
  AutoencoderTraining training = options.settings.training;
  training.steps = source->batch_count();
  training.seed = seed;
  // Built beside the result, so that a killed run goes on and a finished folder is whole.
  nlohmann::json config = canonical(options.settings);
  config.update({{"steps", training.steps},
                 {"seed", seed},
                 {"width", source->width()},
                 {"batch_rows", options.batch_rows},
                 {"tap", info.hook_name}});
  ArtifactBuilder builder(out, {"sae", out.filename(), 1, config.dump(), inputs},
                          out.parent_path() / ".old");
  const Autoencoder trained =
      train_autoencoder(training, *source, builder.partial_folder(), "autoencoder");
  save_saelens(builder.partial_folder(), trained, info);
  builder.commit();
  if (common.json) {
    print_json({{"out", options.out},
                {"input_size", trained.input_size},
                {"feature_count", trained.feature_count},
                {"steps", training.steps}});
  } else {
    fmt::print("{}: {} features of {} inputs, {} steps\n", options.out, trained.feature_count,
               trained.input_size, training.steps);
  }
}

struct EvalOptions {
  std::string sae, model, tap;
  int64_t block_size = 0;
  TextInput input;
  AutoencoderEvaluationConfig config;
  int64_t tokens = 200'000;
};

void run_sae_eval(const EvalOptions& options, const CommonOptions& common) {
  common.apply();
  const SaelensAutoencoder sae = load_saelens(options.sae);
  auto model = std::make_shared<const Model>(load_model_for_text(options.model));
  AutoencoderEvaluationConfig config = options.config;
  const Reading reading = reading_of(sae.info, *model, options.tap, options.block_size);
  config.tap = reading.tap;
  config.block_size = reading.block_size;
  TokenShard text = options.input.load(options.model);
  const int64_t tokens = std::min(options.tokens, text.size());
  const auto source = text_source(
      model, config.tap, text, config.block_size,
      /*batch_blocks=*/
      std::clamp<int64_t>(text.size() / config.block_size, 1, blocks_of_batch(config.block_size)),
      tokens, /*seed=*/0);
  const AutoencoderEvaluation result =
      evaluate_autoencoder(*model, sae.autoencoder, *source, {{"text", std::move(text)}}, config);
  if (common.json) {
    fmt::print("{}\n", to_json(result));
    return;
  }
  fmt::print("{}", describe(result));
}

struct HarvestOptions {
  std::string model, sae, data, out, tap;
  int64_t block_size = 0;
  bool force = false;
};

void run_activations(const HarvestOptions& options, const CommonOptions& common) {
  common.apply();
  require_new(options.out, options.force);
  const Model model(load_model_for_text(options.model));
  MatchingText text;
  text.tokens = load_text(options.data, options.model);
  text.document_corpora.assign(static_cast<size_t>(text.tokens.document_count()), 0);
  text.corpus_names = {"text"};
  const SaelensAutoencoder sae = load_saelens(options.sae);
  const Reading reading = reading_of(sae.info, model, options.tap, options.block_size);
  HarvestConfig config;
  config.tap = reading.tap;
  config.block_size = reading.block_size;
  config.model_name = options.model;
  config.autoencoder_name = options.sae;
  const fs::path out = fs::absolute(options.out).lexically_normal();
  const nlohmann::json facts = {{"tap", config.tap},
                                {"block_size", config.block_size},
                                {"text", text.content_hash()},
                                {"names", {options.model, options.sae}}};
  Inputs inputs;
  add_files(inputs, "model", options.model);
  add_files(inputs, "sae", options.sae);
  ArtifactBuilder builder(out, {"activations", out.filename(), 1, facts.dump(), inputs},
                          out.parent_path() / ".old");
  harvest(model, sae.autoencoder, text, config, builder.partial_folder());
  builder.commit();
  if (common.json) {
    print_json({{"out", options.out}, {"tokens", text.tokens.size()}});
  } else {
    fmt::print("{}: feature activations of {} tokens\n", options.out, text.tokens.size());
  }
}

}  // namespace

void add_sae(CLI::App& app, CommonOptions& common) {
  CLI::App* sae = app.add_subcommand("sae", "Train and evaluate sparse autoencoders");
  sae->require_subcommand(1);

  auto train = std::make_shared<TrainOptions>();
  CLI::App* command = add_command(
      *sae, "train", "Train one on a model's activations, or on activations in a file",
      "featflow sae train --model runs/quick/model/Lua --data corpora/lua/nmap-common.jsonl.zst "
      "--tokens 2000000 --out sae",
      common);
  command->add_option("--model", train->model, "Model folder");
  command->add_option("--data", train->data,
                      "Text for --model: JSONL, files, folder, glob, tokens");
  command->add_option("--activations", train->activations, "safetensors file instead of a model");
  command->add_option("--tensor", train->tensor, "Its tensor [rows, n]");
  command->add_option("--batch-rows", train->batch_rows, "Batch size with --activations")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      ->add_option("--seed", train->seed,
                   "Of start and order, with the name of --out and what it is trained on")
      ->capture_default_str();
  command->add_option("--out", train->out, "SAELens folder to write")->required();
  command->add_flag("--force", train->force, "Replace an existing folder");
  FlagAdder flags(*command);
  fields(train->settings, flags);
  command->callback([train, &common] { run_sae_train(*train, common); });

  auto eval = std::make_shared<EvalOptions>();
  command =
      add_command(*sae, "eval", "L0, MSE, explained variance, explained loss, dead share, density",
                  "featflow sae eval runs/quick/autoencoder/Lua --model runs/quick/model/Lua "
                  "--data corpora/lua/nmap-common.jsonl.zst",
                  common);
  command->add_option("sae", eval->sae, "SAELens folder")->required();
  command->add_option("--model", eval->model, "Model folder it was trained on")->required();
  command->add_option("--tap", eval->tap, "Default: the one that the autoencoder was trained on");
  eval->input.add_to(*command);
  command
      ->add_option("--block-size", eval->block_size,
                   "Tokens the model sees at a time (default: as in training)")
      ->check(CLI::Range(2, 1'000'000));
  command->add_option("--tokens", eval->tokens, "Size of the sample")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      ->add_option("--explained-loss-tokens", eval->config.explained_loss_tokens,
                   "Of them, for explained loss")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->callback([eval, &common] { run_sae_eval(*eval, common); });
}

void add_activations(CLI::App& app, CommonOptions& common) {
  auto options = std::make_shared<HarvestOptions>();
  CLI::App* command = add_command(
      app, "activations", "Sparse feature activations of a text",
      "featflow activations --model runs/quick/model/Lua --sae runs/quick/autoencoder/Lua "
      "--data text.jsonl --out lua-activations",
      common);
  command->add_option("--model", options->model, "Model folder")->required();
  command->add_option("--sae", options->sae, "SAELens folder")->required();
  command->add_option("--data", options->data, "JSONL, text files, a folder, a glob, or tokens")
      ->required();
  command->add_option("--tap", options->tap,
                      "Default: the one that the autoencoder was trained on");
  command
      ->add_option("--block-size", options->block_size,
                   "Tokens the model sees at a time (default: as in training)")
      ->check(CLI::Range(2, 4096));
  command->add_option("--out", options->out, "Folder of shards to write")->required();
  command->add_flag("--force", options->force, "Replace an existing folder");
  command->callback([options, &common] { run_activations(*options, common); });
}

}  // namespace featflow
