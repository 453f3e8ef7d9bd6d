#include <fmt/format.h>

#include <algorithm>

#include "cli/command.hpp"
#include "cli/version.hpp"
#include "core/blas.hpp"
#include "core/error.hpp"
#include "core/nearest.hpp"
#include "core/process.hpp"
#include "model/model.hpp"
#include "storage/files.hpp"
#include "study/run_folder.hpp"
#include "study/stages.hpp"

namespace featflow {
namespace {

struct TrainOptions {
  std::string config, model, out, run;
  std::vector<std::string> set;
  bool force = false;
};

// The config is a study; only what the one model needs is run.
void run_train(const TrainOptions& options, const CommonOptions& common) {
  common.apply();
  require_new(options.out, options.force);
  const std::string text = read_file(options.config);
  const auto folder = std::filesystem::absolute(options.config).parent_path();
  const Study study = parse_study(text, options.config, folder, options.set);
  std::string name = options.model;
  if (name.empty()) {
    if (study.models.size() > 1) {
      throw Error(fmt::format("{}: describes {} models; expected --model NAME to say which",
                              options.config, study.models.size()));
    }
    name = study.models.front().name;
  }
  std::vector<std::string> names;
  for (const ModelSettings& model : study.models) names.push_back(model.name);
  if (std::ranges::find(names, name) == names.end()) {
    throw Error(fmt::format("--model {}: {} has no such model; {}", in_quotes(name), options.config,
                            expected_name(name, names)));
  }
  const StageGraph graph = build_stages(study);
  const std::filesystem::path run = options.run.empty() ? std::filesystem::path("runs") / study.name
                                                        : std::filesystem::path(options.run);
  const RunFolder held(run, study, text,
                       {folder, options.set, common.thread_count(), processor_and_kernels(),
                        blas_info().config, torch_version(), version()});
  graph.execute(run, "model/" + name);
  const auto built = graph.folder(run, "model/" + name);
  save_checkpoint(load_checkpoint(built), options.out, built);
  if (common.json) {
    print_json({{"model", name}, {"out", options.out}, {"run", run.string()}});
  } else {
    fmt::print("{}: {}\nmetrics: {}\n", name, options.out, (built / "metrics.jsonl").string());
  }
}

}  // namespace

void add_train(CLI::App& app, CommonOptions& common) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App* command = add_command(
      app, "train", "Pre-train or fine-tune one model of a study file",
      "featflow train studies/quick.toml --model BabyPython --out models/BabyPython", common);
  command->add_option("config", options->config, "Study file (TOML) that describes the model")
      ->required()
      ->check(CLI::ExistingFile);
  command->add_option("--model", options->model, "Which, if the file describes several");
  command->add_option("--out", options->out, "Model folder to write")->required();
  command->add_option("--run", options->run,
                      "Run folder for tokens and checkpoints (default: runs/NAME)");
  command->add_option("--set", options->set, "Override a key: a.b=value; repeatable")
      ->allow_extra_args(false);
  command->add_flag("--force", options->force, "Replace an existing folder");
  command->callback([options, &common] { run_train(*options, common); });
}

}  // namespace featflow
