#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "features/log_likelihood.hpp"

namespace featflow {

/// A model of the family as a case study sees it. The activations and statistics are borrowed.
struct CaseStudyModel {
  std::string name;
  const FeatureActivations* activations = nullptr;
  const FeatureStatistics* statistics = nullptr;
};

struct CaseStudyOptions {
  double threshold = 0.8;  ///< τ
  MeasurableLimits limits;
};

/// What becomes of the parent's feature along one edge.
struct CaseStudyEdge {
  std::string parent, child;
  /// Between the two models' best features; absent where a model has none.
  std::optional<double> correlation;
  bool persists = false;  ///< correlation ≥ τ
  /// The child's measurable feature that correlates most with the parent's best feature, whatever
  /// it stands for ("sweep for similar activation patterns"), and how it scores on S.
  std::optional<TokenSetScore> strongest;
  double strongest_correlation = 0;
};

/// Section 4.2 of the paper, done by search: for a token set, the feature of each model that fits
/// it best, its log-likelihood ratio (definitions 20), and whether these features are one.
struct CaseStudy {
  std::string label;
  double threshold = 0.8;
  double probability = 0, bound_bits = 0;  ///< p(S) and −log2 p(S) on these rows.
  int64_t occurrences = 0, rows = 0;       ///< Rows of S; all rows.
  std::vector<std::string> models;
  std::vector<std::optional<TokenSetScore>> best;  ///< Per model.
  struct Pair {
    std::string a, b;
    double correlation = 0;
  };
  std::vector<Pair> correlations;          ///< Exact, of every pair of models that have a feature.
  std::optional<double> mean_correlation;  ///< Their mean, "mean cross-correlation".
  std::vector<CaseStudyEdge> edges;
  bool persists = false;  ///< Every edge does; the mean decides nothing (definitions 12).
};

/// `edges` are pairs of indices into `models` (parent, child). All models must have been encoded
/// on the same rows. `stream` is the matching text that token_positions point into.
CaseStudy case_study(const TokenSet& set, std::span<const CaseStudyModel> models,
                     std::span<const std::pair<int, int>> edges, std::span<const int32_t> stream,
                     const CaseStudyOptions& options = {});

/// case_studies.json (docs/formats.md): what is not finite, such as −∞ bits, becomes null.
std::string case_studies_json(std::span<const CaseStudy> studies);

}  // namespace featflow
