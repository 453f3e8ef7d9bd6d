#include "explaining/language_model_examples.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/error.hpp"
#include "explaining/rule_search.hpp"

namespace featflow {
namespace {

/// [n] document of each row; ascending, as token positions are.
std::vector<int32_t> documents_of_rows(const FeatureActivations& activations,
                                       const TokenShard& text) {
  std::vector<int32_t> documents;
  documents.reserve(activations.token_positions.size());
  size_t document = 0;
  int64_t last = -1;
  for (const int64_t position : activations.token_positions) {
    if (position <= last || position >= text.size()) {
      throw Error(
          fmt::format("activations of {}: token position {} behind {}, in a text of {} tokens; "
                      "expected the text that they were made from",
                      in_quotes(activations.model), position, last, text.size()));
    }
    last = position;
    while (document + 1 < text.document_starts.size() &&
           text.document_starts[document + 1] <= position) {
      ++document;
    }
    documents.push_back(static_cast<int32_t>(document));
  }
  return documents;
}

}  // namespace

int64_t Excerpt::active_tokens() const {
  return std::ranges::count_if(activations, [](float value) { return value > 0; });
}

/// Excerpts chosen so far, by their rows.
struct LanguageModelExamples::Taken {
  std::set<std::pair<int32_t, int32_t>> ranges;

