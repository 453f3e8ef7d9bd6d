#include <fmt/format.h>

#include "cli/command.hpp"
#include "cli/command_tree.hpp"
#include "cli/version.hpp"

namespace featflow {
namespace {

using Value = OptionEntry::Value;

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
  return text;
}

// As one word of a shell.
std::string shell_quoted(const std::string& text) {
  return "'" + replaced(text, "'", R"('\'')") + "'";
}
// Fish's single quotes know two escapes.
std::string fish_quoted(const std::string& text) {
  return "'" + replaced(replaced(text, "\\", "\\\\"), "'", "\\'") + "'";
}

std::vector<std::string> paths_below(const CommandEntry& root) {
  std::vector<std::string> paths;
  for (const CommandEntry* command : all_commands(root)) {
    if (!command->path.empty()) paths.push_back(command->path);
  }
  return paths;
}

std::vector<std::string> names_of(const std::vector<CommandEntry>& commands) {
  std::vector<std::string> names;
  for (const CommandEntry& command : commands) names.push_back(command.name);
  return names;
}

std::vector<std::string> option_names(const CommandEntry& command) {
  std::vector<std::string> names;
  for (const OptionEntry& option : command.options) {
    names.insert(names.end(), option.names.begin(), option.names.end());
  }
  return names;
}

// `case` patterns of bash for an option of a command: '/run --out'|'/run -o'.
std::string bash_patterns(const CommandEntry& command, const OptionEntry& option) {
  std::vector<std::string> patterns;
  for (const std::string& name : option.names)
    patterns.push_back(shell_quoted(command.path + " " + name));
  return fmt::format("{}", fmt::join(patterns, "|"));
}

constexpr std::string_view kZshFiles = "_files";

// The action of zsh's _arguments for a value.
std::string zsh_action(const OptionEntry& option) {
  if (option.value == Value::kChoice) return fmt::format("({})", fmt::join(option.choices, " "));
  return option.value == Value::kFile ? std::string(kZshFiles) : " ";
}

// A specification of _arguments, whose brackets and colons have a meaning.
std::string zsh_text(const std::string& text) {
  return replaced(replaced(replaced(text, "[", "\\["), "]", "\\]"), ":", "\\:");
}

std::string zsh_function_name(const std::string& path) {
  return "_featflow" + replaced(replaced(path, "/", "_"), "-", "_");
}

std::string zsh_function(const CommandEntry& command) {
  std::string out = fmt::format(
      "{}() {{\n  local curcontext=$curcontext state state_descr line\n"
      "  typeset -A opt_args\n  _arguments -C -s",
      zsh_function_name(command.path));
  for (const OptionEntry& option : command.options) {
    for (const std::string& name : option.names) {
      std::string spec = (option.repeatable ? "*" : "") + name;
      if (option.value != Value::kNone) spec += name.starts_with("--") ? "=" : "+";
      spec += "[" + zsh_text(option.description) + "]";
      if (option.value != Value::kNone) spec += ":value:" + zsh_action(option);
      out += " \\\n    " + shell_quoted(spec);
    }
  }
  if (!command.commands.empty()) {
    out += " \\\n    '1:command:->command' '*::argument:->argument'\n  case $state in\n";
    out += "    command)\n      local -a commands=(";
    for (const CommandEntry& child : command.commands) {
      out +=
          "\n        " + shell_quoted(child.name + ":" + replaced(child.description, ":", "\\:"));
    }
    out += ")\n      _describe command commands ;;\n    argument)\n      case $words[1] in\n";
    for (const CommandEntry& child : command.commands) {
      out += fmt::format("        {}) {} ;;\n", child.name, zsh_function_name(child.path));
    }
    out += "      esac ;;\n  esac\n";
  } else {
    for (const OptionEntry& positional : command.positionals) {
      out += " \\\n    " +
             shell_quoted((positional.repeatable ? "*:"
                           : positional.required ? ":"
                                                 : "::") +
                          zsh_text(positional.names.front()) + ":" + zsh_action(positional));
    }
    out += "\n";
  }
  return out + "}\n\n";
}

}  // namespace

