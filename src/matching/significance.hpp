#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <vector>

#include "matching/null.hpp"

namespace featflow {

/// Which hypotheses Benjamini and Hochberg (1995) reject so that at most a share `alpha` of those
/// rejected is expected to be false: with p sorted ascending, all up to the last k with
/// p₍k₎ ≤ α k / m. [m] 1 if rejected.
std::vector<uint8_t> benjamini_hochberg(std::span<const double> p_values, double alpha);

/// Features of similar density, whose null maxima are pooled: rare features reach high correlations
/// by chance that frequent ones never do.
struct DensityStratum {
  double lower = 0;      ///< Share of tokens on which a feature is active, inclusive …
  double upper = 0;      ///< … and exclusive; 1 for the last, inclusive.
  int64_t features = 0;  ///< Measurable features.
  int64_t maxima = 0;    ///< N: their null maxima over all runs.
  std::optional<double> median, p95, p99;      ///< Of these; none if N = 0.
  int64_t significant = 0;                     ///< Features.
  std::optional<double> smallest_significant;  ///< The smallest r among them.
};

struct SideSignificance {
  int64_t measurable = 0;
  int64_t significant = 0;          ///< At the false discovery rate alpha.
  int64_t matched = 0;              ///< r ≥ τ with a measurable partner.
  int64_t matched_significant = 0;  ///< Both.
  /// Matched, and better than the same feature ever was under the null: p = 1/(runs + 1) by its own
  /// maxima alone. Pooled p-values say how rare r is among features of this density; a feature
  /// that its token explains reaches its r in every run of kSameToken, and is not counted here.
  int64_t matched_above_own = 0;
  double null_matched = 0;  ///< Features with r ≥ τ under the null, mean over the runs: what this
                            ///< null alone gives.
  std::vector<DensityStratum> strata;  ///< Bounded by 1e-5, 1e-4, 1e-3, 1e-2.
  std::vector<double> p_values;        ///< [m] NaN: not measurable. Not in the JSON.
};

/// The matches of A and B held against one null.
struct Significance {
  NullKind kind = NullKind::kShiftedRows;
  int64_t runs = 0;
  double moved = 1;  ///< NullMaxima::moved
  double threshold = 0, alpha = 0;
  SideSignificance a, b;
};

struct SignificanceOptions {
  double threshold = 0.8;  ///< τ
  double alpha = 0.05;     ///< False discovery rate.
};

/// Definitions 16. For every measurable feature with its best correlation r
///
///     p = (1 + #{null maxima of its stratum ≥ r}) / (N + 1),
///
/// where N = runs × features of the stratum, since the null maxima of one feature alone are too
/// few. So p is at least 1/(N + 1): in a stratum of three features and 20 runs 1/61, which may be
/// too coarse to be significant among many. A measurable feature without variance has p = 1.
/// `observed` has one run, of the same activations, limits and corpora as the null.
Significance significance(const BestCorrelations& observed, const NullMaxima& null,
                          const SignificanceOptions& options = {});

/// {"null", "runs", "moved", "threshold", "alpha", "a": {"measurable", "significant", "matched",
/// "matched_significant", "matched_above_own", "null_matched", "strata": [{"lower", "upper",
/// "features", "maxima", "median", "p95", "p99", "significant", "smallest_significant"}]}, "b":
/// {…}}
nlohmann::ordered_json to_json(const Significance& significance);
/// Throws nlohmann's exception for JSON of another shape.
Significance parse_significance(const nlohmann::json& json);

}  // namespace featflow
