#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "cli/command_tree.hpp"

namespace featflow {
namespace {

// Text of one line for troff: its escapes, hyphens that are typed, and what is not ASCII.
std::string troff(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte == '\\') {
      out += "\\e";
    } else if (byte == '-') {
      out += "\\-";
    } else if (byte == '\n') {
      out += ' ';
    } else if (byte < 0x80) {
      out += text[i];
    } else {  // UTF-8
      const int more = byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : 1;
      uint32_t code = byte & (0x3Fu >> more);
      for (int k = 0; k < more && i + 1 < text.size(); ++k) {
        code = code << 6 | (static_cast<unsigned char>(text[++i]) & 0x3Fu);
      }
      out += fmt::format("\\[u{:04X}]", code);
    }
  }
  // A control character at the beginning of a line would make it a request.
  if (out.starts_with('.') || out.starts_with('\'')) out.insert(0, "\\&");
  return out;
}

std::string bold(const std::string& text) { return "\\fB" + troff(text) + "\\fR"; }
std::string italic(const std::string& text) { return "\\fI" + troff(text) + "\\fR"; }

std::string value_name(const OptionEntry& option) {
  using Value = OptionEntry::Value;
  if (option.value == Value::kNone) return "";
  if (option.value == Value::kChoice) {
    return troff(fmt::format("{}", fmt::join(option.choices, "|")));
  }
  return italic(option.value == Value::kFile ? "TEXT" : "NUMBER");
}

std::string sentence(const OptionEntry& option) {
  std::string text = option.description;
  if (option.value == OptionEntry::Value::kChoice && option.positional) {
    text += fmt::format(": {}", fmt::join(option.choices, ", "));
  }
  if (!option.default_value.empty()) text += " [" + option.default_value + "]";
  if (option.required && !option.positional) text += " (required)";
  return troff(text);
}

std::string entry(const OptionEntry& option) {
  std::string head;
  for (const std::string& name : option.names) {
    if (!head.empty()) head += ", ";
    head += option.positional ? italic(name) : bold(name);
  }
  if (!option.positional && option.value != OptionEntry::Value::kNone) {
    head += " " + value_name(option);
  }
  return ".TP\n" + head + "\n" + sentence(option) + "\n";
}

// The lines of an example as they are.
std::string verbatim(const std::string& text) {
  std::string out = ".PP\n.nf\n.RS\n", line;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    line = text.substr(begin, end - begin);
    const size_t first = line.find_first_not_of(' ');
    out += first == std::string::npos ? "" : troff(line.substr(first)) + "\n";
    begin = end + 1;
  }
  return out + ".RE\n.fi\n";
}

std::string section(const CommandEntry& command) {
  std::string words = "featflow";
  for (const char c : command.path) words += c == '/' ? ' ' : c;
  for (const OptionEntry& positional : command.positionals) {
    words += positional.required ? " " + positional.names.front()
                                 : " [" + positional.names.front() + "]";
    if (positional.repeatable) words += "...";
  }
  std::string out = ".SS " + troff(words) + "\n" + troff(command.description) + ".\n";
  for (const OptionEntry& positional : command.positionals) out += entry(positional);
  for (const OptionEntry& option : command.options) {
    if (!option.common) out += entry(option);
  }
  constexpr std::string_view kExample = "Example:\n";
  if (command.footer.starts_with(kExample)) out += verbatim(command.footer.substr(kExample.size()));
  return out;
}

}  // namespace

std::string man_page(const CommandEntry& root, const std::string& version) {
  std::string out = ".\\\" By `featflow man`.\n";
  out += fmt::format(".TH FEATFLOW 1 \"\" \"featflow {}\" \"User Commands\"\n", troff(version));
  out += ".SH NAME\nfeatflow \\- features of language models through fine\\-tuning and merging\n";
  out += ".SH SYNOPSIS\n.B featflow\n.I COMMAND\n[\\fIARGUMENTS\\fR] [\\fIOPTIONS\\fR]\n";
  out += ".SH DESCRIPTION\n" + troff(root.description) + "\n";
  out += ".PP\nResults go to standard output, progress and messages to standard error.\n";
  out += ".SH COMMANDS\n";
  std::vector<OptionEntry> common;
  for (const CommandEntry* command : all_commands(root)) {
    if (command == &root || !command->commands.empty()) continue;
    out += section(*command);
    if (!common.empty()) continue;
    for (const OptionEntry& option : command->options) {
      if (option.common) common.push_back(option);
    }
  }
  out += ".SH COMMON OPTIONS\n";
  for (const OptionEntry& option : common) out += entry(option);
  for (const OptionEntry& option : root.options) {
    if (!option.common) out += entry(option);
  }
  out +=
      ".SH EXIT STATUS\n"
      ".TP\n0\nDone.\n"
      ".TP\n1\nAn error that the line on standard error says how to mend.\n"
      ".TP\n2\nA wrong command line.\n"
      ".TP\n70\nA bug in FeatFlow.\n"
      ".TP\n130\nInterrupted; the same command goes on from where it was.\n"
      ".SH ENVIRONMENT\n"
      ".TP\nFEATFLOW_CPU\nbaseline, avx2 or avx512: the instruction set to use.\n"
      ".TP\nOPENAI_API_KEY\nThe key that explain \\-\\-language\\-model sends, unless "
      "\\-\\-api\\-key\\-variable names another variable.\n"
      ".TP\nNO_COLOR\nIf set, no colours.\n";
  return out;
}

}  // namespace featflow