std::string bash_completion(const CommandEntry& root) {
  std::string out =
      "# bash completion for featflow, by `featflow completion bash`\n"
      "_featflow() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= i\n"
      "  # --option=value comes in three words.\n"
      "  [[ $prev == = && COMP_CWORD -gt 1 ]] && prev=${COMP_WORDS[COMP_CWORD-2]}\n"
      "  [[ $cur == = ]] && cur=\n"
      "  for ((i = 1; i < COMP_CWORD; ++i)); do\n"
      "    case $command/${COMP_WORDS[i]} in\n";
  out += fmt::format("      {}) command+=/${{COMP_WORDS[i]}} ;;\n    esac\n  done\n",
                     fmt::join(paths_below(root), "|"));
  out +=
      "  _featflow_files() {\n"
      "    compopt -o filenames 2>/dev/null\n"
      "    mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
      "  }\n"
      "  _featflow_words() { mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$cur\"); }\n"
      "  COMPREPLY=()\n"
      "  case \"$command $prev\" in\n";
  for (const CommandEntry* command : all_commands(root)) {
    for (const OptionEntry& option : command->options) {
      if (option.value == Value::kNone) continue;
      const std::string action =
          option.value == Value::kFile ? "_featflow_files; "
          : option.value == Value::kChoice
              ? fmt::format("_featflow_words '{}'; ", fmt::join(option.choices, " "))
              : "";
      out += fmt::format("    {}) {}return ;;\n", bash_patterns(*command, option), action);
    }
  }
  out += "  esac\n  if [[ $cur == -* ]]; then\n    case $command in\n";
  for (const CommandEntry* command : all_commands(root)) {
    out += fmt::format("      '{}') _featflow_words '{}' ;;\n", command->path,
                       fmt::join(option_names(*command), " "));
  }
  out += "    esac\n    return\n  fi\n  case $command in\n";
  for (const CommandEntry* command : all_commands(root)) {
    if (!command->commands.empty()) {
      out += fmt::format("    '{}') _featflow_words '{}' ;;\n", command->path,
                         fmt::join(names_of(command->commands), " "));
    } else if (!command->positionals.empty()) {
      const OptionEntry& first = command->positionals.front();
      if (first.value == Value::kChoice) {
        out += fmt::format("    '{}') _featflow_words '{}' ;;\n", command->path,
                           fmt::join(first.choices, " "));
      } else if (first.value == Value::kFile) {
        out += fmt::format("    '{}') _featflow_files ;;\n", command->path);
      }
    }
  }
  return out + "  esac\n}\ncomplete -F _featflow featflow\n";
}

std::string zsh_completion(const CommandEntry& root) {
  std::string out = "#compdef featflow\n# zsh completion, by `featflow completion zsh`\n\n";
  for (const CommandEntry* command : all_commands(root)) out += zsh_function(*command);
  return out +
         "if [[ $funcstack[1] == _featflow ]]; then\n  _featflow \"$@\"\nelse\n"
         "  compdef _featflow featflow\nfi\n";
}

std::string fish_completion(const CommandEntry& root) {
  std::string out = fmt::format(
      "# fish completion for featflow, by `featflow completion fish`\n"
      "function __featflow_at\n"
      "    set -l command ''\n"
      "    for word in (commandline -opc)[2..-1]\n"
      "        switch $command/$word\n"
      "            case {}\n"
      "                set command $command/$word\n"
      "        end\n"
      "    end\n"
      "    test \"$command\" = \"$argv[1]\"\n"
      "end\n"
      "complete -c featflow -e\n",
      fmt::join(paths_below(root), " "));
  for (const CommandEntry* command : all_commands(root)) {
    const std::string at =
        fmt::format("complete -c featflow -n \"__featflow_at '{}'\"", command->path);
    bool files = false;
    for (const OptionEntry& positional : command->positionals) {
      files = files || positional.value == Value::kFile;
      if (positional.value != Value::kChoice) continue;
      out += fmt::format("{} -f -a {}\n", at,
                         fish_quoted(fmt::format("{}", fmt::join(positional.choices, " "))));
    }
    if (!files) out += at + " -f\n";
    for (const CommandEntry& child : command->commands) {
      out += fmt::format("{} -a {} -d {}\n", at, child.name, fish_quoted(child.description));
    }
    for (const OptionEntry& option : command->options) {
      std::string line = at;
      for (const std::string& name : option.names) {
        line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      }
      if (option.value == Value::kFile) line += " -r -F";
      if (option.value == Value::kOther) line += " -x";
      if (option.value == Value::kChoice) {
        line += fmt::format(" -x -a {}",
                            fish_quoted(fmt::format("{}", fmt::join(option.choices, " "))));
      }
      out += line + " -d " + fish_quoted(option.description) + "\n";
    }
  }
  return out;
}

void add_completion(CLI::App& app, CommonOptions&) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("completion", "Completion of commands and options by a shell");
  command->footer(
      "Example:\n  source <(featflow completion bash)\n"
      "  featflow completion fish > ~/.config/fish/completions/featflow.fish");
  command->add_option("shell", *shell, "The shell")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->callback([shell, &app] {
    const CommandEntry tree = command_tree(app);
    fmt::print("{}", *shell == "bash"  ? bash_completion(tree)
                     : *shell == "zsh" ? zsh_completion(tree)
                                       : fish_completion(tree));
  });
}

void add_man(CLI::App& app, CommonOptions&) {
  CLI::App* command = app.add_subcommand("man", "The manual page");
  command->footer("Example:\n  featflow man | man -l -");
  command->callback([&app] { fmt::print("{}", man_page(command_tree(app), version())); });
}

}  // namespace featflow
