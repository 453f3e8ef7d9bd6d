#include "matching/cross_fit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <tuple>

#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "core/parallel.hpp"
#include "core/rng.hpp"

namespace featflow {
namespace {

constexpr double kTail = 0.025;  // on each side of the interval

/// Which half each row belongs to, and which group of documents within it.
struct Split {
  std::vector<uint8_t> half;   // [n] 0 or 1; 2: not counted
  std::vector<int32_t> group;  // [n]
};

Split split_documents(const FeatureActivations& a, const std::vector<uint8_t>& counted,
                      int64_t groups) {
  const int64_t n = a.rows.rows();
  if (std::ssize(a.documents) != n) {
    throw Error(
        fmt::format("cross-fitting {}: its feature activations carry no documents, which "
                    "are what is split in halves (harvest them again)",
                    in_quotes(a.model)));
  }
  Split split{std::vector<uint8_t>(static_cast<size_t>(n), 2),
              std::vector<int32_t>(static_cast<size_t>(n), 0)};
  std::map<int, int64_t> in_corpus;  // documents so far
  std::array<int64_t, 2> in_half = {0, 0};
  for (size_t row = 0; row < static_cast<size_t>(n); ++row) {
    if (!counted.empty() && counted[row] == 0) continue;
    const bool first = row == 0 || a.documents[row] != a.documents[row - 1];
    int64_t& number = in_corpus[a.corpora.empty() ? 0 : a.corpora[row]];
    if (first) in_half[static_cast<size_t>(number++ % 2)] += 1;
    const auto half = static_cast<size_t>((number - 1) % 2);
    split.half[row] = static_cast<uint8_t>(half);
    split.group[row] = static_cast<int32_t>((in_half[half] - 1) % groups);
  }
  if (std::ranges::min(in_half) < groups) {
    throw Error(fmt::format(
        "cross-fitting {}: {} and {} documents in the two halves, expected at least one for each "
        "of {} groups; more matching text, or fewer groups",
        in_quotes(a.model), in_half[0], in_half[1], groups));
  }
  return split;
}

/// Sums of chosen pairs over the rows of one half, by group: what a bootstrap needs.
class GroupedSums {
 public:
  GroupedSums(const FeatureColumns& a, const FeatureColumns& b, std::vector<FeaturePair> pairs,
              const Split& split, int half, int64_t groups)
      : pairs_(std::move(pairs)), groups_(groups), rows_(static_cast<size_t>(groups), 0) {
    for (size_t row = 0; row < split.half.size(); ++row) {
      if (split.half[row] == half) rows_[static_cast<size_t>(split.group[row])] += 1;
    }
    const auto features_of = [](const FeatureColumns& columns) {
      return static_cast<size_t>(columns.end_feature());
    };
    sums_a_ = feature_sums(a, features_of(a), split);
    sums_b_ = feature_sums(b, features_of(b), split);
    products_.assign(pairs_.size() * static_cast<size_t>(groups), 0);
    parallel_for(std::ssize(pairs_), 16, [&](int64_t begin, int64_t end, int) {
      for (int64_t p = begin; p < end; ++p) {
        const FeaturePair& pair = pairs_[static_cast<size_t>(p)];
        add_products_by_group(a.column(pair.feature_a), b.column(pair.feature_b), split,
                              products_.data() + p * groups_);
      }
    });
  }

  const std::vector<FeaturePair>& pairs() const { return pairs_; }

  /// r of every pair, with each group counted `weights[group]` times; NaN without variance.
  std::vector<float> correlations(const std::vector<double>& weights) const {
    const double n = dot(weights, rows_.data());
    const std::vector<Moments> a = moments(sums_a_, weights, n), b = moments(sums_b_, weights, n);
    std::vector<float> result(pairs_.size());
    for (size_t p = 0; p < pairs_.size(); ++p) {
      const Moments& x = a[static_cast<size_t>(pairs_[p].feature_a)];
      const Moments& y = b[static_cast<size_t>(pairs_[p].feature_b)];
      const double products = dot(weights, products_.data() + p * static_cast<size_t>(groups_));
      result[p] = static_cast<float>(pearson(n, products, x.sum, y.sum, x.inverse, y.inverse));
    }
    return result;
  }

 private:
  struct Sums {
    std::vector<double> values, squares;  // [features, groups]
  };
  struct Moments {
    double sum = 0;
    double inverse = 0;  // inverse_deviation()
  };

