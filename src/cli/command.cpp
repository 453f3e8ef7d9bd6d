#include "cli/command.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"
#include "core/log.hpp"
#include "core/nearest.hpp"
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

std::string unknown_word(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* command = &app;
  for (const std::string& word : words) {
    if (word == "--") break;
    if (word.starts_with("--")) {
      const std::string option = word.substr(0, word.find('='));
      std::vector<std::string> options;
      for (const CLI::Option* known : command->get_options()) {
        for (const std::string& name : known->get_lnames()) options.push_back("--" + name);
      }
      if (std::ranges::find(options, option) != options.end()) continue;
      return fmt::format("{}: no option {}; {}", command->get_name(), in_quotes(option),
                         expected_name(option, options));
    }
    std::vector<std::string> names;
    const CLI::App* next = nullptr;
    for (const CLI::App* known : command->get_subcommands([](const CLI::App*) { return true; })) {
      names.push_back(known->get_name());
      if (names.back() == word) next = known;
    }
    if (word.starts_with('-') || names.empty()) continue;  // a short option, or a value
    if (next == nullptr) {
      return fmt::format("{}: no command {}; {}", command->get_name(), in_quotes(word),
                         expected_name(word, names));
    }
    command = next;
  }
  return "";
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
