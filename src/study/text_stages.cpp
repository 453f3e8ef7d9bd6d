#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "activations/matching_text.hpp"
#include "core/error.hpp"
#include "core/hash.hpp"
#include "core/log.hpp"
#include "core/process.hpp"
#include "corpus/corpus.hpp"
#include "storage/files.hpp"
#include "study/canonical.hpp"
#include "study/stages.hpp"
#include "tokens/token_shard.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

void add_corpus_stage(const Study& study, const CorpusConfig& corpus, StageGraph& graph) {
  Stage stage;
  stage.kind = "corpus";
  stage.name = corpus.name;
  stage.config = canonical(corpus).dump();
  stage.external["sources"] = source_fingerprint(corpus, study.folder);
  const int64_t text_bytes = estimated_text_bytes(corpus, study.folder);
  stage.estimated_seconds = 2 + 4e-8 * static_cast<double>(text_bytes);
  stage.estimated_bytes = text_bytes / 3;  // compressed
  stage.estimated_memory = (50 << 20) + text_bytes;
  stage.run = [&study, &corpus](const StageContext& context) {
    const CorpusStatistics statistics = build_corpus(corpus, study.folder, context.folder);
    log_info(fmt::format("{}: {} documents of {} read, {} duplicates dropped, {} for training",
                         corpus.name, statistics.documents_read, human_bytes(statistics.bytes_read),
                         statistics.duplicates,
                         human_bytes(statistics.split(Split::kTrain).bytes)));
  };
  graph.add(std::move(stage));
}

// An equal sample of every corpus.
std::vector<std::string> tokenizer_sample(const Study& study, const StageContext& context) {
  std::vector<std::vector<std::string>> corpora;
  for (const CorpusConfig& corpus : study.corpora) {
    corpora.push_back(load_documents(context.input("corpus/" + corpus.name), Split::kTrain));
  }
  return training_sample(corpora, study.tokenizer.training.max_training_bytes);
}

void add_tokenizer_stage(const Study& study, StageGraph& graph) {
  Stage stage;
  stage.kind = "tokenizer";
  stage.name = "tokenizer";
  stage.estimated_bytes = 1 << 20;
  if (!study.tokenizer.path.empty()) {
    const fs::path file = study.folder / study.tokenizer.path;
    stage.external["tokenizer.model"] = hash_file(file);
    stage.run = [file](const StageContext& context) {
      Tokenizer::load(file);  // refuses a malformed one
      fs::copy_file(file, context.folder / "tokenizer.model", fs::copy_options::overwrite_existing);
    };
  } else {
    json config = canonical(study.tokenizer);
    for (const CorpusConfig& corpus : study.corpora) {
      stage.inputs.push_back("corpus/" + corpus.name);
      config["corpora"].push_back(corpus.name);  // in the order in which they are read
    }
    stage.config = config.dump();
    stage.estimated_seconds = 8;
    stage.estimated_memory = 20 * study.tokenizer.training.max_training_bytes;
    stage.run = [&study](const StageContext& context) {
      Tokenizer::train(study.tokenizer.training, tokenizer_sample(study, context),
                       context.folder / "tokenizer.model");
    };
  }
  graph.add(std::move(stage));
}

void add_tokens_stage(const Study& study, const CorpusConfig& corpus, StageGraph& graph) {
  Stage stage;
  stage.kind = "tokens";
  stage.name = corpus.name;
  stage.inputs = {"corpus/" + corpus.name, "tokenizer/tokenizer"};
  // Some three bytes of text a token; in memory the text, its ids and the shard made of them.
  const int64_t text_bytes = estimated_text_bytes(corpus, study.folder);
  stage.estimated_seconds = 2 + 4e-8 * static_cast<double>(text_bytes);
  stage.estimated_bytes = text_bytes / 3 * 2;
  stage.estimated_memory = (100 << 20) + 3 * text_bytes;
  stage.run = [&corpus](const StageContext& context) {
    const Tokenizer tokenizer = Tokenizer::load(context.input("tokenizer/tokenizer"));
    json facts = json::object();
    for (const Split split : kSplits) {
      const std::string name(split_name(split));
      const TokenShard shard =
          tokenize(tokenizer, load_documents(context.input("corpus/" + corpus.name), split));
      save_token_shard(shard, context.folder / (name + ".safetensors"));
      facts[name] = {{"documents", shard.document_count()}, {"tokens", shard.size()}};
    }
    log_info(fmt::format("{}: {} tokens for training, {} for validation, {} for matching",
                         corpus.name, facts["train"]["tokens"].get<int64_t>(),
                         facts["validation"]["tokens"].get<int64_t>(),
                         facts["matching"]["tokens"].get<int64_t>()));
    write_file_atomic(context.folder / "tokens.json", facts.dump(2) + "\n");
  };
  graph.add(std::move(stage));
}

void add_matching_text_stage(const Study& study, StageGraph& graph) {
  Stage stage;
  stage.kind = "matching_text";
  stage.name = "matching_text";
  const int64_t per_corpus = study.matching.tokens / static_cast<int64_t>(study.corpora.size());
  json config = {{"tokens_per_corpus", per_corpus}};
  for (const CorpusConfig& corpus : study.corpora) {
    stage.inputs.push_back("tokens/" + corpus.name);
    config["corpora"].push_back(corpus.name);  // in the order of the rows
  }
  stage.config = config.dump();
  stage.estimated_bytes = study.matching.tokens * 4;
  stage.run = [&study, per_corpus](const StageContext& context) {
    std::vector<std::pair<std::string, TokenShard>> corpora;
    for (const CorpusConfig& corpus : study.corpora) {
      corpora.emplace_back(corpus.name, load_token_shard(context.input("tokens/" + corpus.name) /
                                                         "matching.safetensors"));
    }
    const MatchingText text = build_matching_text(corpora, per_corpus);
    const int64_t found = text.tokens.size() / static_cast<int64_t>(corpora.size());
    if (found < per_corpus) {
      log_warning(
          fmt::format("matching text: {} tokens per corpus, {} were asked for; a corpus "
                      "has no more held out (corpus.NAME.matching_share)",
                      found, per_corpus));
    }
    save_matching_text(text, context.folder);
  };
  graph.add(std::move(stage));
}

}  // namespace

void add_text_stages(const Study& study, StageGraph& graph) {
  if (study.corpora.empty()) {
    throw Error(
        fmt::format("study {}: there is no text; expected at least one [corpus.NAME]", study.name));
  }
  for (const CorpusConfig& corpus : study.corpora) add_corpus_stage(study, corpus, graph);
  add_tokenizer_stage(study, graph);
  for (const CorpusConfig& corpus : study.corpora) add_tokens_stage(study, corpus, graph);
  add_matching_text_stage(study, graph);
}

StageGraph build_stages(const Study& study, const std::filesystem::path& run) {
  StageGraph graph;
  check_loaded_models(study);  // before their tokenizer is read
  add_text_stages(study, graph);
  add_model_stages(study, graph);
  add_autoencoder_stages(study, graph);
  add_matching_stages(study, graph);
  add_null_stages(study, graph);
  add_verdict_stages(study, graph);
  add_merge_comparison_stages(study, graph);
  add_flow_stage(study, graph);
  add_case_study_stage(study, graph);
  add_causal_stages(study, graph);
  add_explanation_stages(study, graph);
  add_report_stage(study, run, graph);
  return graph;
}

}  // namespace featflow
