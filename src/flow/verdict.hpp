#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "flow/flow.hpp"
#include "matching/cross_fit.hpp"
#include "matching/matches.hpp"

namespace featflow {

/// The matches behind the verdict on one edge P→C, side A first. Borrowed. P′ is a second
/// autoencoder on P's model, C′ one on C's, both trained on C's mixture of text from new seeds; P″
/// is one on P's model, P's own mixture and a new seed. All on the same rows.
struct VerdictMatches {
  const Matches* parent_child = nullptr;         ///< P–C
  const Matches* parent_parent2 = nullptr;       ///< P–P′
  const Matches* parent_child2 = nullptr;        ///< P–C′
  const Matches* child_child2 = nullptr;         ///< C–C′
  const Matches* parent2_child = nullptr;        ///< P′–C
  const Matches* parent_same_mixture = nullptr;  ///< P–P″; optional
};

/// What a share of matched features can be compared with, at one threshold. Counts of one side's
/// measurable features.
struct VerdictCounts {
  double threshold = 0;
  int64_t matched = 0;      ///< In the other model: numerator of the share.
  int64_t found_again = 0;  ///< In the second autoencoder on their own model: of the ceiling.
  int64_t both = 0;         ///< In both: of P(match in the other model | found again).
  std::optional<int64_t> same_mixture;  ///< In P″: the ceiling that new data leave, seed alone.
  /// In P″ and found again: of P(match in P″ | found again), which no change of the model lowers.
  std::optional<int64_t> both_same_mixture;
};

/// The verdict on the features of one side. Own model: that of this side; other: that of the other
/// end. Lists hold feature numbers, ascending; the first four are all the measurable features.
struct SideVerdict {
  SideCounts counts;
  std::vector<int32_t> persists;  ///< A match in the other model.
  /// Found again by the second autoencoder on the own model, and by neither on the other model: on
  /// the parent's side it disappeared, on the child's it emerged.
  std::vector<int32_t> absent;
  /// Found again, without a match in the other model's first autoencoder but with one in its
  /// second: which of the two autoencoders is asked decides.
  std::vector<int32_t> seed_dependent;
  /// Neither in the other model nor found again in its own: the edge says nothing of it.
  std::vector<int32_t> unresolved;
  std::vector<int32_t> unmeasurable, silent;
  std::vector<VerdictCounts> thresholds;  ///< 0.30, 0.35 … 0.95 and τ, not below any floor.

  /// Set by who has the activations: cross_fit(own, second autoencoder on the own model) and
  /// cross_fit_conditional, whose intervals are of the ceiling and of the conditional share.
  std::optional<CrossFit> ceiling_fit;
  std::optional<ConditionalFit> conditional_fit;

  const VerdictCounts& at(double threshold) const;
};

/// Definitions 14 and 15 for one edge.
struct EdgeVerdict {
  std::string parent, child;
  std::vector<std::string> corpora;  ///< Whose rows were counted; empty: all.
  int64_t rows = 0;
  double threshold = 0.8;  ///< τ of the classes.
  MeasurableLimits limits;
  SideVerdict of_parent, of_child;
};

struct VerdictOptions {
  double threshold = 0.8;  ///< τ
  MeasurableLimits limits;
};

/// A match is a measurable partner with r ≥ τ. Throws Error naming the pair if matches come from
/// other rows or other activations than the edge's, or were kept with a floor above τ.
EdgeVerdict edge_verdict(const VerdictMatches& matches, const VerdictOptions& options = {});

/// "share 41.2% (212 of 515) · ceiling 55.0% (283) · conditional 68.2% (193 of 283; without a
/// change of the model 75.3%)": never a share without what it can be compared with. The last is of
/// P″. "–" stands for a share of nothing.
std::string summary_line(const SideVerdict& side, double threshold);

/// {"parent", "child", "corpora", "rows", "threshold", "min_tokens", "min_documents",
/// "parent_features": {"counts", "persists", "disappeared", "seed_dependent", "unresolved",
/// "unmeasurable", "silent", "thresholds": [{"threshold", "matched", "found_again", "both",
/// "same_mixture", "both_same_mixture", "share", "ceiling", "conditional",
/// "conditional_same_mixture"}], "ceiling_fit", "conditional_fit"},
/// "child_features": the same with "emerged"}
nlohmann::ordered_json to_json(const EdgeVerdict& verdict);
/// Throws nlohmann's exception for JSON of another shape.
EdgeVerdict parse_edge_verdict(const nlohmann::json& json);

}  // namespace featflow
