#include "cli/command_tree.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "core/error.hpp"
#include "core/nearest.hpp"

namespace featflow {
namespace {

// "TEXT:{linear,slerp}" → its members.
std::vector<std::string> choices_of(const std::string& type) {
  const size_t open = type.find('{'), close = type.find('}', open);
  if (open == std::string::npos || close == std::string::npos) return {};
  return CLI::detail::split(type.substr(open + 1, close - open - 1), ',');
}

OptionEntry entry_of(const CLI::Option& option) {
  using Value = OptionEntry::Value;
  OptionEntry entry;
  entry.positional = option.get_positional() && !option.nonpositional();
  if (entry.positional) {
    entry.names = {option.get_name(true)};
  } else {
    for (const std::string& name : option.get_lnames()) entry.names.push_back("--" + name);
    for (const std::string& name : option.get_snames()) entry.names.push_back("-" + name);
  }
  entry.description = option.get_description();
  entry.default_value = option.get_default_str();
  entry.required = option.get_required();
  entry.repeatable = option.get_items_expected_max() > 1;
  entry.common = option.get_group() == "Common" || option.check_name("--help");
  if (option.get_items_expected_max() > 0) {
    const std::string type = option.get_type_name();
    entry.choices = choices_of(type);
    entry.value = !entry.choices.empty()     ? Value::kChoice
                  : type.starts_with("TEXT") ? Value::kFile
                                             : Value::kOther;
  }
  return entry;
}

void add_options(const CLI::App& app, CommandEntry& entry) {
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;  // hidden
    OptionEntry one = entry_of(*option);
    (one.positional ? entry.positionals : entry.options).push_back(std::move(one));
  }
}

CommandEntry entry_of(const CLI::App& app, const std::string& path) {
  CommandEntry entry;
  entry.path = path;
  entry.name = app.get_name();
  entry.description = app.get_description();
  entry.footer = app.get_footer();
  add_options(app, entry);
  for (const CLI::App* child : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (child->get_name().empty()) {
      add_options(*child, entry);  // an option group
    } else if (!child->get_group().empty()) {
      entry.commands.push_back(entry_of(*child, path + "/" + child->get_name()));
    }
  }
  return entry;
}

}  // namespace

CommandEntry command_tree(const CLI::App& app) { return entry_of(app, ""); }

std::string unknown_word(const CommandEntry& root, const std::vector<std::string>& words) {
  const CommandEntry* command = &root;
  for (const std::string& word : words) {
    if (word == "--") break;
    if (word.starts_with("--")) {
      const std::string option = word.substr(0, word.find('='));
      std::vector<std::string> names;
      for (const OptionEntry& known : command->options) {
        names.insert(names.end(), known.names.begin(), known.names.end());
      }
      if (std::ranges::find(names, option) != names.end()) continue;
      return fmt::format("{}: no option {}; {}", command->name, in_quotes(option),
                         expected_name(option, names));
    }
    if (word.starts_with('-') || command->commands.empty()) continue;  // short, or a value
    const auto next = std::ranges::find(command->commands, word, &CommandEntry::name);
    if (next == command->commands.end()) {
      std::vector<std::string> names;
      for (const CommandEntry& known : command->commands) names.push_back(known.name);
      return fmt::format("{}: no command {}; {}", command->name, in_quotes(word),
                         expected_name(word, names));
    }
    command = &*next;
  }
  return "";
}

std::vector<const CommandEntry*> all_commands(const CommandEntry& root) {
  std::vector<const CommandEntry*> all = {&root};
  for (const CommandEntry& command : root.commands) {
    const auto below = all_commands(command);
    all.insert(all.end(), below.begin(), below.end());
  }
  return all;
}

}  // namespace featflow
