#include "report/feature_payload.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <span>
#include <tuple>
#include <utility>

#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "features/columns.hpp"
#include "features/example_text.hpp"
#include "features/top_examples.hpp"

namespace featflow {
namespace {

using Json = nlohmann::ordered_json;

/// Features transposed at a time: 16 chunks.
constexpr int64_t kBlock = 16 * kFeaturesPerChunk;
constexpr int kHistogramBins = 20;
constexpr size_t kTokensOfIndex = 3;  // of the page's

/// A correlation in few bytes: rounded down, so that it reaches no threshold of at most five
/// decimals that r does not.
Json rounded_down(double r) { return std::floor(r * 1e5) / 1e5; }

/// x to a few significant digits: what the page shows, in fewer bytes.
Json significant(double x, int digits = 4) {
  if (!std::isfinite(x)) return nullptr;
  return std::strtod(fmt::format("{:.{}g}", x, digits).c_str(), nullptr);
}

/// The pages of one block of features, made one chunk at a time. One per worker and call: the
/// scratch is not shared.
class FeaturePages {
 public:
  FeaturePages(const FeatureContext& context, const FeatureColumns& columns,
               const std::vector<int64_t>& token_rows)
      : context_(context),
        activations_(*context.activations),
        statistics_(*context.statistics),
        columns_(columns),
        token_rows_(token_rows),
        mass_of_token_(token_rows.size()) {}

  /// Must come before the pages of the features [first, end): counts the rows on which each of them
  /// is active together with each feature of the model. Σ L0² over the rows is the most of a
  /// report's work, so rows are read in order, once for all features of the chunk.
  void count_coactive(int64_t first, int64_t end) {
    const SparseRows& rows = activations_.rows;
    const auto m = static_cast<size_t>(rows.feature_count);
    first_ = first;
    active_with_.assign(static_cast<size_t>(end - first) * m, 0);
    for (int64_t row = 0; row < rows.rows(); ++row) {
      const auto begin = static_cast<size_t>(rows.row_offsets[static_cast<size_t>(row)]);
      const auto row_end = static_cast<size_t>(rows.row_offsets[static_cast<size_t>(row) + 1]);
      const EntryRange own = entries_between(rows, row, first, end);
      for (auto i = static_cast<size_t>(own.begin); i < static_cast<size_t>(own.end); ++i) {
        int32_t* with = &active_with_[static_cast<size_t>(rows.features[i] - first) * m];
        for (size_t k = begin; k < row_end; ++k) ++with[static_cast<size_t>(rows.features[k])];
      }
    }
  }

  Json page(int64_t feature, const FeatureExamples& found) {
    const Column column = columns_.column(feature);
    const auto j = static_cast<size_t>(feature);
    Json page = {{"active", statistics_.active_tokens[j]},
                 {"mean", significant(statistics_.mean_active(feature))},
                 {"histogram", column.rows.empty() ? std::vector<int64_t>() : found.histogram},
                 {"corpora", corpora(feature)},
                 {"tokens", tokens(column, statistics_.mass[j])},
                 {"examples", examples(column, found.top, statistics_.maximum[j])},
                 {"matches", matches(j)}};
    if (context_.intervals > 0) {
      page["intervals"] = intervals(column, found.intervals, statistics_.maximum[j]);
    }
    if (context_.budget.coactive > 0) page["coactive"] = coactive(column, feature);
    if (context_.logits) page["logits"] = context_.logits->at(j);
    return page;
  }

 private:
  int32_t token(int32_t row) const {
    const int64_t position = activations_.token_positions[static_cast<size_t>(row)];
    return context_.text->tokens[static_cast<size_t>(position)];
  }

  Json corpora(int64_t feature) const {
    Json rows = Json::array();
    const double mass = statistics_.mass[static_cast<size_t>(feature)];
    for (size_t c = 0; mass > 0 && c < statistics_.corpus_names.size(); ++c) {
      const size_t at =
          c * static_cast<size_t>(statistics_.feature_count()) + static_cast<size_t>(feature);
      const auto active = static_cast<double>(statistics_.corpus_active[at]);
      const auto all = static_cast<double>(statistics_.corpus_rows[c]);
      rows.push_back({c, statistics_.corpus_active[at], significant(all > 0 ? active / all : 0, 3),
                      significant(statistics_.corpus_mass[at] / mass)});
    }
    return rows;
  }

