#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "activations/harvest.hpp"
#include "autoencoder/saelens.hpp"
#include "checkpoint/checkpoint.hpp"
#include "cli/command.hpp"
#include "core/interrupt.hpp"
#include "core/log.hpp"
#include "report/server.hpp"
#include "study/run_folder.hpp"
#include "study/stages.hpp"
#include "tokens/tokenizer.hpp"

namespace featflow {
namespace {

namespace fs = std::filesystem;

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

void serve(const ServeOptions& options, const CommonOptions& common) {
  const fs::path page = stage_folder(options.run, "report/report", "report") / kReportFile;
  const Annotator annotator(options.run);
  ReportServer server({.page = page, .host = options.host, .port = options.port},
                      [&](const std::string& text) { return annotator.annotate(text); });
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
      app, "serve", "A run's report on a local server that annotates texts with features",
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
