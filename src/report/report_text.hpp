#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "autoencoder/feature_activations.hpp"
#include "tokens/token_shard.hpp"

namespace featflow {

/// The matching text that a page shows examples from, with what its tokens look like.
struct ReportText {
  TokenShard shard;
  std::vector<std::string> vocabulary;  ///< Tokenizer::token_text by id.

  /// Throws Error if the tokenizer's vocabulary is not that of the tokens.
  static ReportText load(const std::filesystem::path& tokens,
                         const std::filesystem::path& tokenizer);
  /// Throws Error naming `file` if the activations there are not of positions of this text.
  void check(const FeatureActivations& activations, const std::filesystem::path& file) const;
};

}  // namespace featflow
