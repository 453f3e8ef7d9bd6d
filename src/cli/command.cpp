#include "cli/command.hpp"

#include <fmt/format.h>

#include "core/error.hpp"
#include "core/log.hpp"
#include "core/parallel.hpp"
#include "model/model.hpp"

namespace featflow {

int CommonOptions::thread_count() const { return threads > 0 ? threads : default_thread_count(); }

void CommonOptions::apply() const {
  set_log_level(quiet ? LogLevel::kQuiet : verbose ? LogLevel::kVerbose : LogLevel::kNormal);
  set_thread_count(thread_count());
  set_torch_threads(thread_count());
}

CLI::App* add_command(CLI::App& parent, const std::string& name, const std::string& description,
                      const std::string& example, CommonOptions& common) {
  CLI::App* command = parent.add_subcommand(name, description);
  command->footer("Example:\n  " + example);
  command->add_flag("--json", common.json, "Results as one JSON document on stdout")
      ->group("Common");
  command->add_flag("-q,--quiet", common.quiet, "Warnings and results only")->group("Common");
  command->add_flag("-v,--verbose", common.verbose, "More on stderr")->group("Common");
  command->add_option("--threads", common.threads, "Threads (default: what this process may use)")
      ->check(CLI::Range(1, 1024))
      ->group("Common");
  return command;
}

void require_new(const std::string& path, bool force) {
  if (force || !std::filesystem::exists(path)) return;
  if (std::filesystem::is_directory(path) && std::filesystem::is_empty(path)) return;
  throw Error(
      fmt::format("{}: exists already; expected a new path, or --force to replace it", path));
}

void print_json(const nlohmann::ordered_json& value) {
  fmt::print("{}\n", value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace featflow
