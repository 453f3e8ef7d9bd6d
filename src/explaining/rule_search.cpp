#include "explaining/rule_search.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>
#include <tuple>
#include <unordered_map>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "core/parallel.hpp"
#include "explaining/step_prediction.hpp"

namespace featflow {
namespace {

/// A group with fewer active rows says nothing of the other half.
constexpr int64_t kMinGroupRows = 3;
/// Added to a group's rows when groups are compared: few rows with high activations by chance do
/// not beat many.
constexpr double kShrinkage = 2;

template <typename Visit>
void for_each_bit(uint64_t bits, Visit visit) {
  for (; bits != 0; bits &= bits - 1) visit(std::countr_zero(bits));
}

/// Rows, active rows and activation of a group of rows of the fitted half.
struct Group {
  int64_t id = 0;
  double rows = 0, sum = 0;
  double gain() const { return sum * sum / (rows + kShrinkage); }
};

}  // namespace

/// What one feature adds up to on the fitted half, and the search over it.
class FeatureRules {
 public:
  FeatureRules(const RuleSearch& search, const Column& column, RuleSearch::Slots& slots)
      : search_(search), text_(search.text_), options_(search.options_), column_(column) {
    const auto attributes = text_.attributes.size();
    both_.assign(attributes * attributes, 0);
    both_active_.assign(attributes * attributes, 0);
    for (size_t i = 0; i < column.rows.size(); ++i) {
      const auto row = static_cast<size_t>(column.rows[i]);
      const double f = column.values[i];
      if (search.halves_[row] != 0) continue;
      ++active_;
      sum_ += f;
      squares_ += f * f;
      for_each_bit(text_.bits[row], [&](int a) {
        for_each_bit(text_.bits[row] >> a << a, [&](int b) {
          const size_t at = static_cast<size_t>(a) * attributes + static_cast<size_t>(b);
          both_[at] += f;
          ++both_active_[at];
        });
      });
    }
    for (const RuleSearch::Key& key : search.keys_) add_key(key, slots);
  }

  int64_t active() const { return active_; }
  bool constant() const { return !(total_variance() > 1e-10 * squares_); }

  /// The rule with the highest fitted correlation less what its words must be worth.
  void search() {
    best_.elsewhere = mean();
    // Lists come first: of what is equally good, the tokens themselves say more than a class.
    for (size_t k = 0; k < search_.keys_.size(); ++k) {
      for (int64_t c = 0; c < search_.keys_[k].conditions; ++c) try_list(k, c);
    }
    const auto attributes = std::ssize(text_.attributes);
    for (int64_t a = 0; a < attributes; ++a) {
      for (int64_t b = a; b < attributes; ++b) try_attributes(a, b);
    }
  }

  /// Without groups, and the same everywhere, if nothing says more than that.
  const Rule& best() const { return best_; }
  double best_fit() const { return best_fit_; }

  /// E[f | token] on the fitted half, for the tokens on which the feature is active.
  std::vector<std::pair<int32_t, double>> token_means() const {
    const RuleSearch::Key& key = search_.keys_[0];
    std::vector<std::pair<int32_t, double>> means;
    for (size_t s = 0; s < sums_[0].ids.size(); ++s) {
      const int32_t id = sums_[0].ids[s];
      means.emplace_back(
          id, sums_[0].sum[s * static_cast<size_t>(key.conditions)] / rows_of(key, 0, id));
    }
    return means;
  }
  double mean() const { return sum_ / rows(); }

 private:
  struct KeySums {
    std::vector<int32_t> ids;     // [slots]
    std::vector<double> sum;      // [slots, conditions]
    std::vector<int32_t> active;  // [slots, conditions]
  };

  double rows() const { return static_cast<double>(search_.row_count_[0]); }
  double total_variance() const { return squares_ - sum_ * sum_ / rows(); }
  static double rows_of(const RuleSearch::Key& key, int64_t condition, int64_t id) {
    return key.rows[0][static_cast<size_t>(condition * key.id_count + id)];
  }