  /// Tokens by the feature's activation on them, strongest first: (id, Σ f there).
  std::vector<std::pair<int32_t, double>> top_tokens(const Column& column, int64_t count) {
    std::vector<std::pair<int32_t, double>> top;
    for (size_t i = 0; i < column.rows.size(); ++i) {
      const int32_t id = token(column.rows[i]);
      double& mass = mass_of_token_[static_cast<size_t>(id)];
      if (mass == 0) top.emplace_back(id, 0);
      mass += column.values[i];
    }
    for (auto& [id, mass] : top) std::swap(mass, mass_of_token_[static_cast<size_t>(id)]);
    const auto end = top.begin() + std::min<int64_t>(count, std::ssize(top));
    std::partial_sort(top.begin(), end, top.end(), [](const auto& a, const auto& b) {
      return a.second != b.second ? a.second > b.second : a.first < b.first;
    });
    top.erase(end, top.end());
    return top;
  }

  /// With the log-likelihood ratio of each (definitions 20): log2 of its share of the feature's
  /// activation over its share of the rows.
  Json tokens(const Column& column, double mass) {
    Json rows = Json::array();
    const auto n = static_cast<double>(activations_.rows.rows());
    for (const auto& [id, on_token] : top_tokens(column, context_.budget.tokens)) {
      const double q = on_token / mass;
      const double p = static_cast<double>(token_rows_[static_cast<size_t>(id)]) / n;
      rows.push_back({id, significant(q), significant(std::log2(q / p))});
    }
    return rows;
  }

  Json examples(const Column& column, const std::vector<Example>& top, float maximum) const {
    Json rows = Json::array();
    for (const Example& example : top) {
      const auto at = std::lower_bound(column.rows.begin(), column.rows.end(), example.row);
      rows.push_back(this->example(column, static_cast<size_t>(at - column.rows.begin()), maximum));
    }
    return rows;
  }

  /// [[interval, example]]: 0 is the strongest share of the active rows.
  Json intervals(const Column& column, const std::vector<std::vector<Example>>& found,
                 float maximum) const {
    Json rows = Json::array();
    for (size_t i = 0; i < found.size(); ++i) {
      Json found_here = examples(column, found[i], maximum);
      for (Json& example : found_here) {
        rows.push_back({i, std::move(example)});
      }
    }
    return rows;
  }

  /// Features of the same model that are active on the same rows, by the rows of both over the rows
  /// of either: [[feature, rows of both, that share]].
  Json coactive(const Column& column, int64_t feature) {
    const auto m = static_cast<size_t>(activations_.rows.feature_count);
    const int32_t* with = &active_with_[static_cast<size_t>(feature - first_) * m];
    std::vector<std::tuple<double, int32_t, int64_t>> best;  // −share, feature, rows of both
    for (int32_t other = 0; other < static_cast<int32_t>(m); ++other) {
      const int64_t both = with[other];
      if (both == 0 || other == feature) continue;
      const int64_t either =
          std::ssize(column.rows) + statistics_.active_tokens[static_cast<size_t>(other)] - both;
      best.emplace_back(-static_cast<double>(both) / static_cast<double>(either), other, both);
    }
    const auto end = best.begin() + std::min<int64_t>(context_.budget.coactive, std::ssize(best));
    std::partial_sort(best.begin(), end, best.end());
    Json rows = Json::array();
    for (auto at = best.begin(); at != end; ++at) {
      rows.push_back({std::get<1>(*at), std::get<2>(*at), significant(-std::get<0>(*at), 2)});
    }
    return rows;
  }

  Json example(const Column& column, size_t peak, float maximum) const {
    const auto row = static_cast<size_t>(column.rows[peak]);
    const TextWindow window = window_around(*context_.text, activations_.token_positions[row],
                                            context_.budget.before, context_.budget.after);
    Json levels = Json::array();
    for (const auto& [offset, value] :
         activations_in(column, activations_.token_positions, window)) {
      levels.push_back(offset);
      levels.push_back(activation_level(value, maximum));
    }
    const std::span<const int32_t> tokens = tokens_in(*context_.text, window);
    return {activations_.corpora.empty() ? -1 : static_cast<int>(activations_.corpora[row]),
            activations_.documents.empty() ? -1 : activations_.documents[row],
            window.peak - window.begin,
            significant(column.values[peak]),
            std::vector<int32_t>(tokens.begin(), tokens.end()),
            levels};
  }

