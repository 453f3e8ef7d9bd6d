#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "checkpoint/checkpoint.hpp"
#include "tokens/token_shard.hpp"

namespace featflow {

/// Text that a command works on: --data (JSONL, plain files, a folder, a glob, or a
/// tokens.safetensors made by FeatFlow) or --text.
struct TextInput {
  std::string data, text;

  void add_to(CLI::App& command);
  /// Tokenised with `model_folder`'s tokenizer.model unless the data are tokens already.
  TokenShard load(const std::string& model_folder) const;
};

/// A model that is run on text of its folder's tokenizer.model, whose special tokens it takes.
Checkpoint load_model_for_text(const std::string& model_folder);

/// One such source given by name.
TokenShard load_text(const std::string& data, const std::string& model_folder);

}  // namespace featflow
