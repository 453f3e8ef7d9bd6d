#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "explaining/chat_server.hpp"
#include "explaining/language_model_explanations.hpp"

namespace featflow {

inline constexpr int64_t kPlantedDocuments = 80, kPlantedDocumentTokens = 100;

/// Documents of words in random order, with features that are active on some of them. Every
/// position has a token of its own, "red_1234", so that what a prompt shows is known to the token.
/// For tests.
struct PlantedColours {
  /// Feature 0: "red" strongly, "blue" weakly, seldom another word. 1: "seven". 2: on two tokens,
  /// one in each half. 3: never.
  PlantedColours();

  /// Found by its row, with nothing of the code under test.
  double activation(int64_t position, int32_t feature) const;
  LanguageModelSource source() const;

  TokenShard text;
  std::vector<std::string> words;  ///< By token, which is its position.
  FeatureActivations activations;
};

/// A request, as a model without any understanding reads it.
struct AskedPrompt {
  explicit AskedPrompt(const ChatServer::Request& request);

  bool about(const std::string& explanation) const;

  std::string kind;  ///< "explain", "simulate", "detect" or "fuzz".
  std::string user;
  std::vector<std::string> shown;  ///< Tokens or texts between the last BEGIN DATA and END DATA.
};

/// The positions of the tokens in a text.
std::vector<int64_t> positions_in(const std::string& text);

/// Answers by two rules: colours (red 9, blue 4) and the number seven.
std::string follow_rules(const AskedPrompt& asked);

/// A server that answers with chat completions, and counts a token for 3 bytes.
ChatServer::Answer chat_model(std::function<std::string(const AskedPrompt&)> rules = follow_rules,
                              double delay_seconds = 0);

}  // namespace featflow
