#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "matching/correlation.hpp"

namespace featflow {

struct CrossFitOptions {
  double threshold = 0.8;  ///< τ
  MeasurableLimits limits;
  int64_t groups = 50;       ///< Of documents, in each half: what the bootstrap draws.
  int64_t resamples = 1000;  ///< 0: no interval.
  uint64_t seed = 0;
  CorrelationOptions correlation;  ///< Its corpora, memory and label; the floor is not used.
};

/// Features of one side that match, without the bias of choosing the best partner on the rows that
/// also measure it.
struct CrossFittedCount {
  int64_t measurable = 0;    ///< On all rows counted.
  double matched = 0;        ///< Mean over the two directions.
  double low = 0, high = 0;  ///< 95% interval of `matched`.

  double share() const { return measurable ? matched / static_cast<double>(measurable) : 0; }
};

struct CrossFit {
  CrossFittedCount a, b;
  int64_t groups = 0, resamples = 0;
};

/// Definitions 13. Documents are split in two halves, in turn within each corpus. The best partner
/// of every measurable feature among the measurable ones of the other side is chosen on one half,
/// and counted as a match if r ≥ τ on the other; then the halves are swapped. The interval is a
/// bootstrap, centred on the figure (docs/decisions/0007): groups of documents of the measuring
/// half are drawn again with their partners fixed, as sums are additive over groups. Costs two
/// correlations of all pairs on half the rows. The result does not depend on the thread count.
/// Throws Error if the activations have no documents, or a half fewer than groups.
CrossFit cross_fit(const FeatureActivations& a, const FeatureActivations& b,
                   const CrossFitOptions& options);

/// P(match in the other model | found again by a second autoencoder on the own model),
/// cross-fitted.
struct ConditionalFit {
  double found_again = 0;    ///< Own measurable features, mean over the two directions.
  double both = 0;           ///< Of these, with a match in the other model.
  double low = 0, high = 0;  ///< 95% interval of `share()`.
  int64_t groups = 0, resamples = 0;

  double share() const { return found_again > 0 ? both / found_again : 0; }
};

/// Definitions 14 with the halves and the bootstrap of cross_fit: partners in both are chosen on
/// one half and measured on the other, and a resample draws the same documents for both. Costs four
/// correlations of all pairs on half the rows. Throws Error as cross_fit does.
ConditionalFit cross_fit_conditional(const FeatureActivations& own, const FeatureActivations& other,
                                     const FeatureActivations& again,
                                     const CrossFitOptions& options);

/// Documents in the smaller half: the most groups that can be asked for.
int64_t documents_per_half(const FeatureActivations& activations);

/// {"groups", "resamples", "a": {"measurable", "matched", "low", "high"}, "b": {…}}
nlohmann::ordered_json to_json(const CrossFit& fit);
/// Throws nlohmann's exception for JSON of another shape.
CrossFit parse_cross_fit(const nlohmann::json& json);
/// {"groups", "resamples", "found_again", "both", "low", "high"}
nlohmann::ordered_json to_json(const ConditionalFit& fit);
ConditionalFit parse_conditional_fit(const nlohmann::json& json);

}  // namespace featflow