  void add_key(const RuleSearch::Key& key, RuleSearch::Slots& slots) {
    if (std::ssize(slots) < key.id_count) slots.resize(static_cast<size_t>(key.id_count), -1);
    KeySums sums;
    const auto conditions = static_cast<size_t>(key.conditions);
    for (size_t i = 0; i < column_.rows.size(); ++i) {
      const auto row = static_cast<size_t>(column_.rows[i]);
      if (search_.halves_[row] != 0) continue;
      int32_t& slot = slots[static_cast<size_t>(key.ids[row])];
      if (slot < 0) {
        slot = static_cast<int32_t>(sums.ids.size());
        sums.ids.push_back(key.ids[row]);
        sums.sum.resize(sums.sum.size() + conditions, 0);
        sums.active.resize(sums.active.size() + conditions, 0);
      }
      const size_t first = static_cast<size_t>(slot) * conditions;
      const auto add = [&](size_t condition) {
        sums.sum[first + condition] += column_.values[i];
        ++sums.active[first + condition];
      };
      add(0);
      if (conditions > 1) {
        for_each_bit(text_.bits[row], [&](int a) { add(static_cast<size_t>(a) + 1); });
      }
    }
    for (const int32_t id : sums.ids) slots[static_cast<size_t>(id)] = -1;
    sums_.push_back(std::move(sums));
  }

  /// Correlation of the step function over some groups and the rest with f: the root of the share
  /// of the variance between them.
  double fit(double between, double group_rows, double group_sum) const {
    const double rest = rows() - group_rows;
    if (rest > 0) between += (sum_ - group_sum) * (sum_ - group_sum) / rest;
    return std::sqrt(std::max(0.0, between - sum_ * sum_ / rows()) / total_variance());
  }

  void keep_if_best(double worth, double correlation, auto&& make_rule) {
    if (worth <= best_worth_) return;
    best_worth_ = worth;
    best_fit_ = correlation;
    best_ = make_rule();
  }

  void try_attributes(int64_t a, int64_t b) {
    const size_t at = static_cast<size_t>(a) * text_.attributes.size() + static_cast<size_t>(b);
    if (both_active_[at] < kMinGroupRows) return;
    const Group group{0, static_cast<double>(search_.both_[0][at]), both_[at]};
    if (group.sum * rows() <= sum_ * group.rows) return;  // weaker there than elsewhere
    const double correlation = fit(group.gain(), group.rows, group.sum);
    keep_if_best(correlation - (a == b ? 0 : options_.condition_worth), correlation, [&] {
      Rule rule;
      rule.attributes = a == b ? std::vector<int64_t>{a} : std::vector<int64_t>{a, b};
      rule.groups = {{-1, -1, group.sum / group.rows}};
      rule.elsewhere = elsewhere(group.rows, group.sum);
      return rule;
    });
  }

