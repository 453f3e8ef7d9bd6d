#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <list>
#include <map>

#include "activations/harvest.hpp"
#include "autoencoder/saelens.hpp"
#include "checkpoint/checkpoint.hpp"
#include "cli/command.hpp"
#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "core/log.hpp"
#include "features/columns.hpp"
#include "features/statistics.hpp"
#include "report/server.hpp"
#include "study/run_folder.hpp"
#include "study/stages.hpp"
#include "tokens/tokenizer.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPlottedRows = 1000;  // more are not told apart

struct ServeOptions {
  std::string run, host = "127.0.0.1";
  int port = 8080;
};

/// The models of a run's family with their autoencoders, and what a text activates in them.
class Annotator {
 public:
  explicit Annotator(const std::string& run)
      : study_(load_run(run).study),
        tokenizer_(Tokenizer::load(stage_folder(run, "tokenizer/tokenizer", "activations"))) {
    for (const ModelSettings& model : study_.family()) {
      log_info(fmt::format("loading {}", model.name));
      models_.push_back(
          {model.name,
           Model(load_checkpoint(stage_folder(run, "model/" + model.name, "autoencoder"))),
           load_saelens(stage_folder(run, "autoencoder/" + model.name, "autoencoder"))
               .autoencoder});
    }
  }

  bool knows(const std::string& model) const {
    return std::ranges::any_of(models_, [&](const Encoder& e) { return e.name == model; });
  }

  std::vector<AnnotatedText> annotate(const std::string& text) const {
    MatchingText one;
    one.tokens = tokenize(tokenizer_, {text});
    one.document_corpora = {0};
    one.corpus_names = {"text"};
    std::vector<AnnotatedText> annotated;
    for (const Encoder& encoder : models_) {
      AnnotatedText& result = annotated.emplace_back();
      result.model = encoder.name;
      if (one.tokens.size() < 2) continue;  // nothing but BOS
      stream_activations(encoder.model, encoder.autoencoder, one,
                         {.tap = study_.autoencoder.tap,
                          .block_size = study_.autoencoder.block_size,
                          .model_name = encoder.name,
                          .autoencoder_name = encoder.name},
                         [&](const FeatureActivations& batch) { append(batch, one, result); });
    }
    return annotated;
  }

 private:
  struct Encoder {
    std::string name;
    Model model;
    Autoencoder autoencoder;
  };

  void append(const FeatureActivations& batch, const MatchingText& text,
              AnnotatedText& result) const {
    for (int64_t row = 0; row < batch.rows.rows(); ++row) {
      const auto r = static_cast<size_t>(row);
      AnnotatedToken& token = result.tokens.emplace_back();
      token.text =
          tokenizer_.token_text(text.tokens.tokens[static_cast<size_t>(batch.token_positions[r])]);
      for (auto i = static_cast<size_t>(batch.rows.row_offsets[r]);
           i < static_cast<size_t>(batch.rows.row_offsets[r + 1]); ++i) {
        token.features.emplace_back(batch.rows.features[i], batch.rows.values[i]);
      }
      std::ranges::sort(token.features, [](const auto& a, const auto& b) {
        return a.second != b.second ? a.second > b.second : a.first < b.first;
      });
    }
  }

  Study study_;
  Tokenizer tokenizer_;
  std::vector<Encoder> models_;
};

/// Activations of single features on the matching text, out of all of their model's; the last ones
/// are kept, as a feature's page asks for it beside one of each other model.
class Columns {
 public:
  explicit Columns(std::string run) : run_(std::move(run)) {}

  PairedColumn find(const FeatureName& name) {
    const auto known = std::ranges::find_if(kept_, [&](const Kept& kept) {
      return kept.name.model == name.model && kept.name.feature == name.feature;
    });
    if (known == kept_.end()) {
      kept_.push_front({name, read(name)});
      if (kept_.size() > kMostKept) kept_.pop_back();
    } else {
      kept_.splice(kept_.begin(), kept_, known);
    }
    const Column column = kept_.front().columns.column(name.feature);
    return {column, column.values.empty() ? 0 : std::ranges::max(column.values)};
  }

 private:
  static constexpr size_t kMostKept = 32;
  struct Kept {
    FeatureName name;
    FeatureColumns columns;
  };

  FeatureColumns read(const FeatureName& name) {
    const ActivationShards shards(stage_folder(run_, "activations/" + name.model, "activations"));
    if (name.feature >= shards.feature_count()) {
      throw Error(fmt::format("{} has {} features, and none is numbered {}", name.model,
                              shards.feature_count(), name.feature));
    }
    std::vector<int64_t>& active_tokens = active_tokens_[name.model];
    if (active_tokens.empty()) active_tokens = feature_statistics(shards).active_tokens;
    return transpose(shards, active_tokens,
                     {.first_feature = name.feature, .end_feature = name.feature + 1});
  }

  std::string run_;
  std::map<std::string, std::vector<int64_t>> active_tokens_;  // [m] of each model asked for
  std::list<Kept> kept_;  // the last one asked for stands first
};

void serve(const ServeOptions& options, const CommonOptions& common) {
  const fs::path page = stage_folder(options.run, "report/report", "report") / kReportFile;
  const fs::path database = page.parent_path() / kResultsFile;
  if (!fs::exists(database)) {
    throw Error(
        fmt::format("{}: no {} beside the report, which is of an earlier FeatFlow; featflow "
                    "report {} makes both anew",
                    page.parent_path().string(), kResultsFile, options.run));
  }
  const ResultsDatabase results(database);
  const Annotator annotator(options.run);
  Columns columns(options.run);
  const auto check_model = [&](const FeatureName& name) {
    if (!annotator.knows(name.model)) {
      throw Error(fmt::format("no model {} in this report", in_quotes(name.model)));
    }
  };
  ReportQueries queries;
  queries.annotate = [&](const std::string& text) { return annotator.annotate(text); };
  queries.matches = [&](const FeatureName& feature) {
    return results.partners(feature.model, feature.feature);
  };
  queries.paired = [&](const FeatureName& a, const FeatureName& b) {
    check_model(a);
    check_model(b);
    return paired_activations(columns.find(a), columns.find(b), kPlottedRows);
  };
  ReportServer server({.page = page, .host = options.host, .port = options.port}, queries);
  const std::string url = fmt::format(
      "http://{}:{}/",
      options.host.find(':') == std::string::npos ? options.host : "[" + options.host + "]",
      server.port());
  if (common.json) {
    print_json({{"url", url}, {"port", server.port()}});
  } else {
    fmt::print("{}\nCtrl-C ends it.\n", url);
  }
  std::fflush(stdout);
  server.run([] { return interrupted(); });
}

}  // namespace

void add_serve(CLI::App& app, CommonOptions& common) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* command = add_command(
      app, "serve",
      "A run's report on a local server that also reads texts of yours and finds all matches",
      "featflow serve runs/quick\n"
      "  curl -H 'Content-Type: application/json' -d '{\"text\": \"local x = nil\"}' "
      "localhost:8080/api/annotate",
      common);
  command->add_option("run", options->run, "Run folder")->required();
  command->add_option("--port", options->port, "0: a free one")
      ->check(CLI::Range(0, 65'535))
      ->capture_default_str();
  command
      ->add_option("--host", options->host,
                   "Address to listen at; beyond 127.0.0.1, others can use it too")
      ->capture_default_str();
  command->callback([options, &common] {
    common.apply();
    serve(*options, common);
  });
}

}  // namespace featflow
