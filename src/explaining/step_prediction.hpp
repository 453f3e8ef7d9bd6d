#pragma once

#include <optional>
#include <span>
#include <vector>

namespace featflow {

/// A prediction that takes few values: one step for each, over all rows. Sparse: rows on which the
/// feature is silent are counted, not visited.
struct Step {
  double value = 0;   ///< Predicted on every row of the step.
  double rows = 0;    ///< Of the step, the feature silent or not.
  double active = 0;  ///< Rows of it on which the feature is active.
  double sum = 0;     ///< Σ f over them
  double ranks = 0;   ///< Σ rank of f over them, of the ranks 1 … n among all rows
};

/// The feature itself, over all n rows.
struct StepTruth {
  double rows = 0;              ///< n
  double sum = 0, squares = 0;  ///< Σ f, Σ f²
  double zero_rank = 0;         ///< The middle rank, that of a row without activation.
  double rank_squares = 0;      ///< Σ rank²
};

/// Pearson of predicted and true activation over all rows; nullopt if either is constant.
std::optional<double> step_correlation(std::span<const Step> steps, const StepTruth& truth);

/// Spearman: Pearson of ranks, equal values having the middle one of theirs.
std::optional<double> step_rank_correlation(std::vector<Step> steps, const StepTruth& truth);

}  // namespace featflow