  void try_list(size_t k, int64_t condition) {
    const RuleSearch::Key& key = search_.keys_[k];
    const KeySums& sums = sums_[k];
    if (condition > 0 && !says_more(key.key, condition - 1)) return;
    std::vector<Group> groups;
    for (size_t s = 0; s < sums.ids.size(); ++s) {
      const size_t at = s * static_cast<size_t>(key.conditions) + static_cast<size_t>(condition);
      if (sums.active[at] < kMinGroupRows) continue;
      const Group group{sums.ids[s], rows_of(key, condition, sums.ids[s]), sums.sum[at]};
      if (group.sum * rows() > sum_ * group.rows) groups.push_back(group);
    }
    const auto kept = std::min<int64_t>(options_.max_list, std::ssize(groups));
    std::partial_sort(groups.begin(), groups.begin() + kept, groups.end(),
                      [](const Group& x, const Group& y) {
                        return x.gain() != y.gain() ? x.gain() > y.gain() : x.id < y.id;
                      });
    // Entries one by one, as long as each is worth its words.
    double between = 0, group_rows = 0, group_sum = 0, correlation = 0;
    int64_t taken = 0;
    for (; taken < kept; ++taken) {
      const Group& next = groups[static_cast<size_t>(taken)];
      const double with = fit(between + next.gain(), group_rows + next.rows, group_sum + next.sum);
      if (taken > 0 && with < correlation + options_.entry_worth) break;
      between += next.gain();
      group_rows += next.rows;
      group_sum += next.sum;
      correlation = with;
    }
    if (taken == 0) return;
    const bool two = condition > 0 || key.key == RuleKey::kPair;
    keep_if_best(correlation - (two ? options_.condition_worth : 0), correlation, [&] {
      Rule rule;
      rule.key = key.key;
      if (condition > 0) rule.attributes = {condition - 1};
      for (int64_t g = 0; g < taken; ++g) {
        const Group& group = groups[static_cast<size_t>(g)];
        RuleGroup entry;
        entry.value = group.sum / group.rows;
        const auto id = static_cast<int32_t>(group.id);
        if (key.key == RuleKey::kToken) entry.token = id;
        if (key.key == RuleKey::kPrevious) entry.previous = id;
        if (key.key == RuleKey::kPair) {
          std::tie(entry.previous, entry.token) = key.pairs[static_cast<size_t>(id)];
        }
        rule.groups.push_back(entry);
      }
      rule.elsewhere = elsewhere(group_rows, group_sum);
      return rule;
    });
  }

  /// Whether an attribute can tell rows of one entry apart.
  bool says_more(RuleKey key, int64_t attribute) const {
    const AttributeKind kind = text_.attributes[static_cast<size_t>(attribute)].kind;
    return kind == AttributeKind::kPlace ||
           (key == RuleKey::kToken ? kind == AttributeKind::kPrevious
                                   : kind == AttributeKind::kToken);
  }

  double elsewhere(double group_rows, double group_sum) const {
    return rows() > group_rows ? (sum_ - group_sum) / (rows() - group_rows) : 0;
  }

