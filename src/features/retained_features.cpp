#include "features/retained_features.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "features/pearson.hpp"

namespace featflow {

RetainedSums::RetainedSums(const FeatureActivations& parent, RowMask mask)
    : parent_(&parent), mask_(mask), parent_statistics_(feature_statistics(parent, mask)) {
  const auto m = static_cast<size_t>(parent.rows.feature_count);
  other_statistics_.active_tokens.assign(m, 0);
  other_statistics_.mass.assign(m, 0);
  other_statistics_.sum_of_squares.assign(m, 0);
  other_statistics_.minimum.assign(m, 0);
  other_statistics_.maximum.assign(m, 0);
  products_.assign(m, 0);
}

void RetainedSums::add(const SparseRows& other) {
  const SparseRows& own = parent_->rows;
  FEATFLOW_CHECK(other.feature_count == own.feature_count, "one dictionary for both models");
  FEATFLOW_CHECK(next_row_ + other.rows() <= own.rows(), "the same rows of both models");
  FeatureStatistics& sums = other_statistics_;
  for (int64_t r = 0; r < other.rows(); ++r, ++next_row_) {
    if (!mask_.empty() && mask_[static_cast<size_t>(next_row_)] == 0) continue;
    ++sums.row_count;
    // Both rows ascend by feature: one walk along the two.
    int64_t p = own.row_offsets[static_cast<size_t>(next_row_)];
    const int64_t p_end = own.row_offsets[static_cast<size_t>(next_row_) + 1];
    for (int64_t e = other.row_offsets[static_cast<size_t>(r)];
         e < other.row_offsets[static_cast<size_t>(r) + 1]; ++e) {
      const auto j = static_cast<size_t>(other.features[static_cast<size_t>(e)]);
      const float f = other.values[static_cast<size_t>(e)];
      if (sums.active_tokens[j]++ == 0) sums.minimum[j] = f;
      sums.minimum[j] = std::min(sums.minimum[j], f);
      sums.maximum[j] = std::max(sums.maximum[j], f);
      sums.mass[j] += f;
      sums.sum_of_squares[j] += static_cast<double>(f) * f;
      while (p < p_end && static_cast<size_t>(own.features[static_cast<size_t>(p)]) < j) ++p;
      if (p < p_end && static_cast<size_t>(own.features[static_cast<size_t>(p)]) == j) {
        products_[j] += static_cast<double>(own.values[static_cast<size_t>(p)]) * f;
      }
    }
  }
}

std::vector<double> RetainedSums::correlations() const {
  FEATFLOW_CHECK(next_row_ == parent_->rows.rows(), "every row of both models");
  const std::vector<double> own = inverse_deviations(parent_statistics_);
  const std::vector<double> other = inverse_deviations(other_statistics_);
  std::vector<double> r(products_.size());
  for (size_t j = 0; j < r.size(); ++j) {
    r[j] = pearson(parent_statistics_.row_count, products_[j], parent_statistics_.mass[j],
                   other_statistics_.mass[j], own[j], other[j]);
  }
  return r;
}

RetainedCount count_retained(const RetainedSums& sums, double threshold,
                             const MeasurableLimits& limits) {
  const std::vector<uint8_t> usable = measurable(sums.parent_statistics(), limits);
  const std::vector<double> r = sums.correlations();
  RetainedCount count;
  for (size_t j = 0; j < r.size(); ++j) {
    if (!usable[j]) continue;
    ++count.measurable;
    if (std::isnan(r[j])) continue;
    count.retained += r[j] >= threshold;
    count.mean_correlation += r[j];
  }
  if (count.measurable > 0) count.mean_correlation /= static_cast<double>(count.measurable);
  return count;
}

}  // namespace featflow
