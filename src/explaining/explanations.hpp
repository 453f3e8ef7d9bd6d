#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "explaining/feature_groups.hpp"
#include "explaining/rule_search.hpp"
#include "features/statistics.hpp"

namespace featflow {

/// How well the features of one dictionary are explained. A rule that predicts a constant counts
/// as a score of 0; NaN where nothing was explained.
struct ExplanationSummary {
  int64_t explained = 0;  ///< Active on enough tokens of both halves.
  int64_t skipped = 0;    ///< Active, but on too few.
  double median_score = 0;
  double median_token_score = 0;  ///< Of E[f | token].
  double median_ratio = 0;        ///< Of score / token_score, where the latter is positive.
  double share_at_half = 0;       ///< Score of 0.5 or more, of those explained.
};

using RuleExplanations = std::vector<std::optional<RuleExplanation>>;  // [m]

/// `active_tokens` [m]: features that are never active count as nothing.
ExplanationSummary summarize(const RuleExplanations& found,
                             const std::vector<int64_t>& active_tokens);

/// The explanations of all features of one model, and what they stand beside.
struct ModelExplanations {
  std::string model;
  int64_t min_tokens = 30;  ///< Of each half.
  RuleExplanations features;
  std::vector<FeatureGroup> groups;  ///< [m]
  ExplanationSummary summary;
  /// Other things scored in the same way: "shuffled features", "MLP neurons", "Untrained".
  std::vector<std::pair<std::string, ExplanationSummary>> references;
  /// Shares by group: of measurable features, of those on an edge or a path, of the activation in
  /// each corpus.
  GroupShares measurable_groups = {};
  std::vector<std::pair<std::string, GroupShares>> path_groups, corpus_groups;
};

/// Rules and groups of every feature, in blocks of features of at most `memory_bytes`. The rows are
/// those of `text`.
void explain_features(const FeatureActivations& activations, const FeatureStatistics& statistics,
                      const TextAttributes& text, const RuleSearch& search, int64_t memory_bytes,
                      ModelExplanations& out);

/// A random order of the rows within each half: what is left of a feature when its activation is
/// moved to other tokens. [n], as TransposeOptions::row_order.
std::vector<int32_t> shuffled_rows(std::span<const uint8_t> halves, uint64_t seed);

/// explanations.json: docs/formats.md.
std::string explanations_json(const ModelExplanations& explanations, const TextAttributes& text,
                              const std::function<std::string(int32_t)>& token_text);

}  // namespace featflow
