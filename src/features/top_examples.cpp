#include "features/top_examples.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.hpp"
#include "core/parallel.hpp"

namespace featflow {
namespace {

bool stronger(const Example& x, const Example& y) {
  if (x.value != y.value) return x.value > y.value;
  return x.row < y.row;
}

/// The strongest row of each document in place of all: documents are runs of ascending rows.
std::vector<Example> best_of_documents(const Column& column, std::span<const int32_t> documents) {
  std::vector<Example> best;
  for (size_t i = 0; i < column.rows.size(); ++i) {
    const Example example{column.rows[i], column.values[i]};
    if (!documents.empty() && !best.empty() &&
        documents[best.back().row] == documents[example.row]) {
      if (stronger(example, best.back())) best.back() = example;
    } else {
      best.push_back(example);
    }
  }
  return best;
}

std::vector<Example> top_examples(const Column& column, const std::vector<Example>& ranked,
                                  std::span<const int32_t> documents, int64_t count) {
  std::vector<Example> top = best_of_documents(column, documents);
  const int64_t kept = std::min<int64_t>(count, std::ssize(top));
  std::partial_sort(top.begin(), top.begin() + kept, top.end(), stronger);
  top.resize(kept);
  if (kept == count || kept == std::ssize(ranked)) return top;
  // Fewer documents than examples asked for: `top` holds the best of each, ranks give the rest.
  std::set<int32_t> used;
  for (const Example& example : top) used.insert(example.row);
  for (const Example& example : ranked) {
    if (std::ssize(top) == count) break;
    if (used.insert(example.row).second) top.push_back(example);
  }
  std::sort(top.begin(), top.end(), stronger);
  return top;
}

std::vector<std::vector<Example>> interval_examples(const std::vector<Example>& ranked,
                                                    const std::vector<Example>& top,
                                                    const ExampleOptions& options) {
  std::set<int32_t> used;
  for (const Example& example : top) used.insert(example.row);
  const int64_t count = std::ssize(ranked);
  std::vector<std::vector<Example>> intervals(options.intervals);
  for (int64_t i = 0; i < options.intervals; ++i) {
    const int64_t begin = count * i / options.intervals;
    const int64_t end = count * (i + 1) / options.intervals;
    for (int64_t k = 0; k < options.per_interval; ++k) {
      int64_t rank = begin + (end - begin) * (2 * k + 1) / (2 * options.per_interval);
      while (rank < end && used.contains(ranked[rank].row)) ++rank;
      if (rank == end) continue;
      used.insert(ranked[rank].row);
      intervals[i].push_back(ranked[rank]);
    }
  }
  return intervals;
}

FeatureExamples examples_of(const Column& column, std::span<const int32_t> documents,
                            const ExampleOptions& options) {
  std::vector<Example> ranked(column.rows.size());
  for (size_t i = 0; i < ranked.size(); ++i) ranked[i] = {column.rows[i], column.values[i]};
  std::sort(ranked.begin(), ranked.end(), stronger);

  FeatureExamples result;
  result.top = top_examples(column, ranked, documents, options.top);
  result.intervals = interval_examples(ranked, result.top, options);
  result.histogram.assign(options.histogram_bins, 0);
  for (const Example& example : ranked) {
    const double share = static_cast<double>(example.value) / ranked.front().value;
    const auto bin = static_cast<int64_t>(std::ceil(share * options.histogram_bins)) - 1;
    ++result.histogram[std::clamp<int64_t>(bin, 0, options.histogram_bins - 1)];
  }
  return result;
}

}  // namespace

std::vector<FeatureExamples> feature_examples(const FeatureColumns& columns,
                                              std::span<const int32_t> documents,
                                              const ExampleOptions& options) {
  FEATFLOW_CHECK(options.top >= 0 && options.intervals >= 1 && options.per_interval >= 0 &&
                     options.histogram_bins >= 1,
                 "counts of examples");
  FEATFLOW_CHECK(documents.empty() || std::ssize(documents) == columns.row_count,
                 "a document per row");
  const int64_t first = columns.first_feature;
  std::vector<FeatureExamples> result(columns.end_feature() - first);
  parallel_for(std::ssize(result), 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      result[i] = examples_of(columns.column(first + i), documents, options);
    }
  });
  return result;
}

}  // namespace featflow