  Sums feature_sums(const FeatureColumns& columns, size_t features, const Split& split) const {
    const auto size = features * static_cast<size_t>(groups_);
    Sums sums{std::vector<double>(size, 0), std::vector<double>(size, 0)};
    parallel_for(static_cast<int64_t>(features), 64, [&](int64_t begin, int64_t end, int) {
      for (int64_t j = begin; j < end; ++j) {
        const Column column = columns.column(j);
        for (size_t i = 0; i < column.rows.size(); ++i) {
          const auto at =
              static_cast<size_t>(j * groups_ + split.group[static_cast<size_t>(column.rows[i])]);
          sums.values[at] += double{column.values[i]};
          sums.squares[at] += double{column.values[i]} * double{column.values[i]};
        }
      }
    });
    return sums;
  }

  static void add_products_by_group(const Column& a, const Column& b, const Split& split,
                                    double* products) {
    for_each_common_row(a, b, [&](size_t i, size_t k) {
      products[split.group[static_cast<size_t>(a.rows[i])]] +=
          double{a.values[i]} * double{b.values[k]};
    });
  }

  static double dot(const std::vector<double>& weights, const double* sums) {
    double total = 0;
    for (size_t g = 0; g < weights.size(); ++g) total += weights[g] * sums[g];
    return total;
  }

  std::vector<Moments> moments(const Sums& sums, const std::vector<double>& weights,
                               double n) const {
    std::vector<Moments> result(sums.values.size() / static_cast<size_t>(groups_));
    for (size_t j = 0; j < result.size(); ++j) {
      const size_t at = j * static_cast<size_t>(groups_);
      const double sum = dot(weights, sums.values.data() + at);
      result[j] = {sum, inverse_deviation(n, sum, dot(weights, sums.squares.data() + at))};
    }
    return result;
  }

  std::vector<FeaturePair> pairs_;
  int64_t groups_;
  std::vector<double> rows_;  // [groups] rows
  Sums sums_a_, sums_b_;
  std::vector<double> products_;  // [pairs, groups]
};

int64_t count_at_least(const std::vector<float>& correlations, size_t begin, size_t end,
                       double threshold) {
  int64_t count = 0;
  for (size_t p = begin; p < end; ++p) count += double{correlations[p]} >= threshold;
  return count;
}

/// Partners chosen on the other half, measured on this one: first those of A's features, then
/// those of B's.
struct Direction {
  GroupedSums sums;
  size_t of_a;

  /// Whose features have partners.
  enum class Owners { kA, kBoth };

  /// With partners chosen on half `choosing`. Only usable features have one or are one.
  Direction(const FeatureActivations& a, const std::vector<uint8_t>& usable_a,
            const FeatureActivations& b, const std::vector<uint8_t>& usable_b, Owners owners,
            const Split& split, int choosing, const CrossFitOptions& options)
      : Direction(a, b, best_pairs(a, usable_a, b, usable_b, owners, split, choosing, options),
                  split, 1 - choosing, options.groups) {}

  std::pair<int64_t, int64_t> matched(const std::vector<double>& weights, double threshold) const {
    const std::vector<float> r = sums.correlations(weights);
    return {count_at_least(r, 0, of_a, threshold), count_at_least(r, of_a, r.size(), threshold)};
  }

 private:
  struct Chosen {
    std::vector<FeaturePair> pairs;
    size_t of_a = 0;
  };

  Direction(const FeatureActivations& a, const FeatureActivations& b, Chosen chosen,
            const Split& split, int measuring, int64_t groups)
      : sums(transpose(a.rows, {.mask = rows_of(split, measuring)}),
             transpose(b.rows, {.mask = rows_of(split, measuring)}), std::move(chosen.pairs), split,
             measuring, groups),
        of_a(chosen.of_a) {}

  static std::vector<uint8_t> rows_of(const Split& split, int half) {
    std::vector<uint8_t> mask(split.half.size());
    std::ranges::transform(split.half, mask.begin(),
                           [half](uint8_t h) { return static_cast<uint8_t>(h == half); });
    return mask;
  }

