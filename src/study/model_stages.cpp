#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "core/log.hpp"
#include "core/rng.hpp"
#include "merging/merge.hpp"
#include "merging/sweep.hpp"
#include "model/evaluation.hpp"
#include "model/model.hpp"
#include "storage/files.hpp"
#include "study/canonical.hpp"
#include "study/estimates.hpp"
#include "study/stages.hpp"
#include "tokens/block_mixture.hpp"
#include "training/training.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kValidationTokens = 20'000;  // of each corpus, for the curve while training

std::shared_ptr<const TokenShard> load_split(const StageContext& context, const std::string& corpus,
                                             const char* split) {
  return std::make_shared<const TokenShard>(
      load_token_shard(context.input("tokens/" + corpus) / (std::string(split) + ".safetensors")));
}

// The validation text of a model's own corpora.
std::vector<std::shared_ptr<const TokenShard>> own_validation(const StageContext& context,
                                                              const ModelSettings& model) {
  std::vector<std::shared_ptr<const TokenShard>> texts;
  for (const auto& [corpus, share] : model.corpora) {
    texts.push_back(load_split(context, corpus, "validation"));
  }
  return texts;
}

// At most `max_tokens` (0: all) of each text, spread over all of it.
DocumentScores evaluate_all(const Model& network,
                            const std::vector<std::shared_ptr<const TokenShard>>& texts,
                            int64_t block_size, int64_t max_tokens) {
  DocumentScores all;
  for (const auto& text : texts) all.append(evaluate(network, *text, block_size, max_tokens));
  return all;
}

json scores_json(const DocumentScores& scores) {
  return {{"loss", scores.mean_loss()},
          {"accuracy", scores.accuracy()},
          {"tokens", scores.total_predicted()},
          {"perplexity", scores.perplexity()}};
}

std::vector<std::string> token_inputs(const std::map<std::string, double>& corpora) {
  std::vector<std::string> inputs;
  for (const auto& [corpus, share] : corpora) inputs.push_back("tokens/" + corpus);
  return inputs;
}

// Trains `model` from `start` on its own corpora: a model's training, and its extension.
Checkpoint train(const StageContext& context, const ModelSettings& model, const Checkpoint& start,
                 TrainingConfig config, uint64_t seed, const std::string& label) {
  const int64_t steps = training_steps(config);
  std::vector<MixtureComponent> components;
  for (const auto& [corpus, share] : model.corpora) {
    components.push_back({corpus, load_split(context, corpus, "train"), share});
  }
  const BlockMixture text(std::move(components), config.block_size, steps * config.batch_blocks,
                          seed);
  const std::vector<double> epochs = text.epochs();
  for (size_t c = 0; c < epochs.size(); ++c) {
    log_verbose(
        fmt::format("{}: {} is read {:.2f} times", label, text.components()[c].corpus, epochs[c]));
  }
  std::map<std::string, std::shared_ptr<const TokenShard>> validation;
  for (const auto& [corpus, share] : model.corpora) {
    validation[corpus] = load_split(context, corpus, "validation");
  }
  const Validation validate = [&](const Model& network, int64_t) {
    std::map<std::string, ValidationScore> figures;
    for (const auto& [corpus, shard] : validation) {
      const DocumentScores scores = evaluate(network, *shard, config.block_size, kValidationTokens);
      figures[corpus] = {scores.mean_loss(), scores.accuracy()};
    }
    return figures;
  };
  return train_model(start, config, text, validate, context.folder, label).checkpoint;
}

json training_json(const ModelSettings& model, uint64_t seed) {
  return {{"corpora", model.corpora}, {"training", canonical(model.training)}, {"seed", seed}};
}

// Token ids of the training text, four bytes for some three of text.
int64_t training_text_memory(const Study& study, const std::map<std::string, double>& corpora) {
  int64_t bytes = 0;
  for (const CorpusConfig& corpus : study.corpora) {
    if (corpora.contains(corpus.name)) bytes += estimated_text_bytes(corpus, study.folder) / 3 * 4;
  }
  return bytes;
}

