#pragma once

// For tests: activations as dense matrices, and the slow float64 arithmetic that the sparse code
// is held against.

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "autoencoder/feature_activations.hpp"
#include "core/rng.hpp"

namespace featflow {

using DenseRows = std::vector<std::vector<float>>;  // [n][m]

inline FeatureActivations activations_from_dense(const DenseRows& dense, int64_t feature_count) {
  FeatureActivations result;
  result.rows.feature_count = feature_count;
  for (const std::vector<float>& row : dense) {
    for (size_t j = 0; j < row.size(); ++j) {
      if (row[j] == 0) continue;
      result.rows.features.push_back(static_cast<int32_t>(j));
      result.rows.values.push_back(row[j]);
    }
    result.rows.row_offsets.push_back(result.rows.active());
    result.token_positions.push_back(std::ssize(result.token_positions));
  }
  result.model = "model";
  result.corpus = "text";
  return result;
}

/// Each value positive with probability `density`; every seventh row is empty.
inline DenseRows random_dense(int64_t n, int64_t m, double density, uint64_t seed) {
  Rng rng(seed);
  DenseRows dense(n, std::vector<float>(m, 0));
  for (int64_t row = 0; row < n; ++row) {
    for (float& value : dense[row]) {
      if (rng.uniform() < density && row % 7 != 3) value = static_cast<float>(rng.uniform() + 0.01);
    }
  }
  return dense;
}

/// Documents of `rows_per_document` rows, the corpora in turn document by document.
inline void add_documents(FeatureActivations& activations, int64_t rows_per_document,
                          std::vector<std::string> corpus_names) {
  for (int64_t row = 0; row < activations.rows.rows(); ++row) {
    const int64_t document = row / rows_per_document;
    activations.documents.push_back(static_cast<int32_t>(document));
    activations.corpora.push_back(
        static_cast<uint8_t>(document % static_cast<int64_t>(corpus_names.size())));
  }
  activations.corpus_names = std::move(corpus_names);
}

/// Two passes in float64: means, then products of deviations. nullopt without variance.
inline std::optional<double> dense_pearson(const DenseRows& a, size_t fa, const DenseRows& b,
                                           size_t fb, const std::vector<uint8_t>& mask = {}) {
  double n = 0, mean_a = 0, mean_b = 0;
  for (size_t row = 0; row < a.size(); ++row) {
    if (!mask.empty() && !mask[row]) continue;
    n += 1;
    mean_a += a[row][fa];
    mean_b += b[row][fb];
  }
  mean_a /= n;
  mean_b /= n;
  double covariance = 0, variance_a = 0, variance_b = 0;
  for (size_t row = 0; row < a.size(); ++row) {
    if (!mask.empty() && !mask[row]) continue;
    const double da = a[row][fa] - mean_a, db = b[row][fb] - mean_b;
    covariance += da * db;
    variance_a += da * da;
    variance_b += db * db;
  }
  if (variance_a < 1e-18 * n || variance_b < 1e-18 * n) return {};
  return covariance / std::sqrt(variance_a * variance_b);
}

}  // namespace featflow
