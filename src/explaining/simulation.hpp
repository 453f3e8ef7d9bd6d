#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace featflow {

/// An activation in the digits that language models read and write: 0 where the feature is off,
/// else ⌈9 f / maximum⌉, so that every active token has 1 at least, and the maximum 9. What exceeds
/// the maximum is 9.
int quantised_activation(float value, float maximum);

/// The last list of integers "[0, 3, 9]" of a reply, whatever stands around it (reasoning, code
/// fences). Nothing unless it has `count` integers within [0, maximum].
std::optional<std::vector<int>> parse_integers(std::string_view reply, int64_t count, int maximum);

/// Pearson's r of simulated with true activations, in float64 over two passes. A simulation that is
/// the same everywhere predicts nothing and scores 0 (Bricken et al. 2023); nothing if the true
/// activations have no variance, or there are none.
std::optional<double> simulation_score(std::span<const double> simulated,
                                       std::span<const double> actual);
/// Spearman's: Pearson's r of the ranks, equal values sharing the mean of their ranks.
std::optional<double> simulation_spearman(std::span<const double> simulated,
                                          std::span<const double> actual);

/// Answers to yes-or-no questions against the truth.
struct YesNoCounts {
  int64_t true_positives = 0, false_negatives = 0, true_negatives = 0, false_positives = 0;

  void add(bool answer, bool truth);
  int64_t answers() const;
  /// Mean of the shares of the true and of the false questions that were answered rightly: ½ is
  /// chance. Nothing unless there were both.
  std::optional<double> balanced_accuracy() const;
};

}  // namespace featflow
