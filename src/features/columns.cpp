#include "features/columns.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "core/error.hpp"
#include "core/parallel.hpp"

namespace featflow {

EntryRange entries_between(const SparseRows& rows, int64_t row, int64_t first_feature,
                           int64_t end_feature) {
  const int32_t* features = rows.features.data();  // ascending within a row
  EntryRange entries{rows.row_offsets[row], rows.row_offsets[row + 1]};
  if (first_feature > 0) {
    entries.begin =
        std::lower_bound(features + entries.begin, features + entries.end, first_feature) -
        features;
  }
  if (end_feature < rows.feature_count) {
    entries.end =
        std::lower_bound(features + entries.begin, features + entries.end, end_feature) - features;
  }
  return entries;
}

std::vector<uint8_t> rows_of_corpora(const FeatureActivations& activations,
                                     const std::vector<std::string>& names) {
  if (activations.corpora.empty() && activations.rows.rows() > 0) {
    throw Error(
        fmt::format("feature activations of model {}: rows carry no corpus, but rows of "
                    "chosen corpora were asked for (harvest them again with corpora)",
                    in_quotes(activations.model)));
  }
  std::vector<uint8_t> wanted(activations.corpus_names.size(), 0);
  for (const std::string& name : names) {
    const auto found =
        std::find(activations.corpus_names.begin(), activations.corpus_names.end(), name);
    if (found == activations.corpus_names.end()) {
      throw Error(fmt::format(
          "feature activations of model {}: no rows of corpus {}; there are {} "
          "corpora",
          in_quotes(activations.model), in_quotes(name), activations.corpus_names.size()));
    }
    wanted[static_cast<size_t>(found - activations.corpus_names.begin())] = 1;
  }
  std::vector<uint8_t> mask(activations.corpora.size());
  for (size_t row = 0; row < mask.size(); ++row) mask[row] = wanted.at(activations.corpora[row]);
  return mask;
}

std::vector<uint8_t> rows_of_corpora(const ActivationShards& shards,
                                     const std::vector<std::string>& names) {
  std::vector<uint8_t> mask;
  shards.for_each([&](const FeatureActivations& shard, int64_t) {
    const std::vector<uint8_t> part = rows_of_corpora(shard, names);
    mask.insert(mask.end(), part.begin(), part.end());
  });
  return mask;
}

Column FeatureColumns::column(int64_t feature) const {
  const auto index = static_cast<size_t>(feature - first_feature);
  const auto begin = static_cast<size_t>(offsets[index]);
  const auto count = static_cast<size_t>(offsets[index + 1]) - begin;
  return {std::span(rows).subspan(begin, count), std::span(values).subspan(begin, count)};
}

SparseRows keep_features(const SparseRows& rows, std::span<const int32_t> features) {
  constexpr int32_t kDropped = -1;
  std::vector<int32_t> number(static_cast<size_t>(rows.feature_count), kDropped);
  for (size_t i = 0; i < features.size(); ++i) {
    FEATFLOW_CHECK((i == 0 || features[i - 1] < features[i]) && features[i] >= 0 &&
                       features[i] < rows.feature_count,
                   "ascending features of these rows");
    number[static_cast<size_t>(features[i])] = static_cast<int32_t>(i);
  }
  SparseRows kept;
  kept.feature_count = std::ssize(features);
  kept.row_offsets.reserve(rows.row_offsets.size());
  for (int64_t row = 0; row < rows.rows(); ++row) {
    for (int64_t e = rows.row_offsets[row]; e < rows.row_offsets[row + 1]; ++e) {
      const int32_t j = number[static_cast<size_t>(rows.features[e])];
      if (j == kDropped) continue;
      kept.features.push_back(j);
      kept.values.push_back(rows.values[e]);
    }
    kept.row_offsets.push_back(kept.active());
  }
  return kept;
}

FeatureColumns transpose(const SparseRows& rows, const TransposeOptions& options) {
  const int64_t n = rows.rows();
  if (n > std::numeric_limits<int32_t>::max()) {
    throw Error(fmt::format("feature activations: {} rows, at most {} are supported", n,
                            std::numeric_limits<int32_t>::max()));
  }
  FEATFLOW_CHECK(options.mask.empty() || std::ssize(options.mask) == n, "one mask entry per row");
  FEATFLOW_CHECK(options.row_order.empty() || std::ssize(options.row_order) == n,
                 "row_order permutes all rows");
  const int64_t first = options.first_feature;
  const int64_t end = options.end_feature < 0 ? rows.feature_count : options.end_feature;
  FEATFLOW_CHECK(0 <= first && first <= end && end <= rows.feature_count, "feature range");
  const int64_t width = end - first;

  const auto for_each_entry = [&](int64_t row_begin, int64_t row_end, auto&& visit) {
    for (int64_t row = row_begin; row < row_end; ++row) {
      if (!options.mask.empty() && options.mask[row] == 0) continue;
      const int64_t source = options.row_order.empty() ? row : options.row_order[row];
      const EntryRange entries = entries_between(rows, source, first, end);
      for (int64_t e = entries.begin; e < entries.end; ++e) {
        visit(row, rows.features[e] - first, rows.values[e]);
      }
    }
  };

  // Slabs of rows count, then write behind one another: rows stay ascending within a column.
  const int64_t slabs = std::clamp<int64_t>(n / 4096, 1, thread_count());
  const auto slab_begin = [&](int64_t slab) { return n * slab / slabs; };
  std::vector<std::vector<int64_t>> next(slabs, std::vector<int64_t>(width, 0));
  parallel_for(slabs, 1, [&](int64_t slab, int64_t last, int) {
    for (; slab < last; ++slab) {
      int64_t* count = next[slab].data();
      for_each_entry(slab_begin(slab), slab_begin(slab + 1),
                     [&](int64_t, int64_t j, float) { ++count[j]; });
    }
  });

  FeatureColumns columns;
  columns.row_count = n;
  columns.first_feature = first;
  columns.offsets.assign(width + 1, 0);
  int64_t total = 0;
  for (int64_t j = 0; j < width; ++j) {
    columns.offsets[j] = total;
    for (std::vector<int64_t>& slab : next) total += std::exchange(slab[j], total);
  }
  columns.offsets[width] = total;
  columns.rows.resize(total);
  columns.values.resize(total);
  parallel_for(slabs, 1, [&](int64_t slab, int64_t last, int) {
    for (; slab < last; ++slab) {
      int64_t* position = next[slab].data();
      for_each_entry(slab_begin(slab), slab_begin(slab + 1),
                     [&](int64_t row, int64_t j, float value) {
                       const int64_t at = position[j]++;
                       columns.rows[at] = static_cast<int32_t>(row);
                       columns.values[at] = value;
                     });
    }
  });
  return columns;
}

int64_t transposable_end(const std::vector<int64_t>& active_tokens, int64_t first, int64_t bytes) {
  int64_t end = first;
  int64_t used = 0;
  while (end < std::ssize(active_tokens)) {
    used += active_tokens[end] * kBytesPerColumnEntry;
    if (used > bytes && end > first) break;
    ++end;
  }
  return end;
}

FeatureColumns transpose(const ActivationShards& shards, std::span<const int64_t> active_tokens,
                         const TransposeOptions& options) {
  if (shards.whole() != nullptr) return transpose(shards.whole()->rows, options);
  FEATFLOW_CHECK(options.row_order.empty(), "only activations in memory can be permuted");
  const int64_t first = options.first_feature;
  const int64_t end = options.end_feature < 0 ? shards.feature_count() : options.end_feature;
  FeatureColumns columns;
  columns.row_count = shards.rows();
  columns.first_feature = first;
  columns.offsets.clear();
  int64_t total = 0;
  for (int64_t j = first; j < end; ++j) {
    columns.offsets.push_back(total);
    total += active_tokens[j];
  }
  std::vector<int64_t> next = columns.offsets;  // where a feature's next shard goes
  columns.offsets.push_back(total);
  columns.rows.resize(total);
  columns.values.resize(total);
  shards.for_each([&](const FeatureActivations& shard, int64_t first_row) {
    const FeatureColumns part =
        transpose(shard.rows, {.first_feature = first,
                               .end_feature = end,
                               .mask = rows_of_mask(options.mask, first_row, shard.rows.rows())});
    parallel_for(end - first, 256, [&](int64_t begin, int64_t last, int) {
      for (int64_t j = begin; j < last; ++j) {
        const Column column = part.column(first + j);
        FEATFLOW_CHECK(next[j] + std::ssize(column.rows) <= columns.offsets[j + 1],
                       "activations as they were counted");
        for (size_t i = 0; i < column.rows.size(); ++i) {
          columns.rows[next[j] + i] = static_cast<int32_t>(first_row) + column.rows[i];
        }
        std::ranges::copy(column.values, columns.values.begin() + next[j]);
        next[j] += std::ssize(column.rows);
      }
    });
  });
  return columns;
}

}  // namespace featflow
