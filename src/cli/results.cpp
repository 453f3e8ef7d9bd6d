#include "cli/results.hpp"

#include <fmt/format.h>

#include <set>

#include "core/error.hpp"
#include "study/run_folder.hpp"
#include "study/stages.hpp"

namespace featflow {
namespace {

void run_stage(const std::string& run, const std::string& stage, const std::string& file,
               const CommonOptions& common) {
  common.apply();
  const SavedStudy saved = load_run(run);
  const StageGraph graph = bring_up_to_date(saved, run, stage, common);
  const auto path = graph.folder(run, stage) / file;
  if (common.json) {
    print_json({{"run", run}, {"file", path.string()}});
  } else {
    fmt::print("{}\n", path.string());
  }
}

void add_stage(CLI::App& app, CommonOptions& common, const std::string& name,
               const std::string& description, const std::string& stage, const std::string& file) {
  auto run = std::make_shared<std::string>();
  CLI::App* command =
      add_command(app, name, description, "featflow " + name + " runs/quick", common);
  command->add_option("run", *run, "Run folder")->required();
  command->callback([=, &common] { run_stage(*run, stage, file, common); });
}

}  // namespace

StageGraph bring_up_to_date(const SavedStudy& saved, const std::string& run,
                            const std::string& until, const CommonOptions& common) {
  Provenance provenance = saved.provenance;
  provenance.threads = common.thread_count();
  const RunFolder held(run, saved.study, saved.text, provenance);
  StageGraph graph = build_stages(saved.study, run);
  const std::set<std::string> training = {"model", "sweep", "extension", "autoencoder"};
  for (const StageStatus& status : graph.plan(run, until)) {
    if (!status.to_do() || !training.contains(status.stage->kind)) continue;
    throw Error(fmt::format(
        "{}: {} is not ready ({}), and this command trains nothing; featflow run STUDY.toml --out "
        "{} does, featflow status {} says what else is left",
        run, status.stage->id(), status.reason, run, run));
  }
  graph.execute(run, until);
  return graph;
}

void add_flow(CLI::App& app, CommonOptions& common) {
  add_stage(app, common, "flow", "Persisting, emerging and disappearing features of a run",
            "flow/flow", "flow.json");
}

void add_report(CLI::App& app, CommonOptions& common) {
  add_stage(app, common, "report", "The report of a run, as one HTML file", "report/report",
            kReportFile);
}

}  // namespace featflow
