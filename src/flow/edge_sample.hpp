#pragma once

#include <cstdint>
#include <vector>

#include "core/rng.hpp"
#include "flow/flow.hpp"
#include "matching/matches.hpp"

namespace featflow {

/// Some features of each class of an edge with their best partners, (parent, child) each.
struct EdgeSample {
  std::vector<FeaturePair> persisting;    ///< A parent's feature and its best match in the child.
  std::vector<FeaturePair> disappearing;  ///< A parent's feature and its best partner all the same.
  std::vector<FeaturePair> emerging;      ///< A child's feature and its best partner in the parent.
};

/// At most `count` features of each class (definitions 11: persisting_parents, disappearing and
/// emerging of `edge`; no more than these is read), drawn without replacement; in the order of
/// their numbers. The best partner is the measurable one with the largest r, the lower of two
/// equal ones. Below the floor of the matches only the best of all features is known: a feature for
/// which that is not measurable is left out, as is one without any correlation. `matches`: parent
/// A, child B, all rows.
EdgeSample sample_edge(const EdgeFlow& edge, const Matches& matches, const MeasurableLimits& limits,
                       int64_t count, Rng& rng);

}  // namespace featflow
