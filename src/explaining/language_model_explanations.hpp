#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "explaining/language_model_examples.hpp"
#include "explaining/language_model_session.hpp"

namespace featflow {

/// One model's features on the matching text; all borrowed.
struct LanguageModelSource {
  const FeatureActivations& activations;
  const TokenShard& text;  ///< The matching text.
  /// The bytes a token stands for within text (Tokenizer::token_bytes).
  std::function<std::string(int32_t)> token_bytes;
  std::string fingerprint = {};  ///< Of the artefact that the activations are from.
};

struct LanguageModelExplainOptions {
  LanguageModelOptions model;
  LanguageModelExampleCounts counts;
  int64_t texts_per_prompt = 5;  ///< Of detection and fuzzing.
  bool simulate = true, detect = true, fuzz = true;
  uint64_t seed = 0;          ///< Of the examples.
  std::filesystem::path out;  ///< language_model_explanations.json; empty: not written.
};

/// What came of one feature (docs/method.md, "Explanations by a language model"). A score that
/// could not be had is absent, never 0.
struct LanguageModelExplanation {
  int32_t feature = 0;
  std::optional<std::string> explanation;  ///< Untrusted text of one line.
  std::optional<double> simulation_score;  ///< Pearson over all tokens simulated.
  std::optional<double> simulation_spearman;
  std::optional<double> detection, fuzzing;  ///< Balanced accuracy; ½ is chance.

  struct Examples {
    int64_t explained = 0;             ///< Excerpts shown.
    int64_t simulated = 0;             ///< Excerpts with a usable simulation.
    int64_t simulated_tokens = 0;      ///< Tokens in them.
    int64_t detected = 0, fuzzed = 0;  ///< Texts with a usable answer.
  } examples;

  /// Replies without the form that was asked for, and requests without a reply.
  struct Failures {
    int64_t explanation = 0, simulation = 0, detection = 0, fuzzing = 0;
    int64_t requests = 0;  ///< Of all these, those that brought no reply.
    int64_t total() const { return explanation + simulation + detection + fuzzing; }
  } failures;
  std::string first_problem;  ///< One line; empty if nothing failed.
};

struct SkippedFeature {
  int32_t feature = 0;
  std::array<int64_t, 2> active_tokens = {};  ///< In the half to explain from, and the other.
};

struct LanguageModelExplanations {
  std::string model, autoencoder, corpus;          ///< As in FeatureActivations.
  std::string fingerprint;                         ///< As in LanguageModelSource.
  std::vector<LanguageModelExplanation> features;  ///< Those done, in the order asked for.
  std::vector<SkippedFeature> skipped;             ///< Too few active tokens.
  int64_t asked = 0;                               ///< Features asked for.
  std::string stopped;  ///< Empty: all are done; else "budget", "interrupted" or "error".
  SessionTotals totals;
  int64_t malformed = 0;              ///< Replies without the form asked for, cached ones too.
  std::optional<double> cost;         ///< Dollars of this run; absent without prices.
  std::optional<double> cost_of_all;  ///< With the cached replies at the same prices.

  /// Features of those done that have an explanation: a request may fail, a reply be malformed.
  int64_t explained() const {
    return std::ranges::count_if(
        features, [](const LanguageModelExplanation& one) { return one.explanation.has_value(); });
  }
};

/// What a run would send, found without sending anything.
struct LanguageModelEstimate {
  int64_t features = 0, skipped = 0;
  int64_t requests = 0, cached = 0;
  TokenUsage
      expected;  ///< Prompts at 4 bytes a token; lists and explanations at their usual length.
  std::optional<double> cost;
};

/// Examples are drawn from `options.seed` alone, so a second run finds every prompt of the first
/// one in the store, and its explanations too. Throws Error as LanguageModelExamples and
/// LanguageModelSession do.
LanguageModelEstimate estimate_language_model(const LanguageModelSource& source,
                                              std::span<const int32_t> features,
                                              const LanguageModelExplainOptions& options);

/// Explains each feature from the documents of even number and scores the explanation on the odd
/// ones by simulation, detection and fuzzing. Features are worked on by `concurrency` threads.
/// Stops when the budget is used up, with what is done. On Ctrl-C and on an error that no further
/// request will mend it writes what is done, then throws Interrupted or Error. Features that
/// `options.out` has of earlier runs stay in it if they were explained alike (the same activations,
/// language model, temperature, seed and examples); what was explained otherwise is replaced, but
/// not by a run that was stopped.
LanguageModelExplanations explain_by_language_model(const LanguageModelSource& source,
                                                    std::span<const int32_t> features,
                                                    const LanguageModelExplainOptions& options);

/// docs/formats.md. `earlier` is such a file's text, or empty: what is kept of it stands beside.
/// The text is empty if `earlier` is to stay as it is.
std::string language_model_explanations_json(const LanguageModelExplanations& explanations,
                                             const LanguageModelExplainOptions& options,
                                             const std::string& earlier = {});

}  // namespace featflow