  Json matches(size_t feature) const {
    Json rows = Json::array();
    for (const auto& [model, partners] : context_.matches) {
      if (partners[feature].empty()) continue;
      Json pairs = Json::array();
      for (const auto& [other, r] : partners[feature]) pairs.push_back({other, rounded_down(r)});
      rows.push_back({model, pairs});
    }
    return rows;
  }

  const FeatureContext& context_;
  const FeatureActivations& activations_;
  const FeatureStatistics& statistics_;
  const FeatureColumns& columns_;
  const std::vector<int64_t>& token_rows_;
  std::vector<double> mass_of_token_;  // [vocabulary] all zero between calls
  int64_t first_ = 0;
  std::vector<int32_t> active_with_;  // [features from first_, m] of count_coactive
};

}  // namespace

std::vector<std::vector<std::pair<int32_t, float>>> best_partners(const Matches& matches, bool of_a,
                                                                  int64_t count,
                                                                  const MeasurableLimits& limits) {
  const MatchSide &own_side = of_a ? matches.a : matches.b,
                  &other_side = of_a ? matches.b : matches.a;
  const auto usable = measurable(own_side.active_tokens, own_side.active_documents, limits);
  const auto other_usable =
      measurable(other_side.active_tokens, other_side.active_documents, limits);
  std::vector<std::vector<std::pair<int32_t, float>>> partners(usable.size());
  const auto add = [&](const FeaturePair& pair) {
    const int32_t own = of_a ? pair.feature_a : pair.feature_b;
    const int32_t other = of_a ? pair.feature_b : pair.feature_a;
    if (usable[static_cast<size_t>(own)] && !other_usable[static_cast<size_t>(other)]) return;
    partners[static_cast<size_t>(own)].emplace_back(other, pair.correlation);
  };
  for (const FeaturePair& pair : matches.pairs) add(pair);
  for (const FeaturePair& pair : of_a ? matches.best_of_a : matches.best_of_b) add(pair);
  for (auto& list : partners) {
    std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) {
      return a.second != b.second ? a.second > b.second : a.first < b.first;
    });
    list.erase(std::unique(list.begin(), list.end()), list.end());
    if (std::ssize(list) > count) list.resize(static_cast<size_t>(count));
    list.shrink_to_fit();
  }
  return partners;
}

ExampleCounts affordable_examples(const ExampleBudget& budget, int64_t feature_count,
                                  int64_t others) {
  // Measured: a token of context costs about 1.9 bytes of the file (id and level, compressed, in
  // base64), a point of a plot as many, and a feature's other figures, what is said of it among
  // them, about 350.
  const double per_example = 8 + 1.9 * static_cast<double>(budget.before + budget.after + 1);
  const double per_feature = 0.9 * static_cast<double>(budget.bytes) /
                             static_cast<double>(std::max<int64_t>(1, feature_count));
  const auto affordable = static_cast<int64_t>((per_feature - 350) / per_example);
  const int64_t least = std::min(budget.minimum, budget.examples);
  const int64_t intervals = affordable >= least + budget.intervals ? budget.intervals : 0;
  const int64_t top = std::clamp(affordable - intervals, least, budget.examples);
  constexpr double kHeadOfPlot = 12, kPointsWorthAPlot = 16;
  const double left = per_feature - 350 - static_cast<double>(top + intervals) * per_example;
  const double points =
      (left / static_cast<double>(std::max<int64_t>(1, others)) - kHeadOfPlot) / 1.9;
  return {.top = top,
          .intervals = intervals,
          .paired = points < kPointsWorthAPlot
                        ? 0
                        : std::min(budget.paired, static_cast<int64_t>(points))};
}