  const RuleSearch& search_;
  const TextAttributes& text_;
  const RuleOptions& options_;
  const Column& column_;
  int64_t active_ = 0;
  double sum_ = 0, squares_ = 0;
  std::vector<double> both_;          // Σ f on rows with attributes [a, b ≥ a]
  std::vector<int32_t> both_active_;  // likewise
  std::vector<KeySums> sums_;         // by key
  Rule best_;
  double best_worth_ = 0, best_fit_ = 0;
};

std::optional<RuleExplanation> RuleSearch::explain(const Column& column, Slots& slots) const {
  FeatureRules rules(*this, column, slots);
  std::vector<std::pair<float, int32_t>> scored;  // active rows of half 1, by value
  for (size_t i = 0; i < column.rows.size(); ++i) {
    if (halves_[static_cast<size_t>(column.rows[i])] == 1) {
      scored.emplace_back(column.values[i], column.rows[i]);
    }
  }
  RuleExplanation result;
  result.active = {rules.active(), std::ssize(scored)};
  if (std::ranges::min(result.active) < options_.min_tokens || rules.constant()) return {};
  rules.search();
  result.rule = rules.best();
  result.fit_score = rules.best_fit();
  score(rules, std::move(scored), result);
  return result;
}

void RuleSearch::score(const FeatureRules& rules, std::vector<std::pair<float, int32_t>> active,
                       RuleExplanation& result) const {
  // What the rule says: a step for each entry, and the rest.
  std::vector<Step> steps(result.rule.groups.size() + 1);
  double listed = 0;
  for (size_t g = 0; g < result.rule.groups.size(); ++g) {
    steps[g].value = result.rule.groups[g].value;
    steps[g].rows = rows_of_group(result.rule, g);
    listed += steps[g].rows;
  }
  steps.back().value = result.rule.elsewhere;
  steps.back().rows = static_cast<double>(row_count_[1]) - listed;

  std::ranges::sort(active);
  StepTruth truth;
  truth.rows = static_cast<double>(row_count_[1]);
  const double zeros = truth.rows - static_cast<double>(active.size());
  truth.zero_rank = (zeros + 1) / 2;
  truth.rank_squares = zeros * truth.zero_rank * truth.zero_rank;
  std::unordered_map<int32_t, double> token_sums;  // Σ f by token
  for (size_t first = 0; first < active.size();) {
    size_t last = first;
    while (last < active.size() && active[last].first == active[first].first) ++last;
    const double rank = zeros + static_cast<double>(first + last + 1) / 2;
    for (; first < last; ++first) {
      const double f = active[first].first;
      const int32_t row = active[first].second;
      truth.sum += f;
      truth.squares += f * f;
      truth.rank_squares += rank * rank;
      const int64_t group = group_of(result.rule, text_, row);
      Step& step = group < 0 ? steps.back() : steps[static_cast<size_t>(group)];
      step.active += 1;
      step.sum += f;
      step.ranks += rank;
      token_sums[text_.tokens[static_cast<size_t>(row)]] += f;
    }
  }
  result.score = step_correlation(steps, truth);
  result.spearman = step_rank_correlation(steps, truth);

  // E[f | token]: zero for tokens of half 0 on which f never was, its mean for tokens unseen there.
  std::vector<Step> tokens;
  const Key& key = keys_[0];
  for (const auto& [id, mean] : rules.token_means()) {
    const auto found = token_sums.find(id);
    tokens.push_back({mean, static_cast<double>(key.rows[1][static_cast<size_t>(id)]), 0,
                      found == token_sums.end() ? 0 : found->second, 0});
  }
  Step unseen{rules.mean(), static_cast<double>(unseen_rows_), 0, 0, 0};
  for (const auto& [id, sum] : token_sums) {
    if (key.rows[0][static_cast<size_t>(id)] == 0) unseen.sum += sum;
  }
  tokens.push_back(unseen);
  result.token_score = step_correlation(tokens, truth);
}

double RuleSearch::rows_of_group(const Rule& rule, size_t group) const {
  if (rule.key == RuleKey::kNone) {
    const auto a = static_cast<size_t>(rule.attributes.front());
    const auto b = static_cast<size_t>(rule.attributes.back());
    return static_cast<double>(both_[1][a * text_.attributes.size() + b]);
  }
  const RuleGroup& entry = rule.groups[group];
  for (const Key& key : keys_) {
    if (key.key != rule.key) continue;
    int64_t id = rule.key == RuleKey::kToken ? entry.token : entry.previous;
    if (rule.key == RuleKey::kPair) {
      id = std::ranges::lower_bound(key.pairs, std::pair(entry.previous, entry.token)) -
           key.pairs.begin();
    }
    const int64_t condition = rule.attributes.empty() ? 0 : rule.attributes[0] + 1;
    return key.rows[1][static_cast<size_t>(condition * key.id_count + id)];
  }
  FEATFLOW_CHECK(false, "every rule has a key that was counted");
  return 0;
}

RuleSearch::RuleSearch(const TextAttributes& text, std::span<const uint8_t> halves,
                       const RuleOptions& options)
    : text_(text), halves_(halves), options_(options) {
  FEATFLOW_CHECK(std::ssize(halves) == text.rows(), "a half for every row");
  const auto conditions = std::ssize(text.attributes) + 1;
  keys_.push_back({RuleKey::kToken, text.tokens, text.vocab_size, conditions, {}, {}});
  keys_.push_back({RuleKey::kPrevious, text.previous, text.vocab_size + 1, conditions, {}, {}});
  Key pair{RuleKey::kPair, {}, 0, 1, {}, {}};
  for (size_t r = 0; r < text.tokens.size(); ++r) {
    pair.pairs.emplace_back(text.previous[r], text.tokens[r]);
  }
  std::ranges::sort(pair.pairs);
  pair.pairs.erase(std::unique(pair.pairs.begin(), pair.pairs.end()), pair.pairs.end());
  pair.id_count = std::ssize(pair.pairs);
  pair.ids.resize(text.tokens.size());
  parallel_for(text.rows(), 4096, [&](int64_t begin, int64_t end, int) {
    for (auto r = static_cast<size_t>(begin); r < static_cast<size_t>(end); ++r) {
      const auto found =
          std::ranges::lower_bound(pair.pairs, std::pair(text.previous[r], text.tokens[r]));
      pair.ids[r] = static_cast<int32_t>(found - pair.pairs.begin());
    }
  });
  keys_.push_back(std::move(pair));
  count();
}

void RuleSearch::count() {
  const size_t attributes = text_.attributes.size();
  for (const size_t half : {0, 1}) {
    both_[half].assign(attributes * attributes, 0);
    for (Key& key : keys_) {
      key.rows[half].assign(static_cast<size_t>(key.conditions * key.id_count), 0);
    }
  }
  for (size_t r = 0; r < text_.bits.size(); ++r) {
    const size_t half = halves_[r];
    ++row_count_[half];
    for_each_bit(text_.bits[r], [&](int a) {
      for_each_bit(text_.bits[r] >> a << a, [&](int b) {
        ++both_[half][static_cast<size_t>(a) * attributes + static_cast<size_t>(b)];
      });
    });
    for (Key& key : keys_) {
      std::vector<int32_t>& rows = key.rows[half];
      const auto id = static_cast<size_t>(key.ids[r]);
      ++rows[id];
      if (key.conditions == 1) continue;
      for_each_bit(text_.bits[r], [&](int a) {
        ++rows[(static_cast<size_t>(a) + 1) * static_cast<size_t>(key.id_count) + id];
      });
    }
  }
  const Key& tokens = keys_[0];
  for (size_t id = 0; id < static_cast<size_t>(tokens.id_count); ++id) {
    if (tokens.rows[0][id] == 0) unseen_rows_ += tokens.rows[1][id];
  }
}

std::vector<std::optional<RuleExplanation>> RuleSearch::explain_all(
    const FeatureColumns& columns) const {
  if (columns.row_count != std::ssize(halves_)) {
    throw Error(fmt::format("explanations: activations of {} rows, expected the {} of the text",
                            columns.row_count, halves_.size()));
  }
  const int64_t features = columns.end_feature() - columns.first_feature;
  std::vector<std::optional<RuleExplanation>> found(static_cast<size_t>(features));
  std::vector<Slots> slots(static_cast<size_t>(thread_count()));
  parallel_for(features, 8, [&](int64_t begin, int64_t end, int worker) {
    for (int64_t j = begin; j < end; ++j) {
      found[static_cast<size_t>(j)] =
          explain(columns.column(columns.first_feature + j), slots[static_cast<size_t>(worker)]);
    }
  });
  return found;
}

std::vector<uint8_t> document_halves(std::span<const int32_t> documents, const TokenShard& text) {
  std::vector<uint8_t> half_of_document;
  std::unordered_map<std::string, uint8_t> seen;  // by content
  for (int64_t d = 0; d < text.document_count(); ++d) {
    const auto begin = static_cast<size_t>(text.document_starts[static_cast<size_t>(d)]);
    const auto end = static_cast<size_t>(text.document_end(d));
    Hasher hasher;
    hasher.update(std::as_bytes(std::span(text.tokens).subspan(begin, end - begin)));
    half_of_document.push_back(seen.emplace(hasher.hex(), d & 1).first->second);
  }
  std::vector<uint8_t> halves;
  halves.reserve(documents.size());
  for (const int32_t d : documents) halves.push_back(half_of_document.at(static_cast<size_t>(d)));
  return halves;
}

}  // namespace featflow
