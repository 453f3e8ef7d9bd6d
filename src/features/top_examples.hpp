#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "features/columns.hpp"

namespace featflow {

/// One row on which a feature is active. Its text is cut from the token stream by
/// FeatureActivations::token_positions[row].
struct Example {
  int32_t row = 0;
  float value = 0;

  bool operator==(const Example&) const = default;
};

struct ExampleOptions {
  int64_t top = 20;
  int64_t intervals = 5;
  int64_t per_interval = 4;
  int64_t histogram_bins = 40;
};

struct FeatureExamples {
  /// The strongest rows, strongest first, earlier rows first among equals: each from a document
  /// of its own as long as there are documents, then the strongest of what is left.
  std::vector<Example> top;
  /// Interval i holds active rows of ranks [i, i + 1) · active / intervals, strongest first:
  /// equal shares of the rows, not of the range. Examples at even distances in it, none of `top`.
  std::vector<std::vector<Example>> intervals;
  /// Active rows whose value lies in bin i of the equal bins of (0, maximum].
  std::vector<int64_t> histogram;
};

/// For every feature of `columns`; `documents` [n] as in FeatureActivations, may be empty (each
/// row then counts as a document). Deterministic, parallel over features.
std::vector<FeatureExamples> feature_examples(const FeatureColumns& columns,
                                              std::span<const int32_t> documents,
                                              const ExampleOptions& options = {});

}  // namespace featflow
