#include "matching/null.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "core/error.hpp"

namespace featflow {
namespace {

constexpr double kNearestShare = 0.04;  // of a corpus: the shortest shift

constexpr std::array<std::pair<NullKind, std::string_view>, 3> kNames = {
    {{NullKind::kShiftedRows, "shifted_rows"},
     {NullKind::kSameToken, "same_token"},
     {NullKind::kRandomModel, "random_model"}}};

/// Groups of equal keys, by key.
RowGroups group_by(const std::vector<int64_t>& keys) {
  std::vector<std::pair<int64_t, int32_t>> sorted(keys.size());
  for (size_t row = 0; row < keys.size(); ++row)
    sorted[row] = {keys[row], static_cast<int32_t>(row)};
  std::ranges::sort(sorted);
  RowGroups groups;
  groups.rows.reserve(keys.size());
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (i > 0 && sorted[i].first != sorted[i - 1].first)
      groups.offsets.push_back(std::ssize(groups.rows));
    groups.rows.push_back(sorted[i].second);
  }
  if (!keys.empty()) groups.offsets.push_back(std::ssize(groups.rows));
  return groups;
}

std::vector<int64_t> corpus_of_rows(const FeatureActivations& activations) {
  std::vector<int64_t> keys(static_cast<size_t>(activations.rows.rows()), 0);
  if (!activations.corpora.empty()) std::ranges::copy(activations.corpora, keys.begin());
  return keys;
}

/// Calls reorder(rows of the group, the same rows to be put in order) for every group.
std::vector<int32_t> reorder_within(const RowGroups& groups, auto&& reorder) {
  std::vector<int32_t> order(groups.rows.size());
  for (size_t group = 0; group + 1 < groups.offsets.size(); ++group) {
    const auto begin = groups.rows.begin() + groups.offsets[group];
    const auto end = groups.rows.begin() + groups.offsets[group + 1];
    std::vector<int32_t> reordered(begin, end);
    reorder(reordered);
    for (auto row = begin; row < end; ++row) {
      order[static_cast<size_t>(*row)] = reordered[static_cast<size_t>(row - begin)];
    }
  }
  return order;
}

/// Runs of one kind: `reorder` draws a row order within `groups`.
NullMaxima reordered_rows_null(NullKind kind, const FeatureActivations& a,
                               const FeatureActivations& b, const RowGroups& groups,
                               std::vector<int32_t> (*reorder)(const RowGroups&, Rng&),
                               const NullOptions& options) {
  FEATFLOW_CHECK(options.runs >= 1, "a null of at least one run");
  std::vector<int64_t> moved(static_cast<size_t>(options.runs), 0);
  // A run's order depends on its number alone: the same whenever it is asked for.
  const auto order_of = [&](int64_t run) {
    Rng rng(options.seed, fmt::format("{} {}", name_of(kind), run));
    std::vector<int32_t> order = reorder(groups, rng);
    int64_t& elsewhere = moved[static_cast<size_t>(run)] = 0;
    for (size_t row = 0; row < order.size(); ++row) {
      elsewhere += order[row] != static_cast<int32_t>(row);
    }
    return order;
  };
  BestCorrelationOptions correlation = options.correlation;
  correlation.progress_label += fmt::format(" ({})", name_of(kind));
  NullMaxima null{kind, 0, best_correlations(a, b, correlation, options.runs, order_of)};
  const int64_t rows = options.runs * a.rows.rows();
  if (rows > 0) {
    null.moved =
        static_cast<double>(std::reduce(moved.begin(), moved.end())) / static_cast<double>(rows);
  }
  return null;
}

}  // namespace

RowGroups rows_by_corpus(const FeatureActivations& activations) {
  return group_by(corpus_of_rows(activations));
}

RowGroups rows_by_corpus_and_token(const FeatureActivations& activations,
                                   std::span<const int32_t> tokens) {
  std::vector<int64_t> keys = corpus_of_rows(activations);
  if (tokens.size() != keys.size()) {
    throw Error(
        fmt::format("null within tokens: {} tokens for {} rows of the feature activations of model "
                    "{}, expected "
                    "one token for each row; they come from another text",
                    tokens.size(), keys.size(), in_quotes(activations.model)));
  }
  for (size_t row = 0; row < keys.size(); ++row) {
    keys[row] = keys[row] * (int64_t{1} << 32) + tokens[row];
  }
  return group_by(keys);
}

std::vector<int32_t> shuffle_within(const RowGroups& groups, Rng& rng) {
  return reorder_within(groups, [&](std::vector<int32_t>& rows) { rng.shuffle(rows); });
}

std::vector<int32_t> shift_within(const RowGroups& groups, Rng& rng) {
  return reorder_within(groups, [&](std::vector<int32_t>& rows) {
    const int64_t count = std::ssize(rows);
    if (count < 2) return;
    const auto nearest =
        std::max<int64_t>(1, static_cast<int64_t>(kNearestShare * static_cast<double>(count)));
    const auto choices = static_cast<uint64_t>(count - 2 * nearest + 1);
    const int64_t offset = nearest + static_cast<int64_t>(rng.below(choices));
    std::rotate(rows.begin(), rows.begin() + offset, rows.end());
  });
}

std::string_view name_of(NullKind kind) {
  return std::ranges::find(kNames, kind, &std::pair<NullKind, std::string_view>::first)->second;
}

NullKind parse_null_kind(std::string_view name) {
  const auto* const found =
      std::ranges::find(kNames, name, &std::pair<NullKind, std::string_view>::second);
  if (found != kNames.end()) return found->first;
  throw Error(
      fmt::format("null {}: no such kind; expected shifted_rows, same_token or random_model",
                  in_quotes(std::string(name))));
}

NullMaxima shifted_rows_null(const FeatureActivations& a, const FeatureActivations& b,
                             const NullOptions& options) {
  return reordered_rows_null(NullKind::kShiftedRows, a, b, rows_by_corpus(a), shift_within,
                             options);
}

NullMaxima same_token_null(const FeatureActivations& a, const FeatureActivations& b,
                           std::span<const int32_t> tokens, const NullOptions& options) {
  return reordered_rows_null(NullKind::kSameToken, a, b, rows_by_corpus_and_token(a, tokens),
                             shuffle_within, options);
}

NullMaxima random_model_null(const FeatureActivations& a, const FeatureActivations& b,
                             std::span<const FeatureActivations* const> random_models,
                             const BestCorrelationOptions& options) {
  FEATFLOW_CHECK(!random_models.empty(), "a null of at least one random model");
  require_same_rows(a, b);
  NullMaxima null{NullKind::kRandomModel, 1, {}};
  const auto append = [](const BestOfSide& run, BestOfSide& side) {
    side.active_tokens = run.active_tokens;
    side.measurable = run.measurable;
    side.best.insert(side.best.end(), run.best.begin(), run.best.end());
  };
  for (const FeatureActivations* const random : random_models) {
    BestCorrelationOptions labelled = options;
    labelled.progress_label += " (random model)";
    const BestCorrelations of_a = best_correlations(a, *random, labelled);
    null.maxima.rows = of_a.rows;
    null.maxima.runs += 1;
    append(of_a.a, null.maxima.a);
    append(best_correlations(b, *random, labelled).a, null.maxima.b);
  }
  return null;
}

}  // namespace featflow
