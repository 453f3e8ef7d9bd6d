#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string_view>

#include "cli/command.hpp"
#include "cli/version.hpp"
#include "core/blas.hpp"
#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "core/log.hpp"
#include "core/process.hpp"
#include "model/model.hpp"
#include "storage/files.hpp"
#include "study/estimates.hpp"
#include "study/run_folder.hpp"
#include "study/stages.hpp"

namespace featflow {
namespace {

struct RunOptions {
  std::string study, out, until;
  std::vector<std::string> set;
  bool dry_run = false;
};

std::string shell_quoted(const std::string& text) {
  const bool plain = std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) != 0 || std::string_view("_-./=,:@+").find(c) != std::string_view::npos;
  });
  if (plain && !text.empty()) return text;
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

// What does the same again: another --set would make other results.
std::string command_line(const RunOptions& options, const CommonOptions& common) {
  std::string line = "featflow run " + shell_quoted(options.study);
  if (!options.out.empty()) line += " --out " + shell_quoted(options.out);
  for (const std::string& set : options.set) line += " --set " + shell_quoted(set);
  if (!options.until.empty()) line += " --until " + shell_quoted(options.until);
  if (common.threads > 0) line += fmt::format(" --threads {}", common.threads);
  return line;
}

const char* state_name(StageState state) {
  switch (state) {
    case StageState::kReady:
      return "ready";
    case StageState::kKept:
      return "kept";
    case StageState::kPartial:
      return "partial";
    case StageState::kStale:
      return "stale";
    case StageState::kMissing:
      return "to do";
  }
  return "";
}

int64_t stage_memory(const StageStatus& status) {
  return kProcessMemory + status.stage->estimated_memory;
}

int64_t peak_memory(const std::vector<StageStatus>& plan) {
  int64_t most = 0;
  for (const StageStatus& status : plan) {
    if (status.to_do()) most = std::max(most, stage_memory(status));
  }
  return most;
}

std::string plan_table(const std::vector<StageStatus>& plan, const std::filesystem::path& run) {
  double seconds = 0;
  int64_t bytes = 0;
  std::string out = fmt::format("{:<44} {:<8} {:>10}  {}\n", "stage", "state", "about", "why");
  for (const StageStatus& status : plan) {
    if (status.to_do()) {
      seconds += status.stage->estimated_seconds;
      bytes += status.stage->estimated_bytes;
    }
    out += fmt::format("{:<44} {:<8} {:>10}  {}\n", status.stage->id(), state_name(status.state),
                       status.to_do() ? human_seconds(status.stage->estimated_seconds) : "",
                       status.reason);
  }
  return out + fmt::format("in all about {}, {} of memory, {} on disk, in {}",
                           human_seconds(seconds), human_bytes(peak_memory(plan)),
                           human_bytes(bytes), run.string());
}

void warn_of_memory(const std::vector<StageStatus>& plan) {
  const int64_t memory = peak_memory(plan);
  if (const int64_t available = available_memory_bytes(); available > 0 && available < memory) {
    log_warning(
        fmt::format("{} of memory are available, about {} expected; a smaller "
                    "matching.tokens or autoencoder.expansion needs less",
                    human_bytes(available), human_bytes(memory)));
  }
}

// Refuses before anything is computed if the disk cannot hold what is to come.
void require_disk(const std::vector<StageStatus>& plan, const std::filesystem::path& run) {
  int64_t needed = 0;
  for (const StageStatus& status : plan) {
    if (status.to_do()) needed += status.stage->estimated_bytes;
  }
  std::filesystem::path existing = std::filesystem::absolute(run);
  while (!std::filesystem::exists(existing)) existing = existing.parent_path();
  const int64_t free = free_disk_bytes(existing);
  if (free >= 0 && free < needed) {
    throw Error(
        fmt::format("{}: {} free on this disk, expected at least {} for the study; make "
                    "room (featflow clean RUN) or choose another --out",
                    run.string(), human_bytes(free), human_bytes(needed)));
  }
}

void run_study(const RunOptions& options, const CommonOptions& common) {
  common.apply();
  const std::filesystem::path study_file = options.study;
  const std::string text = read_file(study_file);
  const auto folder = std::filesystem::absolute(study_file).parent_path();
  const Study study = parse_study(text, options.study, folder, options.set);
  const std::filesystem::path run = options.out.empty() ? std::filesystem::path("runs") / study.name
                                                        : std::filesystem::path(options.out);
  const StageGraph graph = build_stages(study, run);

  if (options.dry_run) {
    const auto plan = graph.plan(run, options.until);
    if (!common.json) {
      fmt::print("{}\n", plan_table(plan, run));
      warn_of_memory(plan);
      return;
    }
    nlohmann::ordered_json stages = nlohmann::ordered_json::array();
    for (const StageStatus& status : plan) {
      stages.push_back({{"stage", status.stage->id()},
                        {"state", state_name(status.state)},
                        {"reason", status.reason},
                        {"estimated_seconds", status.stage->estimated_seconds},
                        {"estimated_bytes", status.stage->estimated_bytes},
                        {"estimated_memory", stage_memory(status)}});
    }
    print_json({{"study", study.name}, {"run", run.string()}, {"stages", stages}});
    return;
  }

  const Provenance provenance{folder,
                              options.set,
                              common.thread_count(),
                              processor_and_kernels(),
                              blas_info().config,
                              torch_version(),
                              version()};
  {
    const auto plan = graph.plan(run, options.until);
    require_disk(plan, run);
    log_info(plan_table(plan, run));
    warn_of_memory(plan);
  }
  const RunFolder held(run, study, text, provenance);
  try {
    graph.execute(run, options.until);
  } catch (const Interrupted&) {
    log_info("to go on: " + command_line(options, common));
    throw;
  }
  const auto report = run / "report" / "report" / kReportFile;
  if (common.json) {
    const bool report_is_current = graph.plan(run).back().state == StageState::kReady;
    print_json({{"study", study.name},
                {"run", run.string()},
                {"report", report_is_current ? nlohmann::ordered_json(report.string())
                                             : nlohmann::ordered_json()},
                {"peak_memory_bytes", peak_memory_bytes()}});
    return;
  }
  if (!options.until.empty()) return;
  fmt::print("{}", summarize(study, run));
  fmt::print("\nReport: {}\n", std::filesystem::absolute(report).string());
}

}  // namespace

