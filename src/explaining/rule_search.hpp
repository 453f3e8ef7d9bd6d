#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "explaining/rule.hpp"
#include "features/columns.hpp"

namespace featflow {

struct RuleOptions {
  int64_t min_tokens = 30;  ///< Active tokens in each half; a feature with fewer is skipped.
  int64_t max_list = 8;     ///< Entries of a list.
  /// What a rule must gain in correlation on the fitted half to be worth more words: for one more
  /// entry of its list, and for one more condition (an attribute beside a list or another
  /// attribute, both tokens of a pair).
  double entry_worth = 0.01, condition_worth = 0.02;
};

class FeatureRules;

/// A rule and how well it predicts its feature (definitions 21). Scores are on all rows of the half
/// that nothing was fitted on; nullopt where the prediction or the feature is constant there.
struct RuleExplanation {
  Rule rule;
  double fit_score = 0;                ///< Pearson on the fitted half.
  std::optional<double> score;         ///< Pearson of predicted with true activation.
  std::optional<double> spearman;      ///< Of their ranks, ties in the middle.
  std::optional<double> token_score;   ///< Pearson of E[f | token] with it.
  std::array<int64_t, 2> active = {};  ///< Active tokens: fitted half, scored half.
};

/// Finds the best rule for features of one text. The rows' documents are in two halves: rules are
/// fitted on half 0 and scored on half 1. Everything that does not depend on a feature is counted
/// once, so that a feature costs its active rows times the attributes that hold on each.
class RuleSearch {
 public:
  /// `halves` [n] 0 or 1. `text` is borrowed.
  RuleSearch(const TextAttributes& text, std::span<const uint8_t> halves,
             const RuleOptions& options = {});

  /// Of every feature of `columns`, in parallel; nullopt if a feature is active on too few tokens
  /// of a half. The result is the same for every thread count.
  std::vector<std::optional<RuleExplanation>> explain_all(const FeatureColumns& columns) const;

 private:
  friend class FeatureRules;
  struct Key {
    RuleKey key = RuleKey::kToken;
    std::vector<int32_t> ids;  // [n]
    int64_t id_count = 0;
    /// Conditions: none, and (but for pairs) each attribute; a search tries those of a kind that
    /// says more than the key.
    int64_t conditions = 1;
    std::array<std::vector<int32_t>, 2> rows;        // of a half [conditions, id_count]
    std::vector<std::pair<int32_t, int32_t>> pairs;  // of kPair [id_count] (previous, token)
  };

  /// A worker's: slot of each id among those that a feature is active on, −1 between features.
  using Slots = std::vector<int32_t>;

  void count();
  std::optional<RuleExplanation> explain(const Column& column, Slots& slots) const;
  /// Of a rule on half 1, row by row of the feature, and E[f | token] beside it.
  void score(const FeatureRules& rules, std::vector<std::pair<float, int32_t>> active,
             RuleExplanation& result) const;
  /// Rows of half 1 that an entry of a rule fits.
  double rows_of_group(const Rule& rule, size_t group) const;

  const TextAttributes& text_;
  std::span<const uint8_t> halves_;
  RuleOptions options_;
  std::array<int64_t, 2> row_count_ = {};
  int64_t unseen_rows_ = 0;                   // of half 1, whose token is nowhere in half 0
  std::array<std::vector<int64_t>, 2> both_;  // rows of a half with attributes [a, a]
  std::vector<Key> keys_;
};

/// [n] halves of rows by their documents in `text`: those of even number, those of odd, so that
/// both have their part of every corpus. A document that stands there twice (in two corpora, say)
/// is of one half: nothing is scored on what it was fitted on.
std::vector<uint8_t> document_halves(std::span<const int32_t> documents, const TokenShard& text);

}  // namespace featflow
