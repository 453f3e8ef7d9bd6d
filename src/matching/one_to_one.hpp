#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "features/pearson.hpp"

namespace featflow {

/// The one-to-one matching of definitions 11: a set of pairs with r ≥ threshold, each feature in
/// at most one, with the largest possible sum of r. Exact: successive shortest augmenting paths
/// with potentials (Jonker and Volgenant 1987), each of which stays inside one connected component.
/// `pairs` may come in any order, without repeats; threshold > 0. Returns pairs by feature_a.
std::vector<FeaturePair> one_to_one(std::span<const FeaturePair> pairs, double threshold);

}  // namespace featflow