// As training would start from.
Checkpoint initialised(const Study& study, const Tokenizer& tokenizer, uint64_t seed) {
  ModelConfig architecture = study.architecture;
  architecture.vocab_size = tokenizer.vocab_size();
  architecture.bos_token_id = tokenizer.bos_id();
  architecture.eos_token_id = tokenizer.eos_id();
  Rng rng(seed, "initialisation");
  return Model::random(architecture, rng);
}

// The control of definitions 16 (c): the family's shape, nothing learned.
void add_random_model(const Study& study, const ModelSettings& model, StageGraph& graph) {
  const uint64_t seed = derive_seed(study.seed, "model/" + model.name);
  Stage stage;
  stage.kind = "model";
  stage.name = model.name;
  stage.config = json{
      {"random_weights", true},
      {"architecture", canonical(study.architecture)},
      {"seed", seed}}.dump();
  stage.inputs = {"tokenizer/tokenizer"};
  stage.estimated_bytes = study.architecture.parameter_count() * 4;
  stage.run = [&study, seed](const StageContext& context) {
    const auto tokenizer_folder = context.input("tokenizer/tokenizer");
    save_checkpoint(initialised(study, Tokenizer::load(tokenizer_folder), seed), context.folder,
                    tokenizer_folder);
  };
  graph.add(std::move(stage));
}

void add_trained_model(const Study& study, const ModelSettings& model, StageGraph& graph) {
  const uint64_t seed = derive_seed(study.seed, "model/" + model.name);
  Stage stage;
  stage.kind = "model";
  stage.name = model.name;
  json config = training_json(model, seed);
  if (model.parent.empty()) config["architecture"] = canonical(study.architecture);
  stage.config = config.dump();
  stage.inputs = token_inputs(model.corpora);
  stage.inputs.push_back("tokenizer/tokenizer");
  if (!model.parent.empty()) stage.inputs.push_back("model/" + model.parent);
  stage.estimated_seconds = training_seconds(study.architecture, model.training.tokens);
  stage.estimated_memory =
      training_memory(study.architecture, model.training.batch_blocks * model.training.block_size) +
      training_text_memory(study, model.corpora);
  // Weights, and checkpoints of weights and two moments: one is whole while the next is written.
  stage.estimated_bytes = study.architecture.parameter_count() * (4 + 2 * 12);
  stage.run = [&study, &model, seed](const StageContext& context) {
    const Tokenizer tokenizer = Tokenizer::load(context.input("tokenizer/tokenizer"));
    Checkpoint start;
    if (model.parent.empty()) {
      start = initialised(study, tokenizer, seed);
    } else {
      start = load_checkpoint(context.input("model/" + model.parent));
    }
    const Checkpoint trained = train(context, model, start, model.training, seed, model.name);
    save_checkpoint(trained, context.folder, context.input("tokenizer/tokenizer"));
  };
  graph.add(std::move(stage));
}

// Token ids mean what the model was trained with, or every figure is noise.
void require_own_tokenizer(const Study& study, const ModelSettings& model, const fs::path& folder) {
  const fs::path own = folder / "tokenizer.model", used = study.folder / study.tokenizer.path;
  if (!fs::exists(used)) {
    throw Error(
        fmt::format("model {}: there is no {}; expected tokenizer.path to name the "
                    "SentencePiece tokenizer.model that the model was trained with",
                    model.name, used.string()));
  }
  if (fs::exists(own) && hash_file(own) != hash_file(used)) {
    throw Error(
        fmt::format("model {}: its {} is not the study's tokenizer {}; expected the same "
                    "bytes: all models of a family read the same tokens",
                    model.name, own.string(), used.string()));
  }
}

// What load_checkpoint reads.
std::map<std::string, std::string> hash_checkpoint(const fs::path& folder) {
  std::map<std::string, std::string> hashes;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string file = entry.path().filename().string();
    if (file == "config.json" || file.ends_with(".safetensors") ||
        file.ends_with(".safetensors.index.json")) {
      hashes[file] = hash_file(entry.path());
    }
  }
  return hashes;
}

