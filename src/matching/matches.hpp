#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "features/pearson.hpp"

namespace featflow {

/// What one side of a match is made of: its features' activity on the rows that were counted.
struct MatchSide {
  std::string model;
  std::vector<int64_t> active_tokens;     ///< [m]
  std::vector<int64_t> active_documents;  ///< [m]; empty if documents are unknown

  int64_t feature_count() const { return static_cast<int64_t>(active_tokens.size()); }
};

/// Correlations of all pairs of features of A and B over the same rows (definitions 10). A
/// feature without variance has no correlation and stands in no list.
struct Matches {
  MatchSide a, b;
  std::string corpus;                ///< Identity of the text, as in the feature activations.
  std::vector<std::string> corpora;  ///< Whose rows were counted; empty: all rows (`family`).
  int64_t row_count = 0;             ///< Rows counted.
  double floor = 0.3;
  std::vector<FeaturePair> pairs;      ///< All with r ≥ floor, by feature_a, then feature_b.
  std::vector<FeaturePair> best_of_a;  ///< Best partner of each feature of A, whatever r is.
  std::vector<FeaturePair> best_of_b;  ///< Best partner of each feature of B, by feature_b.
};

/// Counts of "exists a match at τ" (definitions 11) among features of both sides that are
/// measurable; with the limits {0, 0} among all m.
struct MatchCounts {
  int64_t pairs = 0;
  int64_t features_a = 0;  ///< Features of A with a match.
  int64_t features_b = 0;

  bool operator==(const MatchCounts&) const = default;
};
MatchCounts count_matches(const Matches& matches, double threshold,
                          const MeasurableLimits& limits = {});

/// Pairs with r ≥ threshold, both sides measurable, in the order of `matches.pairs`. Throws Error
/// for a threshold below the floor.
std::vector<FeaturePair> measurable_pairs(const Matches& matches, double threshold,
                                          const MeasurableLimits& limits = {});

/// Of each feature of A (or of B): how many of the ascending thresholds its best match reaches,
/// both sides measurable; so that it "exists" at thresholds[k] if this is more than k. Throws Error
/// for a threshold below the floor.
std::vector<uint8_t> thresholds_reached(const Matches& matches, bool of_a,
                                        const std::vector<double>& thresholds,
                                        const MeasurableLimits& limits = {});

/// τ = 0.30, 0.35 … 0.95: where counts are reported (definitions 11).
std::vector<double> standard_thresholds();

/// The `matches` artefact: matches.safetensors, matches.csv (feature_a,feature_b,correlation) and
/// summary.json. docs/formats.md.
void save_matches(const Matches& matches, const std::filesystem::path& folder,
                  const MeasurableLimits& limits = {});
/// From a folder or its matches.safetensors; everything is validated.
Matches load_matches(const std::filesystem::path& folder_or_file);

}  // namespace featflow