void add_run(CLI::App& app, CommonOptions& common) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command =
      add_command(app, "run", "Run a whole study, from text to report; goes on where it stopped",
                  "featflow run studies/quick.toml --set autoencoder.l1_coefficient=5e-4", common);
  command->add_option("study", options->study, "Study file (TOML)")
      ->required()
      ->check(CLI::ExistingFile);
  command->add_option("--out", options->out, "Run folder (default: runs/NAME)");
  command->add_option("--set", options->set, "Override a key: a.b=value; repeatable")
      ->allow_extra_args(false);
  command->add_option("--until", options->until, "Stop after this stage: a kind, or kind/name");
  command->add_flag("--dry-run", options->dry_run, "Print the plan and stop");
  command->callback([options, &common] { run_study(*options, common); });
}

namespace {

void print_status(const std::string& run, const CommonOptions& common) {
  const SavedStudy saved = load_run(run);
  const StageGraph graph = build_stages(saved.study, run);
  const auto plan = graph.plan(run);
  const auto ready = std::ranges::count(plan, StageState::kReady, &StageStatus::state);
  if (common.json) {
    nlohmann::ordered_json stages = nlohmann::ordered_json::array();
    for (const StageStatus& status : plan) {
      stages.push_back({{"stage", status.stage->id()},
                        {"state", state_name(status.state)},
                        {"reason", status.reason}});
    }
    print_json({{"study", saved.study.name}, {"run", run}, {"stages", stages}});
    return;
  }
  fmt::print("{}: study {}, {} of {} stages ready\n", run, saved.study.name, ready, plan.size());
  for (const StageStatus& status : plan) {
    fmt::print("  {:<44} {:<8} {}\n", status.stage->id(), state_name(status.state), status.reason);
  }
}

// Without RUN: the runs in ./runs.
void list_runs(const CommonOptions& common) {
  std::vector<std::filesystem::path> folders;
  if (std::filesystem::is_directory("runs")) {
    for (const auto& entry : std::filesystem::directory_iterator("runs")) {
      if (std::filesystem::exists(entry.path() / "study.toml")) folders.push_back(entry.path());
    }
  }
  std::ranges::sort(folders);
  nlohmann::ordered_json runs = nlohmann::ordered_json::array();
  for (const auto& folder : folders) {
    try {
      const SavedStudy saved = load_run(folder);
      const auto plan = build_stages(saved.study, folder).plan(folder);
      runs.push_back({{"run", folder.string()},
                      {"study", saved.study.name},
                      {"ready", std::ranges::count(plan, StageState::kReady, &StageStatus::state)},
                      {"stages", plan.size()}});
    } catch (const Error& error) {
      runs.push_back({{"run", folder.string()}, {"error", error.what()}});
    }
  }
  if (common.json) {
    print_json(runs);
    return;
  }
  if (runs.empty()) fmt::print("no runs in ./runs; featflow run STUDY.toml makes one\n");
  for (const auto& run : runs) {
    if (run.contains("error")) {
      fmt::print("{:<32} {}\n", run["run"].get<std::string>(), run["error"].get<std::string>());
    } else {
      fmt::print("{:<32} study {}, {} of {} stages ready\n", run["run"].get<std::string>(),
                 run["study"].get<std::string>(), run["ready"].get<int64_t>(),
                 run["stages"].get<int64_t>());
    }
  }
}

}  // namespace

void add_status(CLI::App& app, CommonOptions& common) {
  auto run = std::make_shared<std::string>();
  CLI::App* command = add_command(app, "status", "What is done, stale and left in a run, and why",
                                  "featflow status runs/quick", common);
  command->add_option("run", *run, "Run folder (default: list the runs in ./runs)");
  command->callback([run, &common] {
    common.apply();
    run->empty() ? list_runs(common) : print_status(*run, common);
  });
}

void add_clean(CLI::App& app, CommonOptions& common) {
  auto run = std::make_shared<std::string>();
  CLI::App* command = add_command(app, "clean", "Delete a run's superseded artefacts",
                                  "featflow clean runs/quick", common);
  command->add_option("run", *run, "Run folder")->required();
  command->callback([run, &common] {
    common.apply();
    const int64_t freed = clean_run(*run);
    if (common.json) {
      print_json({{"run", *run}, {"freed_bytes", freed}});
    } else {
      fmt::print("{}: {} freed\n", *run, human_bytes(freed));
    }
  });
}

}  // namespace featflow
