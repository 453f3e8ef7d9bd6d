#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "matching/matches.hpp"

namespace featflow {

struct CorrelationOptions {
  double floor = 0.3;
  /// Working memory, beside inputs that are in memory and the pairs found (24 bytes each): one row
  /// of the m_A × m_B matrix per thread, the shards being read, a packed copy of B and the
  /// transpose of A: whole if both fit, otherwise of as many features at a time as fit, but at
  /// least an eighth of all entries (a warning says so where that is more). Each block of B's
  /// features is a pass over A's blocks, and each of those a pass over the file. The result does
  /// not depend on it.
  int64_t memory_bytes = int64_t{2} << 30;
  /// Only rows of these corpora count; empty: all rows. Figures per corpus: one call for each.
  std::vector<std::string> corpora;
  /// Only these rows count (and only those of `corpora`); empty: all rows.
  RowMask rows = {};
  /// [m] Only these features of A and of B have correlations; empty: all.
  std::span<const uint8_t> features_a = {}, features_b = {};
  std::string progress_label = "matching";
};

/// Exact Pearson correlation (definitions 10) of all m_A × m_B pairs, from the sums Σf, Σf² and
/// Σ f_a f_b in float64. One feature of A at a time meets, row by row, the features of B active
/// there: (active A) × (active B) products per row and no m_A × m_B matrix. Ties of a best match go
/// to the lower feature. Every sum runs in row order, so the bytes are the same for every thread
/// count and memory option. Throws Error if the rows differ.
Matches correlate(const ActivationShards& a, const ActivationShards& b,
                  const CorrelationOptions& options = {});
Matches correlate(const FeatureActivations& a, const FeatureActivations& b,
                  const CorrelationOptions& options = {});

}  // namespace featflow
