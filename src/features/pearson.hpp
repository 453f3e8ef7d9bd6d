#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "features/statistics.hpp"

namespace featflow {

/// A pair of features of two models and its correlation.
struct FeaturePair {
  int32_t feature_a = 0;
  int32_t feature_b = 0;
  float correlation = 0;

  bool operator==(const FeaturePair&) const = default;
};

/// Throws Error unless the two were encoded on the same rows (equal `corpus` and n).
void require_same_rows(const FeatureActivations& a, const FeatureActivations& b);
void require_same_rows(const ActivationShards& a, const ActivationShards& b);

/// 1 / √(n Σf² − (Σf)²); NaN for a variance below 1e-10 of the mean square: constant to rounding.
inline double inverse_deviation(double n, double sum, double sum_of_squares) {
  const double squares = n * sum_of_squares, variance = squares - sum * sum;
  return variance > 1e-10 * squares ? 1 / std::sqrt(variance)
                                    : std::numeric_limits<double>::quiet_NaN();
}
/// [m] The same of every feature. NaN for one without variance, which has no correlation: never
/// active, or constant.
std::vector<double> inverse_deviations(const FeatureStatistics& statistics);

/// Pearson's r over n rows (definitions 10) from sums: (n Σ f_a f_b − Σf_a Σf_b) / (deviations).
/// Within [−1, 1]; NaN if one side has no variance. Inline, so that loops over a row of the matrix
/// of all pairs vectorise.
inline double pearson(double n, double sum_of_products, double sum_a, double sum_b,
                      double inverse_deviation_a, double inverse_deviation_b) {
  const double covariance = n * sum_of_products - sum_a * sum_b;
  return std::clamp(covariance * inverse_deviation_a * inverse_deviation_b, -1.0, 1.0);
}

/// Calls visit(i, k) for every row on which both are active, ascending: a.rows[i] = b.rows[k].
template <typename Visit>
void for_each_common_row(const Column& a, const Column& b, const Visit& visit) {
  for (size_t i = 0, k = 0; i < a.rows.size() && k < b.rows.size();) {
    if (a.rows[i] < b.rows[k]) {
      ++i;
    } else if (a.rows[i] > b.rows[k]) {
      ++k;
    } else {
      visit(i++, k++);
    }
  }
}

/// Rows as add_products reads them, at random: entries (feature, value) side by side, in huge
/// pages. Separate arrays in small pages cost three times as long, in misses of cache and TLB. Of a
/// range of features only, where memory is short; they are numbered from its first on.
class PackedRows {
 public:
  struct Entry {
    int32_t feature;  ///< From the first of the range on.
    float value;
  };

  /// Room for `active` entries of features [first_feature, end_feature) on `rows` rows, which
  /// append() brings in order.
  PackedRows(int64_t first_feature, int64_t end_feature, int64_t rows, int64_t active);
  explicit PackedRows(const SparseRows& rows);
  /// All features; j is stored as slots[j], below slot_count; several may share one.
  PackedRows(const SparseRows& rows, std::span<const int32_t> slots, int64_t slot_count);
  /// Rows outside the mask become empty.
  void append(const SparseRows& rows, RowMask mask = {});
  static int64_t bytes(int64_t active);

  int64_t first_feature() const { return first_feature_; }
  int64_t feature_count() const { return feature_count_; }    ///< Of the range.
  const int64_t* offsets() const { return offsets_.data(); }  ///< [rows + 1]
  const Entry* entries() const { return entries_.get(); }     ///< [nnz]

 private:
  struct Free {
    void operator()(Entry* entries) const;
  };
  int64_t first_feature_, feature_count_, active_;
  std::vector<int64_t> offsets_ = {0};
  std::unique_ptr<Entry[], Free> entries_;
};

/// products [m_B] += Σ over the rows of `a` of f_a f_b, for every feature of B: what one feature
/// costs is its active rows times the features active on each. float64, in row order.
void add_products(const Column& a, const PackedRows& b, std::span<double> products);

/// Exact correlations of chosen pairs (feature of A, feature of B), NaN where there is none.
/// Feature columns may cover only the features asked for.
std::vector<double> pair_correlations(const FeatureColumns& a,
                                      const FeatureStatistics& a_statistics,
                                      const FeatureColumns& b,
                                      const FeatureStatistics& b_statistics,
                                      std::span<const FeaturePair> pairs);

/// The same from the activations themselves: transposes both.
std::vector<double> pair_correlations(const FeatureActivations& a, const FeatureActivations& b,
                                      std::span<const FeaturePair> pairs, RowMask mask = {});

}  // namespace featflow