void add_loaded_model(const Study& study, const ModelSettings& model, StageGraph& graph) {
  const fs::path folder = study.folder / model.path;
  Stage stage;
  stage.kind = "model";
  stage.version = 2;
  stage.name = model.name;
  stage.inputs = {"tokenizer/tokenizer"};
  stage.external = hash_checkpoint(folder);
  stage.run = [&model, folder](const StageContext& context) {
    Checkpoint checkpoint = load_checkpoint(folder);
    const fs::path tokenizer_folder = context.input("tokenizer/tokenizer");
    const Tokenizer tokenizer = Tokenizer::load(tokenizer_folder);
    const int64_t vocabulary = tokenizer.vocab_size();
    if (checkpoint.config.vocab_size < vocabulary) {
      throw Error(
          fmt::format("model {}: {} has a vocabulary of {}, the study's tokenizer {}; set "
                      "tokenizer.path to the model's own tokenizer.model",
                      model.name, folder.string(), checkpoint.config.vocab_size, vocabulary));
    }
    adopt_special_tokens(checkpoint.config, tokenizer.bos_id(), tokenizer.eos_id(),
                         folder.string());
    save_checkpoint(checkpoint, context.folder, tokenizer_folder);
  };
  graph.add(std::move(stage));
}

MergeOptions merge_options(const Study& study, const ModelSettings& merged) {
  const std::string where = "model " + merged.name;
  MergeOptions options;
  options.method = parse_merge_method(merged.merge.method, where);
  options.scale = merged.merge.scale < 0 ? default_scale(options.method) : merged.merge.scale;
  options.density = merged.merge.density;
  options.rescale = parse_dare_rescale(merged.merge.rescale, where);
  options.seed = derive_seed(study.seed, "merge/" + merged.name);
  return options;
}

// What a merge and its sweep have in common.
json merge_json(const Study& study, const ModelSettings& merged) {
  json config = {{"method", merged.merge.method}, {"parents", merged.merge.parents}};
  config.update(json::parse(to_json(merge_options(study, merged)).dump()));
  return config;
}

// The base as the method needs it: an empty name where it needs none.
std::string required_base(const Study& study, const ModelSettings& merged) {
  if (!needs_base(merge_options(study, merged).method)) return "";
  const std::string base = common_base(study, merged);
  if (base.empty()) {
    throw Error(
        fmt::format("model {}: {} adds what each parent has learned since a common base, "
                    "expected parents that were fine-tuned from one model",
                    merged.name, merged.merge.method));
  }
  return base;
}

