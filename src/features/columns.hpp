#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "autoencoder/feature_activations.hpp"

namespace featflow {

/// Which rows count: row r does if mask[r] != 0; an empty mask counts all rows.
using RowMask = std::span<const uint8_t>;

/// The mask of rows [first, first + count); empty if it is.
inline RowMask rows_of_mask(RowMask mask, int64_t first, int64_t count) {
  return mask.empty() ? mask : mask.subspan(static_cast<size_t>(first), static_cast<size_t>(count));
}

/// Mask [n] of the rows from these corpora (`intersection` of definitions 8 counts the corpora
/// that both ends have seen). Throws Error if the file has no corpora or lacks one of the names.
std::vector<uint8_t> rows_of_corpora(const FeatureActivations& activations,
                                     const std::vector<std::string>& names);
std::vector<uint8_t> rows_of_corpora(const ActivationShards& shards,
                                     const std::vector<std::string>& names);

/// Entries [begin, end) of one row whose feature lies in [first_feature, end_feature).
struct EntryRange {
  int64_t begin, end;
};
EntryRange entries_between(const SparseRows& rows, int64_t row, int64_t first_feature,
                           int64_t end_feature);

/// The rows on which one feature is active, ascending, and its values there.
struct Column {
  std::span<const int32_t> rows;
  std::span<const float> values;
};

/// The transpose of SparseRows (compressed columns) for the features [first_feature, …).
struct FeatureColumns {
  int64_t row_count = 0;
  int64_t first_feature = 0;
  std::vector<int64_t> offsets = {0};  ///< [features + 1]
  std::vector<int32_t> rows;           ///< [nnz]
  std::vector<float> values;           ///< [nnz]

  int64_t end_feature() const { return first_feature + static_cast<int64_t>(offsets.size()) - 1; }
  Column column(int64_t feature) const;
};

struct TransposeOptions {
  int64_t first_feature = 0;
  int64_t end_feature = -1;  ///< -1: all features from first_feature on.
  RowMask mask = {};
  /// Empty, or a permutation [n]: row t of the result is row row_order[t] of the input.
  std::span<const int32_t> row_order = {};
};

/// The same rows with these features alone, numbered 0, 1 … in the order given: a few of very many,
/// without the memory of a whole transpose. `features` are ascending.
SparseRows keep_features(const SparseRows& rows, std::span<const int32_t> features);

/// Counting sort, parallel over rows; the result is the same for every thread count. Throws Error
/// beyond 2^31 − 1 rows.
FeatureColumns transpose(const SparseRows& rows, const TransposeOptions& options = {});
/// The same columns, shard by shard; only activations in memory can be permuted. `active_tokens`
/// [m] is what feature_statistics counted under the same mask.
FeatureColumns transpose(const ActivationShards& shards, std::span<const int64_t> active_tokens,
                         const TransposeOptions& options);

/// What one active row of a column takes.
inline constexpr int64_t kBytesPerColumnEntry = sizeof(int32_t) + sizeof(float);
/// End of the block of features that begins at `first` and transposes within `bytes`; at least one
/// feature. active_tokens [m].
int64_t transposable_end(const std::vector<int64_t>& active_tokens, int64_t first, int64_t bytes);

}  // namespace featflow
