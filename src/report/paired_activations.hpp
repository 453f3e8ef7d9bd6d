#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "features/columns.hpp"

namespace featflow {

/// A feature and what its activations are shares of.
struct PairedColumn {
  Column column;
  float maximum = 0;
};

/// Two features over the same rows, seen where either is active; elsewhere both are 0.
struct PairedActivations {
  int64_t rows = 0;                             ///< Rows on which either is active.
  std::vector<std::pair<float, float>> points;  ///< (a, b) on some of these rows.
};

/// Up to `count` of the rows on which either is active: all of them, in order, or else ranked by
/// the larger of the two shares of a maximum (to a thousandth), and of n rows those of the ranks
/// n·((k + ½)/count)² are taken: most rows of a feature are near 0, and how it agrees with another
/// is seen at the few strong ones.
PairedActivations paired_activations(const PairedColumn& a, const PairedColumn& b, int64_t count);

/// Two letters a point, '0' where a feature is off, and '1' … 'p' for 64 equal shares of its
/// maximum.
std::string paired_letters(const PairedActivations& paired, float maximum_a, float maximum_b);

}  // namespace featflow
