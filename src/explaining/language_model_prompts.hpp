#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "explaining/language_model_session.hpp"

namespace featflow {

/// Text as prompts show it: the tokens' own text, valid UTF-8.
using TokenTexts = std::vector<std::string>;

struct ShownExcerpt {
  TokenTexts tokens;
  std::vector<int> levels;  ///< quantised_activation of each token.
};

/// Excerpts under one heading of ours.
struct ShownGroup {
  std::string heading;
  std::vector<ShownExcerpt> excerpts;
};

// Whatever comes from a corpus, or from a language model, stands in a prompt as JSON strings, one a
// line, between two lines that name a hash of what is between them: it can neither end the data nor
// look like a line of ours. The prompts say that it is data.

/// Tokens with activations 0–9; asks for a short explanation without tokens or samples (paper,
/// Appendix C), in a last line "[EXPLANATION]: …".
ChatPrompt explanation_prompt(std::span<const ShownGroup> groups);
/// What stands behind the last "[EXPLANATION]:" of a reply, on that line; nothing if there is none,
/// or it is empty or longer than kLongestExplanation bytes.
std::optional<std::string> parse_explanation(std::string_view reply);
inline constexpr size_t kLongestExplanation = 1000;

/// Asks for the activation, 0–9, on every token: a list as long as the tokens.
ChatPrompt simulation_prompt(std::string_view explanation, const TokenTexts& tokens);
/// Asks which of the texts activate the feature: a list of 0 and 1 (delphi's detection score).
ChatPrompt detection_prompt(std::string_view explanation, std::span<const std::string> texts);
/// Asks in which of the texts the marked tokens are those on which the feature is active (delphi's
/// fuzzing score).
ChatPrompt fuzzing_prompt(std::string_view explanation, std::span<const std::string> texts);
/// The tokens as one text, runs of marked ones between kMarkBegin and kMarkEnd.
std::string marked_text(const TokenTexts& tokens, const std::vector<uint8_t>& marked);
inline constexpr std::string_view kMarkBegin = "⟦", kMarkEnd = "⟧";

}  // namespace featflow
