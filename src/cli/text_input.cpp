#include "cli/text_input.hpp"

#include <filesystem>

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

Checkpoint load_model_for_text(const std::string& model_folder) {
  Checkpoint model = load_checkpoint(model_folder);
  if (std::filesystem::exists(std::filesystem::path(model_folder) / "tokenizer.model")) {
    const Tokenizer tokenizer = Tokenizer::load(model_folder);
    adopt_special_tokens(model.config, tokenizer.bos_id(), tokenizer.eos_id(), model_folder);
  }
  return model;
}

TokenShard load_text(const std::string& data, const std::string& model_folder) {
  if (data.ends_with(".safetensors")) return load_token_shard(data);
  return tokenize(Tokenizer::load(model_folder), read_documents(data));
}

}  // namespace featflow
