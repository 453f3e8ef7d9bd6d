#include "corpus/corpus.hpp"

#include <fmt/format.h>

#include "cli/command.hpp"
#include "core/process.hpp"
#include "core/utf8.hpp"
#include "corpus/document_reader.hpp"

namespace featflow {
namespace {

struct BuildOptions {
  CorpusConfig config;
  std::string out;
  bool force = false;
};

void print_statistics(const CorpusStatistics& statistics, const CommonOptions& common) {
  if (common.json) {
    fmt::print("{}\n", to_json(statistics));
    return;
  }
  fmt::print("{}: {} files, {} documents, {} of text\n", statistics.name, statistics.files,
             statistics.documents_read, human_bytes(statistics.bytes_read));
  fmt::print("  dropped     {} blank, {} duplicates, {} over the limit\n", statistics.blank,
             statistics.duplicates, statistics.over_limit);
  fmt::print("  repaired    {} (invalid UTF-8 or NUL)\n", statistics.repaired);
  for (const Split split : kSplits) {
    fmt::print("  {:<11} {} documents, {}\n", split_name(split), statistics.split(split).documents,
               human_bytes(statistics.split(split).bytes));
  }
}

void build(const BuildOptions& options, const CommonOptions& common) {
  common.apply();
  require_new(options.out, options.force);
  print_statistics(build_corpus(options.config, std::filesystem::current_path(), options.out),
                   common);
}

struct InspectOptions {
  std::string corpus;
  int64_t samples = 3;
};

void inspect(const InspectOptions& options, const CommonOptions& common) {
  common.apply();
  print_statistics(load_corpus_statistics(options.corpus), common);
  if (common.json) return;
  const auto documents = load_documents(options.corpus, Split::kTrain);
  for (int64_t i = 0; i < std::min(options.samples, std::ssize(documents)); ++i) {
    const std::string& text = documents[static_cast<size_t>(i)];
    fmt::print("\n--- document {} of train, {} bytes\n{}\n", i, text.size(),
               to_valid_utf8(std::string_view(text).substr(0, 400)));
  }
}

}  // namespace

void add_corpus(CLI::App& app, CommonOptions& common) {
  CLI::App* corpus = app.add_subcommand("corpus", "Documents in, splits out");
  corpus->require_subcommand(1);

  auto build_options = std::make_shared<BuildOptions>();
  build_options->config.name = "corpus";
  CLI::App* command = add_command(
      *corpus, "build", "Read sources, drop duplicates, split into train, validation, matching",
      "featflow corpus build 'corpora/lua/*.jsonl.zst' --out lua", common);
  command->add_option("sources", build_options->config.sources, "Files, folders or globs")
      ->required();
  command->add_option("--out", build_options->out, "Corpus folder to write")->required();
  command->add_option("--name", build_options->config.name, "Name in messages")
      ->capture_default_str();
  command->add_option("--text-key", build_options->config.text_key, "Key of a JSONL line")
      ->capture_default_str();
  command->add_option("--validation-share", build_options->config.validation_share)
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--matching-share", build_options->config.matching_share)
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--max-bytes", build_options->config.max_bytes, "0: everything")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_flag("--force", build_options->force, "Replace an existing folder");
  command->callback([build_options, &common] { build(*build_options, common); });

  auto inspect_options = std::make_shared<InspectOptions>();
  command = add_command(*corpus, "inspect", "Counts and samples of a corpus folder",
                        "featflow corpus inspect runs/quick/corpus/lua", common);
  command->add_option("corpus", inspect_options->corpus, "Corpus folder")->required();
  command->add_option("--samples", inspect_options->samples, "Documents to show")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->callback([inspect_options, &common] { inspect(*inspect_options, common); });
}

}  // namespace featflow