void add_sweep(const Study& study, const ModelSettings& merged, StageGraph& graph) {
  const ModelSettings& a = study.model(merged.merge.parents[0]);
  const ModelSettings& b = study.model(merged.merge.parents[1]);
  const std::string base = common_base(study, merged);
  if (a.corpora.empty() || b.corpora.empty()) {
    throw Error(
        fmt::format("model {}: t = \"balance\" needs parents with corpora of their own to "
                    "be scored on; give merge.t a number, or {} corpora",
                    merged.name, a.corpora.empty() ? a.name : b.name));
  }
  const BalanceRule rule = parse_balance_rule(merged.merge.balance, "model " + merged.name);
  if (rule == BalanceRule::kGain && base.empty()) {
    throw Error(
        fmt::format("model {}: balance = \"gain\" measures what each parent has learned since a "
                    "common base, expected parents that were fine-tuned from one model",
                    merged.name));
  }
  const uint64_t seed = derive_seed(study.seed, "sweep/" + merged.name);
  Stage stage;
  stage.kind = "sweep";
  stage.name = merged.name;
  stage.version = 4;
  json settings = merge_json(study, merged);
  settings.update({{"steps", merged.merge.steps},
                   {"balance", merged.merge.balance},
                   {"bootstrap_seed", seed},
                   {"corpora_a", a.corpora},
                   {"corpora_b", b.corpora},
                   {"block_size", a.training.block_size},
                   {"tokens", study.evaluation.sweep_tokens}});
  stage.config = settings.dump();
  std::map<std::string, double> corpora = a.corpora;
  corpora.insert(b.corpora.begin(), b.corpora.end());
  stage.inputs = token_inputs(corpora);
  stage.inputs.insert(stage.inputs.end(), {"model/" + a.name, "model/" + b.name});
  if (!base.empty()) stage.inputs.push_back("model/" + base);
  stage.estimated_seconds = forward_seconds(
      study.architecture,
      (merged.merge.steps + 5) * 2 * std::max<int64_t>(study.evaluation.sweep_tokens, 50'000));
  stage.estimated_memory = 5 * 4 * study.architecture.parameter_count();
  stage.run = [&study, merged, &a, &b, base, rule, seed](const StageContext& context) {
    const Checkpoint checkpoint_a = load_checkpoint(context.input("model/" + a.name));
    const Checkpoint checkpoint_b = load_checkpoint(context.input("model/" + b.name));
    std::optional<Checkpoint> checkpoint_base;
    if (!base.empty()) checkpoint_base = load_checkpoint(context.input("model/" + base));
    const std::array texts = {own_validation(context, a), own_validation(context, b)};
    const Evaluate score = [&](const Checkpoint& checkpoint, int which) {
      return evaluate_all(Model(checkpoint), texts[static_cast<size_t>(which)],
                          a.training.block_size, study.evaluation.sweep_tokens);
    };
    SweepConfig config;
    config.merge = merge_options(study, merged);
    config.steps = static_cast<int>(merged.merge.steps);
    config.names = {a.name, b.name};
    config.base_name = base;
    config.balance = rule;
    config.bootstrap.seed = seed;
    sweep(checkpoint_a, checkpoint_b, checkpoint_base ? &*checkpoint_base : nullptr, config, score,
          context.folder);
  };
  graph.add(std::move(stage));
}

}  // namespace

std::string common_base(const Study& study, const ModelSettings& merged) {
  const std::string& base = study.model(merged.merge.parents[0]).parent;
  return base == study.model(merged.merge.parents[1]).parent ? base : std::string();
}

void add_merged_model(const Study& study, const ModelSettings& merged, StageGraph& graph) {
  const std::string base = required_base(study, merged);
  if (merged.merge.balanced()) add_sweep(study, merged, graph);
  const std::string a = "model/" + merged.merge.parents[0], b = "model/" + merged.merge.parents[1];
  Stage stage;
  stage.kind = "model";
  stage.name = merged.name;
  stage.inputs = {a, b};
  if (!base.empty()) stage.inputs.push_back("model/" + base);
  json config = merge_json(study, merged);
  if (merged.merge.balanced()) {
    config["t"] = "balance";
    stage.inputs.push_back("sweep/" + merged.name);
  } else {
    config["t"] = merged.merge.t;
  }
  stage.config = config.dump();
  stage.estimated_bytes = study.architecture.parameter_count() * 4;
  stage.run = [&study, merged, a, b, base](const StageContext& context) {
    double t = merged.merge.t;
    if (merged.merge.balanced()) {
      const auto curve =
          json::parse(read_file(context.input("sweep/" + merged.name) / "sweep.json"));
      t = curve.at("balance").at("t").get<double>();
    }
    require_same_tokenizer(context.input(a), context.input(b));
    const ParentNames names{merged.merge.parents[0], merged.merge.parents[1]};
    const MergeOptions options = merge_options(study, merged);
    std::optional<Checkpoint> base_checkpoint;
    if (!base.empty()) base_checkpoint = load_checkpoint(context.input("model/" + base));
    const MergeResult result =
        merge(load_checkpoint(context.input(a)), load_checkpoint(context.input(b)),
              base_checkpoint ? &*base_checkpoint : nullptr, t, options, names);
    save_checkpoint(result.checkpoint, context.folder, context.input(a));
    const nlohmann::ordered_json facts = {{"method", merged.merge.method},
                                          {"options", to_json(options)},
                                          {"t", t},
                                          {"direction", merge_direction(names, options.method)},
                                          {"tensors", to_json(result.reports)}};
    write_file_atomic(context.folder / "merge.json", facts.dump(2) + "\n");
    log_info(fmt::format("{}: {} at t = {:.4f} ({})", merged.name, merged.merge.method, t,
                         merge_direction(names, options.method)));
  };
  graph.add(std::move(stage));
}

void check_loaded_models(const Study& study) {
  for (const ModelSettings& model : study.models) {
    if (!model.loaded()) continue;
    const fs::path folder = study.folder / model.path;
    if (!fs::is_directory(folder)) {
      throw Error(fmt::format("model {}: {} is no folder; expected a Hugging Face model folder",
                              model.name, folder.string()));
    }
    require_own_tokenizer(study, model, folder);
  }
}

void add_model_evaluation(const Study& study, const ModelSettings& model, StageGraph& graph) {
  // A merged model is read as its sweep read it.
  const ModelSettings* trained = &model;
  while (trained->merged()) trained = &study.model(trained->merge.parents[0]);
  const int64_t block_size = trained->training.block_size;
  Stage stage;
  stage.kind = "evaluation";
  stage.version = 2;
  stage.name = model.name;
  stage.config = json{{"tokens", study.evaluation.tokens}, {"block_size", block_size}}.dump();
  stage.inputs = {"model/" + model.name};
  for (const CorpusConfig& corpus : study.corpora) stage.inputs.push_back("tokens/" + corpus.name);
  stage.estimated_seconds =
      forward_seconds(study.architecture, std::max<int64_t>(study.evaluation.tokens, 100'000) *
                                              static_cast<int64_t>(study.corpora.size()));
  stage.run = [&study, model, block_size](const StageContext& context) {
    const Model network(load_checkpoint(context.input("model/" + model.name)));
    json corpora = json::object();
    for (const CorpusConfig& corpus : study.corpora) {
      corpora[corpus.name] =
          scores_json(evaluate(network, *load_split(context, corpus.name, "validation"), block_size,
                               study.evaluation.tokens));
    }
    write_file_atomic(context.folder / "evaluation.json",
                      json{{"corpora", corpora}}.dump(2) + "\n");
  };
  graph.add(std::move(stage));
}

namespace {

// Is the model under-trained? A little more training on its own data, the rate falling to zero
// again from a tenth of its peak, and what that gains in accuracy on its own validation text.
void add_extension(const Study& study, const ModelSettings& model, StageGraph& graph) {
  if (model.extension_share <= 0) return;
  const uint64_t seed = derive_seed(study.seed, "extension/" + model.name);
  Stage stage;
  stage.kind = "extension";
  stage.version = 2;
  stage.name = model.name;
  json config = training_json(model, seed);
  config["share"] = model.extension_share;
  config["evaluation_tokens"] = study.evaluation.tokens;
  stage.config = config.dump();
  stage.inputs = token_inputs(model.corpora);
  stage.inputs.push_back("model/" + model.name);
  TrainingConfig extension = model.training;
  extension.tokens =
      static_cast<int64_t>(model.extension_share * static_cast<double>(model.training.tokens));
  extension.learning_rate = model.training.learning_rate / 10;
  extension.warmup_steps = 0;
  stage.estimated_seconds = training_seconds(study.architecture, extension.tokens);
  stage.estimated_memory =
      training_memory(study.architecture, extension.batch_blocks * extension.block_size);
  stage.run = [&study, &model, extension, seed](const StageContext& context) {
    const Checkpoint start = load_checkpoint(context.input("model/" + model.name));
    const auto texts = own_validation(context, model);
    const Checkpoint extended =
        train(context, model, start, extension, seed, model.name + ", extended");
    const auto score = [&](const Checkpoint& checkpoint) {
      return evaluate_all(Model(checkpoint), texts, model.training.block_size,
                          study.evaluation.tokens)
          .accuracy();
    };
    const double before = score(start), after = score(extended);
    const double gain = (after - before) / before;
    const json facts = {{"share", model.extension_share},
                        {"tokens", extension.tokens},
                        {"accuracy", before},
                        {"accuracy_extended", after},
                        {"relative_gain", gain},
                        {"under_trained", gain >= 0.01}};
    write_file_atomic(context.folder / "extension.json", facts.dump(2) + "\n");
  };
  graph.add(std::move(stage));
}

}  // namespace

void add_model_stages(const Study& study, StageGraph& graph) {
  for (const ModelSettings& model : study.models) {
    if (model.merged()) {
      add_merged_model(study, model, graph);
    } else if (model.loaded()) {
      add_loaded_model(study, model, graph);
    } else if (model.random_weights) {
      add_random_model(study, model, graph);
    } else {
      add_trained_model(study, model, graph);
    }
    add_model_evaluation(study, model, graph);
    add_extension(study, model, graph);
  }
}

}  // namespace featflow