  static Chosen best_pairs(const FeatureActivations& a, const std::vector<uint8_t>& usable_a,
                           const FeatureActivations& b, const std::vector<uint8_t>& usable_b,
                           Owners owners, const Split& split, int choosing,
                           const CrossFitOptions& options) {
    const std::vector<uint8_t> mask = rows_of(split, choosing);
    CorrelationOptions correlation = options.correlation;
    correlation.floor = 1;
    correlation.rows = mask;
    correlation.features_a = usable_a;
    correlation.features_b = usable_b;
    correlation.progress_label += fmt::format(", half {}", choosing + 1);
    Matches matches = correlate(a, b, correlation);
    Chosen chosen;
    chosen.of_a = matches.best_of_a.size();
    chosen.pairs = std::move(matches.best_of_a);
    if (owners == Owners::kBoth) {
      chosen.pairs.insert(chosen.pairs.end(), matches.best_of_b.begin(), matches.best_of_b.end());
    }
    return chosen;
  }
};

/// How often each group is drawn: as many draws as groups.
std::vector<double> resampled_weights(int64_t groups, Rng& rng) {
  std::vector<double> weights(static_cast<size_t>(groups), 0.0);
  for (int64_t g = 0; g < groups; ++g) weights[rng.below(static_cast<uint64_t>(groups))] += 1;
  return weights;
}

std::vector<uint8_t> counted_rows(const FeatureActivations& activations,
                                  const CrossFitOptions& options) {
  if (options.correlation.corpora.empty()) return {};
  return rows_of_corpora(activations, options.correlation.corpora);
}

/// 95% of the resampled figures, moved so that their mean is the figure itself: documents drawn
/// again repeat, so that all correlations are of less text and the mean is off by more than the
/// figures differ (docs/decisions/0007). Within 0 and `most`.
std::pair<double, double> interval(std::vector<double> resampled, double figure, double most) {
  std::ranges::sort(resampled);
  const auto count = static_cast<double>(resampled.size());
  const double moved = figure - std::accumulate(resampled.begin(), resampled.end(), 0.0) / count;
  const auto end = [&](double quantile) {
    return std::clamp(resampled[static_cast<size_t>(quantile)] + moved, 0.0, most);
  };
  return {end(std::floor(kTail * (count - 1))), end(std::ceil((1 - kTail) * (count - 1)))};
}

/// One direction of cross_fit_conditional: own features measured in both others.
struct ConditionalDirection {
  Direction in_other, in_again;

  struct Counts {
    int64_t found_again = 0, both = 0;
  };
  Counts counts(const std::vector<double>& weights, double threshold, size_t features) const {
    const auto matched_in = [&](const Direction& direction) {
      std::vector<uint8_t> matched(features, 0);
      const std::vector<float> r = direction.sums.correlations(weights);
      for (size_t p = 0; p < r.size(); ++p) {
        const auto own = static_cast<size_t>(direction.sums.pairs()[p].feature_a);
        matched[own] = double{r[p]} >= threshold;
      }
      return matched;
    };
    const std::vector<uint8_t> other = matched_in(in_other), again = matched_in(in_again);
    Counts counts;
    for (size_t j = 0; j < features; ++j) {
      counts.found_again += again[j];
      counts.both += again[j] && other[j];
    }
    return counts;
  }
};

}  // namespace

CrossFit cross_fit(const FeatureActivations& a, const FeatureActivations& b,
                   const CrossFitOptions& options) {
  require_same_rows(a, b);
  FEATFLOW_CHECK(options.groups >= 1 && options.resamples >= 0, "groups and resamples");
  const std::vector<uint8_t> counted = counted_rows(b, options);
  const Split split = split_documents(a, counted, options.groups);
  const std::vector<uint8_t> usable_a = measurable(feature_statistics(a, counted), options.limits);
  const std::vector<uint8_t> usable_b = measurable(feature_statistics(b, counted), options.limits);
  CrossFit result;
  result.groups = options.groups;
  result.resamples = options.resamples;
  result.a.measurable = std::ranges::count(usable_a, 1);
  result.b.measurable = std::ranges::count(usable_b, 1);

  std::vector<Direction> directions;
  for (const int choosing : {0, 1}) {
    directions.emplace_back(a, usable_a, b, usable_b, Direction::Owners::kBoth, split, choosing,
                            options);
  }

  const std::vector<double> once(static_cast<size_t>(options.groups), 1.0);
  for (const Direction& direction : directions) {
    const auto [of_a, of_b] = direction.matched(once, options.threshold);
    result.a.matched += static_cast<double>(of_a) / 2;
    result.b.matched += static_cast<double>(of_b) / 2;
  }
  result.a.low = result.a.high = result.a.matched;
  result.b.low = result.b.high = result.b.matched;
  if (options.resamples == 0) return result;

  std::vector<double> resampled_a(static_cast<size_t>(options.resamples), 0.0);
  std::vector<double> resampled_b = resampled_a;
  parallel_for(options.resamples, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      throw_if_interrupted();
      Rng rng(options.seed, fmt::format("resample {}", i));
      for (const Direction& direction : directions) {
        const auto [of_a, of_b] =
            direction.matched(resampled_weights(options.groups, rng), options.threshold);
        resampled_a[static_cast<size_t>(i)] += static_cast<double>(of_a) / 2;
        resampled_b[static_cast<size_t>(i)] += static_cast<double>(of_b) / 2;
      }
    }
  });
  const auto set_interval = [](CrossFittedCount& count, std::vector<double> resampled) {
    std::tie(count.low, count.high) =
        interval(std::move(resampled), count.matched, static_cast<double>(count.measurable));
  };
  set_interval(result.a, std::move(resampled_a));
  set_interval(result.b, std::move(resampled_b));
  return result;
}

