#pragma once

// For tests: activations as dense matrices, and the slow float64 arithmetic that the sparse code
// is held against.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
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

/// A folder of shards of `shard_rows` rows, as a harvest leaves it.
inline void save_in_shards(const FeatureActivations& all, int64_t shard_rows,
                           const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  int64_t index = 0;
  for (int64_t begin = 0; begin < all.rows.rows(); begin += shard_rows, ++index) {
    const int64_t end = std::min(begin + shard_rows, all.rows.rows());
    FeatureActivations shard;
    shard.rows.feature_count = all.rows.feature_count;
    for (int64_t row = begin; row < end; ++row) {
      const int64_t first = all.rows.row_offsets[row], last = all.rows.row_offsets[row + 1];
      shard.rows.features.insert(shard.rows.features.end(), all.rows.features.begin() + first,
                                 all.rows.features.begin() + last);
      shard.rows.values.insert(shard.rows.values.end(), all.rows.values.begin() + first,
                               all.rows.values.begin() + last);
      shard.rows.row_offsets.push_back(shard.rows.active());
      shard.token_positions.push_back(all.token_positions[row]);
      if (!all.documents.empty()) shard.documents.push_back(all.documents[row]);
      if (!all.corpora.empty()) shard.corpora.push_back(all.corpora[row]);
    }
    shard.corpus_names = all.corpus_names;
    shard.model = all.model;
    shard.corpus = all.corpus;
    const std::string number = std::to_string(index);
    save_feature_activations(
        shard, folder / ("shard-" + std::string(5 - number.size(), '0') + number + ".safetensors"));
  }
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