/// Best partner in each other model: [[model, [feature | −1], [its correlation | 0]]].
static Json best_of_models(const FeatureContext& context) {
  Json rows = Json::array();
  for (const auto& [model, partners] : context.matches) {
    Json features = Json::array(), correlations = Json::array();
    for (const auto& list : partners) {
      features.push_back(list.empty() ? -1 : list.front().first);
      correlations.push_back(list.empty() ? Json(0) : rounded_down(list.front().second));
    }
    rows.push_back({model, std::move(features), std::move(correlations)});
  }
  return rows;
}

Json add_features(Payload& payload, const FeatureContext& context) {
  const FeatureActivations& activations = *context.activations;
  const FeatureStatistics& statistics = *context.statistics;
  const int64_t feature_count = activations.rows.feature_count;

  std::vector<int64_t> token_rows(static_cast<size_t>(context.text->vocab_size));
  for (const int64_t position : activations.token_positions) {
    ++token_rows[static_cast<size_t>(context.text->tokens[static_cast<size_t>(position)])];
  }

  Json top_tokens = Json::array(), chunks = Json::array();
  for (int64_t block = 0; block < feature_count; block += kBlock) {
    throw_if_interrupted();
    const int64_t block_end = std::min(block + kBlock, feature_count);
    const FeatureColumns columns =
        transpose(activations.rows,
                  {.first_feature = block, .end_feature = block_end, .mask = {}, .row_order = {}});
    const std::vector<FeatureExamples> found =
        feature_examples(columns, activations.documents,
                         {.top = context.examples,
                          .intervals = std::max<int64_t>(1, context.intervals),
                          .per_interval = context.intervals > 0 ? 1 : 0,
                          .histogram_bins = kHistogramBins});
    const int64_t chunk_count = (block_end - block + kFeaturesPerChunk - 1) / kFeaturesPerChunk;
    std::vector<std::string> encoded(static_cast<size_t>(chunk_count));
    std::vector<Json> tops(static_cast<size_t>(block_end - block));
    parallel_for(chunk_count, 1, [&](int64_t begin, int64_t end, int) {
      FeaturePages pages(context, columns, token_rows);
      for (int64_t chunk = begin; chunk < end; ++chunk) {
        Json features = Json::array();
        const int64_t first = block + chunk * kFeaturesPerChunk;
        const int64_t chunk_end = std::min(first + kFeaturesPerChunk, block_end);
        if (context.budget.coactive > 0) pages.count_coactive(first, chunk_end);
        for (int64_t j = first; j < chunk_end; ++j) {
          Json page = pages.page(j, found[static_cast<size_t>(j - block)]);
          Json& top = tops[static_cast<size_t>(j - block)] = Json::array();
          for (const Json& token : page["tokens"]) {
            if (top.size() < kTokensOfIndex) top.push_back(token[0]);
          }
          features.push_back(std::move(page));
        }
        encoded[static_cast<size_t>(chunk)] = encode_chunk(features);
      }
    });
    for (std::string& chunk : encoded) chunks.push_back(payload.add_encoded(std::move(chunk)));
    for (Json& top : tops) top_tokens.push_back(std::move(top));
  }

  Json density = Json::array(), maximum = Json::array();
  std::string measurable;
  for (int64_t j = 0; j < feature_count; ++j) {
    density.push_back(significant(statistics.density(j), 3));
    maximum.push_back(significant(statistics.maximum[static_cast<size_t>(j)]));
    measurable += context.measurable[static_cast<size_t>(j)] ? '1' : '0';
  }
  Json edges = Json::array();
  for (const EdgeClasses& edge : context.edges) {
    edges.push_back({{"parent", edge.parent},
                     {"child", edge.child},
                     {"classes", edge.classes},
                     {"reached", edge.reached}});
  }
  Json paths = Json::array();
  for (const auto& [path, on] : context.paths) paths.push_back({path, on});
  const int64_t index = payload.add({{"density", density},
                                     {"max", maximum},
                                     {"documents", statistics.active_documents},
                                     {"measurable", measurable},
                                     {"tokens", top_tokens},
                                     {"edges", edges},
                                     {"best", best_of_models(context)},
                                     {"paths", paths},
                                     {"origins", context.origins}});
  return {{"index", index}, {"features", chunks}};
}

}  // namespace featflow
