#include "features/pearson.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>

#include "core/error.hpp"
#include "core/parallel.hpp"

namespace featflow {
namespace {

// Rows ahead: far enough for memory to answer while some 30 products are added per row.
constexpr int64_t kPrefetchOffsets = 24;
constexpr int64_t kPrefetchEntries = 8;
constexpr int64_t kEntriesPerLine = 64 / sizeof(PackedRows::Entry);
constexpr int64_t kHugePage = int64_t{2} << 20;

double sum_of_products(const Column& a, const Column& b) {
  double sum = 0;
  for_each_common_row(
      a, b, [&](size_t i, size_t k) { sum += static_cast<double>(a.values[i]) * b.values[k]; });
  return sum;
}

}  // namespace

void require_same_rows(const FeatureActivations& a, const FeatureActivations& b) {
  require_same_rows(ActivationShards(a), ActivationShards(b));
}

void require_same_rows(const ActivationShards& a, const ActivationShards& b) {
  if (a.about().corpus == b.about().corpus && a.rows() == b.rows()) return;
  throw Error(
      fmt::format("matching {} with {}: {} rows of text {} against {} rows of text {}; both "
                  "must be encoded on the same tokens",
                  in_quotes(a.about().model), in_quotes(b.about().model), a.rows(),
                  in_quotes(a.about().corpus), b.rows(), in_quotes(b.about().corpus)));
}

std::vector<double> inverse_deviations(const FeatureStatistics& statistics) {
  const auto n = static_cast<double>(statistics.row_count);
  std::vector<double> result(statistics.feature_count(), std::numeric_limits<double>::quiet_NaN());
  for (int64_t j = 0; j < statistics.feature_count(); ++j) {
    const bool constant =
        statistics.active_tokens[j] == 0 || (statistics.active_tokens[j] == statistics.row_count &&
                                             statistics.minimum[j] == statistics.maximum[j]);
    if (constant) continue;
    result[j] = inverse_deviation(n, statistics.mass[j], statistics.sum_of_squares[j]);
  }
  return result;
}

int64_t PackedRows::bytes(int64_t active) {
  const int64_t bytes = active * static_cast<int64_t>(sizeof(Entry));
  return (bytes + kHugePage) / kHugePage * kHugePage;
}

PackedRows::PackedRows(int64_t first_feature, int64_t end_feature, int64_t rows, int64_t active)
    : first_feature_(first_feature), feature_count_(end_feature - first_feature), active_(active) {
  offsets_.reserve(static_cast<size_t>(rows + 1));
  const auto size = static_cast<size_t>(bytes(active));
  void* memory = std::aligned_alloc(kHugePage, size);
  if (memory == nullptr) throw std::bad_alloc();
  entries_.reset(static_cast<Entry*>(memory));
  madvise(memory, size, MADV_HUGEPAGE);  // a wish: without it only slower
}

PackedRows::PackedRows(const SparseRows& rows)
    : PackedRows(0, rows.feature_count, rows.rows(), rows.active()) {
  append(rows);
}

PackedRows::PackedRows(const SparseRows& rows, std::span<const int32_t> slots, int64_t slot_count)
    : PackedRows(0, slot_count, rows.rows(), rows.active()) {
  FEATFLOW_CHECK(std::ssize(slots) == rows.feature_count, "a slot per feature");
  offsets_ = rows.row_offsets;
  parallel_for(rows.active(), 1 << 20, [&](int64_t begin, int64_t end, int) {
    for (int64_t e = begin; e < end; ++e) entries_[e] = {slots[rows.features[e]], rows.values[e]};
  });
}

void PackedRows::append(const SparseRows& rows, RowMask mask) {
  const int64_t before = std::ssize(offsets_) - 1, end_feature = first_feature_ + feature_count_;
  const auto range = [&](int64_t row) {
    if (!mask.empty() && mask[row] == 0) return EntryRange{0, 0};
    return entries_between(rows, row, first_feature_, end_feature);
  };
  offsets_.resize(static_cast<size_t>(before + rows.rows() + 1));
  int64_t* ends = offsets_.data() + before + 1;
  parallel_for(rows.rows(), 4096, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) ends[row] = range(row).end - range(row).begin;
  });
  for (int64_t row = 0; row < rows.rows(); ++row) ends[row] += ends[row - 1];
  FEATFLOW_CHECK(offsets_.back() <= active_, "activations as they were counted");
  parallel_for(rows.rows(), 4096, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      const EntryRange from = range(row);
      Entry* to = entries_.get() + ends[row - 1];
      for (int64_t e = from.begin; e < from.end; ++e) {
        *to++ = {rows.features[e] - static_cast<int32_t>(first_feature_), rows.values[e]};
      }
    }
  });
}

void PackedRows::Free::operator()(Entry* entries) const { std::free(entries); }

void add_products(const Column& a, const PackedRows& b, std::span<double> products) {
  FEATFLOW_CHECK(std::ssize(products) == b.feature_count(), "a product per feature of B");
  const int64_t count = std::ssize(a.rows);
  const int64_t* offsets = b.offsets();
  const PackedRows::Entry* entries = b.entries();
  double* sums = products.data();
  for (int64_t i = 0; i < count; ++i) {
    if (i + kPrefetchOffsets < count) {
      __builtin_prefetch(offsets + a.rows[i + kPrefetchOffsets]);
    }
    if (i + kPrefetchEntries < count) {
      const int64_t ahead = a.rows[i + kPrefetchEntries];
      for (int64_t e = offsets[ahead]; e < offsets[ahead + 1]; e += kEntriesPerLine) {
        __builtin_prefetch(entries + e);
      }
    }
    const double value = a.values[i];
    const PackedRows::Entry* end = entries + offsets[a.rows[i] + 1];
    for (const PackedRows::Entry* entry = entries + offsets[a.rows[i]]; entry < end; ++entry) {
      sums[entry->feature] += value * entry->value;
    }
  }
}

std::vector<double> pair_correlations(const FeatureColumns& a,
                                      const FeatureStatistics& a_statistics,
                                      const FeatureColumns& b,
                                      const FeatureStatistics& b_statistics,
                                      std::span<const FeaturePair> pairs) {
  FEATFLOW_CHECK(a_statistics.row_count == b_statistics.row_count, "the same rows on both sides");
  const std::vector<double> a_inverse = inverse_deviations(a_statistics);
  const std::vector<double> b_inverse = inverse_deviations(b_statistics);
  std::vector<double> result(pairs.size());
  parallel_for(std::ssize(pairs), 64, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int32_t fa = pairs[i].feature_a, fb = pairs[i].feature_b;
      result[i] =
          pearson(a_statistics.row_count, sum_of_products(a.column(fa), b.column(fb)),
                  a_statistics.mass[fa], b_statistics.mass[fb], a_inverse[fa], b_inverse[fb]);
    }
  });
  return result;
}

std::vector<double> pair_correlations(const FeatureActivations& a, const FeatureActivations& b,
                                      std::span<const FeaturePair> pairs, RowMask mask) {
  require_same_rows(a, b);
  return pair_correlations(transpose(a.rows, {.mask = mask}), feature_statistics(a, mask),
                           transpose(b.rows, {.mask = mask}), feature_statistics(b, mask), pairs);
}

}  // namespace featflow