  /// False if it shares a row with one of them.
  bool add(const Excerpt& excerpt) {
    const auto after = ranges.lower_bound({excerpt.end_row(), 0});
    if (after != ranges.begin() && std::prev(after)->second > excerpt.first_row) return false;
    ranges.emplace(excerpt.first_row, excerpt.end_row());
    return true;
  }
};

LanguageModelExamples::LanguageModelExamples(const FeatureActivations& activations,
                                             const TokenShard& text,
                                             std::span<const int32_t> features,
                                             const LanguageModelExampleCounts& counts)
    : activations_(activations),
      text_(text),
      counts_(counts),
      features_(features.begin(), features.end()) {
  for (const int64_t count :
       {counts.explain_top, counts.explain_per_interval, counts.explain_random, counts.simulate_top,
        counts.simulate_per_interval, counts.simulate_random, counts.detect_per_interval}) {
    if (count < 0 || count > 1000) {
      throw Error(fmt::format("{} examples: expected 0 to 1000 of each kind", count));
    }
  }
  if (counts.excerpt_tokens < 1 || counts.excerpt_tokens > 1000 || counts.intervals < 1 ||
      counts.intervals > 100) {
    throw Error(fmt::format("excerpts of {} tokens, {} intervals: expected 1 to 1000 and 1 to 100",
                            counts.excerpt_tokens, counts.intervals));
  }
  std::ranges::sort(features_);
  for (size_t i = 0; i < features_.size(); ++i) {
    if (features_[i] < 0 || features_[i] >= activations.rows.feature_count) {
      throw Error(fmt::format("feature {}: {} has features 0 to {}", features_[i],
                              in_quotes(activations.model), activations.rows.feature_count - 1));
    }
    if (i > 0 && features_[i] == features_[i - 1]) {
      throw Error(fmt::format("feature {} is named twice", features_[i]));
    }
  }
  documents_ = documents_of_rows(activations, text);
  const SparseRows kept = keep_features(activations.rows, features_);
  const std::vector<uint8_t> half_of_row = document_halves(documents_, text);
  std::vector<uint8_t> mask(documents_.size());
  for (uint8_t odd = 0; odd < 2; ++odd) {
    Half& half = halves_[odd];
    for (size_t row = 0; row < mask.size(); ++row) {
      mask[row] = half_of_row[row] == odd ? 1 : 0;
      if (mask[row] != 0) half.rows.push_back(static_cast<int32_t>(row));
    }
    half.columns = transpose(kept, {.mask = mask});
    // Twice as many of an interval as are asked for: some overlap with others.
    const auto examples = [&](int64_t top, int64_t per_interval) {
      return feature_examples(half.columns, documents_,
                              {.top = top,
                               .intervals = counts.intervals,
                               .per_interval = 2 * per_interval,
                               .histogram_bins = 1});
    };
    if (odd == 0) {
      half.explained = examples(counts.explain_top, counts.explain_per_interval);
    } else {
      half.simulated = examples(counts.simulate_top, counts.simulate_per_interval);
      half.detected = examples(0, counts.detect_per_interval);
    }
  }
}

int64_t LanguageModelExamples::index_of(int32_t feature) const {
  const auto found = std::ranges::lower_bound(features_, feature);
  FEATFLOW_CHECK(found != features_.end() && *found == feature, "one of the chosen features");
  return found - features_.begin();
}

std::array<int64_t, 2> LanguageModelExamples::active_tokens(int32_t feature) const {
  const int64_t index = index_of(feature);
  return {std::ssize(halves_[0].columns.column(index).rows),
          std::ssize(halves_[1].columns.column(index).rows)};
}

bool LanguageModelExamples::enough(int32_t feature) const {
  const auto counts = active_tokens(feature);
  return std::min(counts[0], counts[1]) >= std::max<int64_t>(1, counts_.min_active_tokens);
}

// The row stands anywhere in its excerpt: a place that is always the same would tell who simulates
// where to put the activation.
Excerpt LanguageModelExamples::around(int32_t row, const Column& column, Rng& rng) const {
  const auto n = static_cast<int32_t>(documents_.size());
  const auto length = static_cast<int32_t>(counts_.excerpt_tokens);
  const auto adjacent = [&](int32_t first, int32_t second) {
    return documents_[first] == documents_[second] &&
           activations_.token_positions[first] + 1 == activations_.token_positions[second];
  };
  const auto before = static_cast<int32_t>(rng.below(static_cast<uint64_t>(length)));
  int32_t begin = row, end = row + 1;
  while (row - begin < before && begin > 0 && adjacent(begin - 1, begin)) --begin;
  while (end - begin < length && end < n && adjacent(end - 1, end)) ++end;
  while (end - begin < length && begin > 0 && adjacent(begin - 1, begin)) --begin;

  Excerpt excerpt;
  excerpt.first_row = begin;
  auto at = std::ranges::lower_bound(column.rows, begin);
  for (int32_t r = begin; r < end; ++r) {
    excerpt.tokens.push_back(text_.tokens[static_cast<size_t>(activations_.token_positions[r])]);
    const bool active = at != column.rows.end() && *at == r;
    excerpt.activations.push_back(active ? column.values[at - column.rows.begin()] : 0);
    if (active) ++at;
  }
  return excerpt;
}

void LanguageModelExamples::draw(std::span<const Example> from, int64_t count, const Column& column,
                                 Rng& rng, Taken& taken, std::vector<Excerpt>& to) const {
  for (const Example& example : from) {
    if (count == 0) return;
    Excerpt excerpt = around(example.row, column, rng);
    if (!taken.add(excerpt)) continue;
    to.push_back(std::move(excerpt));
    --count;
  }
}

void LanguageModelExamples::draw_random(const Half& half, int64_t count, bool inactive,
                                        const Column& column, Rng& rng, Taken& taken,
                                        std::vector<Excerpt>& to) const {
  if (half.rows.empty()) return;
  // Where almost every excerpt is active, or the text is short, there are fewer.
  for (int64_t tries = 200 * count; count > 0 && tries > 0; --tries) {
    Excerpt excerpt = around(half.rows[rng.below(half.rows.size())], column, rng);
    if (inactive && excerpt.active_tokens() > 0) continue;
    if (!taken.add(excerpt)) continue;
    to.push_back(std::move(excerpt));
    --count;
  }
}

FeatureSample LanguageModelExamples::sample(int32_t feature, uint64_t seed) const {
  const auto index = static_cast<size_t>(index_of(feature));
  Rng rng(seed, fmt::format("examples for a language model/{}", feature));
  FeatureSample sample;
  sample.feature = feature;
  sample.active_tokens = active_tokens(feature);

  const Half& even = halves_[0];
  const Column explain = even.columns.column(static_cast<int64_t>(index));
  if (!explain.values.empty()) sample.maximum = std::ranges::max(explain.values);
  const auto of_interval = [&](std::vector<Example> candidates, int64_t count, const Column& column,
                               Taken& taken, std::vector<Excerpt>& to) {
    rng.shuffle(candidates);
    draw(candidates, count, column, rng, taken, to);
  };
  Taken explained;
  const FeatureExamples& shown = even.explained[index];
  draw(shown.top, counts_.explain_top, explain, rng, explained, sample.top);
  for (const auto& interval : shown.intervals) {
    of_interval(interval, counts_.explain_per_interval, explain, explained,
                sample.intervals.emplace_back());
  }
  draw_random(even, counts_.explain_random, false, explain, rng, explained, sample.random);

  const Half& odd = halves_[1];
  const Column score = odd.columns.column(static_cast<int64_t>(index));
  Taken simulated;
  draw(odd.simulated[index].top, counts_.simulate_top, score, rng, simulated, sample.simulate);
  for (const auto& interval : odd.simulated[index].intervals) {
    of_interval(interval, counts_.simulate_per_interval, score, simulated, sample.simulate);
  }
  draw_random(odd, counts_.simulate_random, false, score, rng, simulated, sample.simulate);

  Taken detected;
  for (const auto& interval : odd.detected[index].intervals) {
    of_interval(interval, counts_.detect_per_interval, score, detected, sample.active);
  }
  draw_random(odd, std::ssize(sample.active), true, score, rng, detected, sample.inactive);
  return sample;
}

}  // namespace featflow