ConditionalFit cross_fit_conditional(const FeatureActivations& own, const FeatureActivations& other,
                                     const FeatureActivations& again,
                                     const CrossFitOptions& options) {
  require_same_rows(own, other);
  require_same_rows(own, again);
  FEATFLOW_CHECK(options.groups >= 1 && options.resamples >= 0, "groups and resamples");
  const std::vector<uint8_t> counted = counted_rows(own, options);
  const Split split = split_documents(own, counted, options.groups);
  const auto measurable_of = [&](const FeatureActivations& activations) {
    return measurable(feature_statistics(activations, counted), options.limits);
  };
  const std::vector<uint8_t> usable = measurable_of(own), usable_other = measurable_of(other),
                             usable_again = measurable_of(again);
  constexpr auto kOwn = Direction::Owners::kA;
  std::vector<ConditionalDirection> directions;
  for (const int choosing : {0, 1}) {
    directions.push_back(
        {Direction(own, usable, other, usable_other, kOwn, split, choosing, options),
         Direction(own, usable, again, usable_again, kOwn, split, choosing, options)});
  }

  ConditionalFit result;
  result.groups = options.groups;
  result.resamples = options.resamples;
  const std::vector<double> once(static_cast<size_t>(options.groups), 1.0);
  for (const ConditionalDirection& direction : directions) {
    const auto counts = direction.counts(once, options.threshold, usable.size());
    result.found_again += static_cast<double>(counts.found_again) / 2;
    result.both += static_cast<double>(counts.both) / 2;
  }
  result.low = result.high = result.share();
  std::vector<double> shares(static_cast<size_t>(options.resamples), 0.0);
  parallel_for(options.resamples, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      throw_if_interrupted();
      Rng rng(options.seed, fmt::format("resample {}", i));
      ConditionalFit resampled;
      for (const ConditionalDirection& direction : directions) {
        // The same documents for both autoencoders: what they find is compared on equal text.
        const auto counts = direction.counts(resampled_weights(options.groups, rng),
                                             options.threshold, usable.size());
        resampled.found_again += static_cast<double>(counts.found_again) / 2;
        resampled.both += static_cast<double>(counts.both) / 2;
      }
      shares[static_cast<size_t>(i)] = resampled.share();
    }
  });
  if (options.resamples > 0) {
    std::tie(result.low, result.high) = interval(std::move(shares), result.share(), 1);
  }
  return result;
}

int64_t documents_per_half(const FeatureActivations& activations) {
  std::map<int, int64_t> documents;  // by corpus
  for (size_t row = 0; row < activations.documents.size(); ++row) {
    if (row > 0 && activations.documents[row] == activations.documents[row - 1]) continue;
    ++documents[activations.corpora.empty() ? 0 : activations.corpora[row]];
  }
  int64_t smaller = 0;  // Of an odd number the first half has one more.
  for (const auto& [corpus, count] : documents) smaller += count / 2;
  return smaller;
}

nlohmann::ordered_json to_json(const CrossFit& fit) {
  const auto side = [](const CrossFittedCount& count) {
    return nlohmann::ordered_json{{"measurable", count.measurable},
                                  {"matched", count.matched},
                                  {"low", count.low},
                                  {"high", count.high}};
  };
  return {
      {"groups", fit.groups}, {"resamples", fit.resamples}, {"a", side(fit.a)}, {"b", side(fit.b)}};
}

nlohmann::ordered_json to_json(const ConditionalFit& fit) {
  return {{"groups", fit.groups},
          {"resamples", fit.resamples},
          {"found_again", fit.found_again},
          {"both", fit.both},
          {"low", fit.low},
          {"high", fit.high}};
}

ConditionalFit parse_conditional_fit(const nlohmann::json& json) {
  return {json.at("found_again"), json.at("both"),   json.at("low"),
          json.at("high"),        json.at("groups"), json.at("resamples")};
}

CrossFit parse_cross_fit(const nlohmann::json& json) {
  const auto side = [](const nlohmann::json& count) {
    return CrossFittedCount{count.at("measurable"), count.at("matched"), count.at("low"),
                            count.at("high")};
  };
  return {side(json.at("a")), side(json.at("b")), json.at("groups"), json.at("resamples")};
}

}  // namespace featflow
