#include "cli/text_input.hpp"

#include <fmt/format.h>

#include "core/error.hpp"
#include "corpus/document_reader.hpp"
#include "tokens/tokenizer.hpp"

namespace featflow {

void TextInput::add_to(CLI::App& command) {
  CLI::Option_group* group = command.add_option_group("Text");
  group->add_option("--data", data,
                    "JSONL (.zst, .gz), text files, a folder, a glob, or tokens .safetensors");
  group->add_option("--text", text, "The text itself");
  group->require_option(1);
}

TokenShard TextInput::load(const std::string& model_folder) const {
  if (text.empty()) return load_text(data, model_folder);
  return tokenize(Tokenizer::load(model_folder), {text});
}

TokenShard load_text(const std::string& data, const std::string& model_folder) {
  if (data.ends_with(".safetensors")) return load_token_shard(data);
  return tokenize(Tokenizer::load(model_folder), read_documents(data));
}

}  // namespace featflow
