#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/document_scores.hpp"
#include "merging/merge.hpp"

namespace featflow {

struct PairScores {
  DocumentScores a, b;  ///< On A's and on B's validation text.
};

struct CurvePoint {
  double t = 0;
  PairScores scores;
};

/// What is equal on both texts at the balance point (definitions 19).
enum class BalanceRule {
  kAccuracy,
  kGain,  ///< (accuracy − base) / (child − base), the child being the text's own parent model.
};
std::string_view balance_rule_name(BalanceRule rule);  ///< "accuracy", "gain"
/// Throws Error naming `where` and both rules if there is none of that name.
BalanceRule parse_balance_rule(std::string_view text, const std::string& where);

/// What gain is measured between: on each text 0 at the base, 1 at the model fine-tuned on it.
struct GainScale {
  PairScores base;
  PairScores child;  ///< A itself on A's text, B itself on B's.
};

/// Documents of a text by their index: even ones choose t*, odd ones are left for reporting.
enum class BalanceDocuments { kEven, kAll };

/// Where the two accuracies (or gains) meet.
struct Balance {
  double t = 0;
  int64_t crossings = 0;
  std::optional<std::string> warning;  ///< If there is no crossing, or more than one.
};

/// Every t at which the piecewise linear curve through (t[i], difference[i]) is zero, ascending.
/// A run of grid points that are exactly zero counts once, at its middle, whether or not the sign
/// changes across it. t ascends; nothing is NaN.
std::vector<double> crossings(std::span<const double> t, std::span<const double> difference);

/// Definitions 19: the t with accuracy_A(t) = accuracy_B(t), or equal gains if `gain` is given,
/// each measured on the documents named of its text, by linear interpolation between grid points.
/// With several crossings: the one nearest the middle of the grid (the lower of two), and a
/// warning. With none: the grid point of smallest |difference| (the lowest of equals), and a
/// warning. Throws Error if a child does not gain on its own text, where gains are asked for.
Balance find_balance(const std::vector<CurvePoint>& curve, const ParentNames& names = {},
                     const GainScale* gain = nullptr,
                     BalanceDocuments documents = BalanceDocuments::kEven);

/// How far t* moves with the documents: a percentile bootstrap.
struct BalanceInterval {
  static constexpr double kLevel = 0.95;
  int64_t resamples = 0;
  int64_t documents_a = 0, documents_b = 0;  ///< Scored ones: what a resample draws of each text.
  std::optional<double> low, high;           ///< None if no resample has a balance point.
  double no_crossing = 0;        ///< Share of resamples; they have no part in the interval.
  double several_crossings = 0;  ///< Share of resamples; they count with find_balance's choice.
};

struct BootstrapOptions {
  int64_t resamples = 1000;
  uint64_t seed = 0;
};

/// Documents of both texts are drawn anew, each text by itself, as many as there are and with
/// replacement; in each resample t* is found as find_balance finds it, and base and children are
/// scored on the same documents. A resample in which a child does not gain has no crossing. The
/// result does not depend on the thread count; Interrupted between resamples.
BalanceInterval balance_interval(const std::vector<CurvePoint>& curve, const GainScale* gain,
                                 BalanceDocuments documents, const BootstrapOptions& options);

/// {"low", "high", "level", "resamples", "documents_a", "documents_b", "no_crossing",
/// "several_crossings"}; null without resamples.
nlohmann::ordered_json to_json(const BalanceInterval& interval);
/// For people, to follow t*: " (95%: 0.41 to 0.47; 3% of resamples without a crossing)"; empty
/// without resamples.
std::string describe(const BalanceInterval& interval);

}  // namespace featflow
