#include "explaining/explanations.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/interrupt.hpp"
#include "core/median.hpp"
#include "core/progress.hpp"
#include "core/rng.hpp"

namespace featflow {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<const char*, 4> kKeyNames = {"none", "token", "previous", "pair"};

/// Four digits are what two halves of a text can tell.
Json rounded(double value) {
  return std::isfinite(value) ? Json(std::round(value * 1e4) / 1e4) : Json(nullptr);
}
Json rounded(const std::optional<double>& value) { return value ? rounded(*value) : Json(nullptr); }

Json to_json(const ExplanationSummary& summary) {
  return {{"explained", summary.explained},
          {"skipped", summary.skipped},
          {"median_score", rounded(summary.median_score)},
          {"median_token_score", rounded(summary.median_token_score)},
          {"median_ratio", rounded(summary.median_ratio)},
          {"share_at_half", rounded(summary.share_at_half)}};
}

Json to_json(const GroupShares& shares) {
  Json json = Json::object();
  for (size_t g = 0; g < shares.size(); ++g) {
    json[std::string(kFeatureGroups[g])] = rounded(shares[g]);
  }
  return json;
}

Json to_json(const std::vector<std::pair<std::string, GroupShares>>& named) {
  Json json = Json::object();
  for (const auto& [name, shares] : named) json[name] = to_json(shares);
  return json;
}

Json to_json(const Rule& rule, const TextAttributes& text) {
  Json groups = Json::array(), attributes = Json::array();
  for (const RuleGroup& group : rule.groups) {
    groups.push_back({{"token", group.token < 0 ? Json(nullptr) : Json(group.token)},
                      {"previous", group.previous < 0 ? Json(nullptr) : Json(group.previous)},
                      {"value", rounded(group.value)}});
  }
  for (const int64_t attribute : rule.attributes) {
    attributes.push_back(text.attributes[static_cast<size_t>(attribute)].phrase);
  }
  return {{"key", kKeyNames[static_cast<size_t>(rule.key)]},
          {"groups", std::move(groups)},
          {"attributes", std::move(attributes)},
          {"elsewhere", rounded(rule.elsewhere)}};
}

}  // namespace

ExplanationSummary summarize(const RuleExplanations& found,
                             const std::vector<int64_t>& active_tokens) {
  ExplanationSummary summary;
  std::vector<double> scores, token_scores, ratios;
  for (size_t j = 0; j < found.size(); ++j) {
    if (!found[j]) {
      summary.skipped += active_tokens[j] > 0 ? 1 : 0;
      continue;
    }
    ++summary.explained;
    const double score = found[j]->score.value_or(0);
    const double token_score = found[j]->token_score.value_or(0);
    scores.push_back(score);
    token_scores.push_back(token_score);
    if (token_score > 0) ratios.push_back(score / token_score);
  }
  const auto good = std::ranges::count_if(scores, [](double score) { return score >= 0.5; });
  summary.share_at_half = static_cast<double>(good) / static_cast<double>(scores.size());
  summary.median_score = median(std::move(scores));
  summary.median_token_score = median(std::move(token_scores));
  summary.median_ratio = median(std::move(ratios));
  return summary;
}

void explain_features(const FeatureActivations& activations, const FeatureStatistics& statistics,
                      const TextAttributes& text, const RuleSearch& search, int64_t memory_bytes,
                      ModelExplanations& out) {
  const int64_t m = activations.rows.feature_count;
  Progress progress("explanations of " + out.model, m, "features");
  for (int64_t first = 0; first < m;) {
    throw_if_interrupted();
    const int64_t end = transposable_end(statistics.active_tokens, first, memory_bytes);
    const FeatureColumns columns =
        transpose(activations.rows, {.first_feature = first, .end_feature = end});
    std::ranges::move(search.explain_all(columns), std::back_inserter(out.features));
    std::ranges::move(feature_groups(columns, text), std::back_inserter(out.groups));
    progress.update(end);
    first = end;
  }
  out.summary = summarize(out.features, statistics.active_tokens);
}

std::vector<int32_t> shuffled_rows(std::span<const uint8_t> halves, uint64_t seed) {
  Rng rng(seed, "shuffled rows");
  std::array<std::vector<int32_t>, 2> rows;
  for (size_t r = 0; r < halves.size(); ++r) {
    rows[halves[r]].push_back(static_cast<int32_t>(r));
  }
  for (std::vector<int32_t>& half : rows) rng.shuffle(half);
  std::vector<int32_t> order;
  order.reserve(halves.size());
  std::array<size_t, 2> next = {};
  for (const uint8_t half : halves) order.push_back(rows[half][next[half]++]);
  return order;
}

std::string explanations_json(const ModelExplanations& explanations, const TextAttributes& text,
                              const std::function<std::string(int32_t)>& token_text) {
  Json references = Json::array(), features = Json::array();
  for (const auto& [name, summary] : explanations.references) {
    Json reference = {{"name", name}};
    reference.update(to_json(summary));
    references.push_back(std::move(reference));
  }
  for (size_t j = 0; j < explanations.features.size(); ++j) {
    const auto& found = explanations.features[j];
    if (!found) continue;
    features.push_back({{"feature", j},
                        {"text", describe(found->rule, text, token_text)},
                        {"score", rounded(found->score)},
                        {"spearman", rounded(found->spearman)},
                        {"token_score", rounded(found->token_score)},
                        {"fit_score", rounded(found->fit_score)},
                        {"active", found->active},
                        {"group", kFeatureGroups[static_cast<size_t>(explanations.groups[j])]},
                        {"rule", to_json(found->rule, text)}});
  }
  const Json json = {{"model", explanations.model},
                     {"threshold_tokens", explanations.min_tokens},
                     {"summary", to_json(explanations.summary)},
                     {"references", std::move(references)},
                     {"groups", to_json(explanations.measurable_groups)},
                     {"path_groups", to_json(explanations.path_groups)},
                     {"corpus_groups", to_json(explanations.corpus_groups)},
                     {"features", std::move(features)}};
  // A token may be a part of a UTF-8 sequence.
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace featflow
