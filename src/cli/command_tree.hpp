#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace featflow {

/// An option, flag or positional argument of a command, as its --help has it.
struct OptionEntry {
  enum class Value { kNone, kChoice, kFile, kOther };  ///< kFile: any text, which may be a path.

  std::vector<std::string> names;  ///< "--out", "-q"; of a positional argument its one plain name.
  std::string description;
  Value value = Value::kNone;
  std::vector<std::string> choices;  ///< Of kChoice.
  std::string default_value;         ///< Empty if --help shows none.
  bool positional = false, required = false, repeatable = false;
  bool common = false;  ///< Every command has it.
};

/// A command and its sub-commands.
struct CommandEntry {
  std::string path;  ///< "" of the program itself, "/sae/train".
  std::string name, description;
  std::string footer;  ///< What --help ends with: an example.
  std::vector<OptionEntry> options, positionals;
  std::vector<CommandEntry> commands;
};

/// What the parser takes, read from the parser itself: completions and the man page come from it,
/// and so are never out of date. Hidden commands and options are left out.
CommandEntry command_tree(const CLI::App& app);

/// The command and all below it, parents first.
std::vector<const CommandEntry*> all_commands(const CommandEntry& root);

/// What the words of a refused command line name that `root` does not have, and what is nearest to
/// it: "featflow: no command 'rnu'; did you mean 'run'?". Empty if it is not that.
std::string unknown_word(const CommandEntry& root, const std::vector<std::string>& words);

/// Scripts that complete the commands, options and values of `root`.
std::string bash_completion(const CommandEntry& root);
std::string zsh_completion(const CommandEntry& root);
std::string fish_completion(const CommandEntry& root);

/// The manual page in troff (man(7)); `version` "0.1.0".
std::string man_page(const CommandEntry& root, const std::string& version);

}  // namespace featflow
