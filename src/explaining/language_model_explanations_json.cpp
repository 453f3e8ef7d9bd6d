#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "explaining/language_model_explanations.hpp"

namespace featflow {
namespace {

using Json = nlohmann::ordered_json;

template <typename T>
Json json_of(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json json_of(const LanguageModelExplanation& one) {
  return {{"feature", one.feature},
          {"explanation", json_of(one.explanation)},
          {"simulation_score", json_of(one.simulation_score)},
          {"simulation_spearman", json_of(one.simulation_spearman)},
          {"detection", json_of(one.detection)},
          {"fuzzing", json_of(one.fuzzing)},
          {"examples",
           {{"explained", one.examples.explained},
            {"simulated", one.examples.simulated},
            {"simulated_tokens", one.examples.simulated_tokens},
            {"detected", one.examples.detected},
            {"fuzzed", one.examples.fuzzed}}},
          {"failures",
           {{"explanation", one.failures.explanation},
            {"simulation", one.failures.simulation},
            {"detection", one.failures.detection},
            {"fuzzing", one.failures.fuzzing},
            {"requests", one.failures.requests}}},
          {"first_problem", one.first_problem.empty() ? Json(nullptr) : Json(one.first_problem)}};
}

Json json_of(const LanguageModelExampleCounts& counts) {
  return {{"excerpt_tokens", counts.excerpt_tokens},
          {"min_active_tokens", counts.min_active_tokens},
          {"intervals", counts.intervals},
          {"explain_top", counts.explain_top},
          {"explain_per_interval", counts.explain_per_interval},
          {"explain_random", counts.explain_random},
          {"simulate_top", counts.simulate_top},
          {"simulate_per_interval", counts.simulate_per_interval},
          {"simulate_random", counts.simulate_random},
          {"detect_per_interval", counts.detect_per_interval}};
}

/// What two files must agree in to be of one kind.
Json header(const LanguageModelExplanations& explanations,
            const LanguageModelExplainOptions& options) {
  return {{"version", 1},
          {"model", explanations.model},
          {"autoencoder", explanations.autoencoder},
          {"corpus", explanations.corpus},
          {"activations", explanations.fingerprint},
          // Where it was asked is nobody's business: only which model it was.
          {"language_model", options.model.endpoint.model},
          {"temperature", json_of(options.model.temperature)},
          {"seed", options.seed},
          {"counts", json_of(options.counts)},
          {"texts_per_prompt", options.texts_per_prompt}};
}

bool agrees(const Json& earlier, const Json& header) {
  for (const auto& [key, value] : header.items()) {
    if (!earlier.contains(key) || earlier.at(key) != value) return false;
  }
  return earlier.contains("features") && earlier.at("features").is_array();
}

}  // namespace

std::string language_model_explanations_json(const LanguageModelExplanations& explanations,
                                             const LanguageModelExplainOptions& options,
                                             const std::string& earlier) {
  const Json head = header(explanations, options);
  std::map<int64_t, Json> by_feature;
  for (const auto& one : explanations.features) by_feature.emplace(one.feature, json_of(one));
  const Json before = Json::parse(earlier, nullptr, false);
  if (before.is_object() && agrees(before, head)) {
    for (const Json& row : before.at("features")) {
      const bool named = row.is_object() && row.contains("feature") &&
                         row.at("feature").is_number_integer() && row.at("feature") >= 0;
      if (named) by_feature.emplace(row.at("feature").get<int64_t>(), row);
    }
  } else if (before.is_object() && !explanations.stopped.empty()) {
    return {};
  }
  Json features = Json::array(), skipped = Json::array();
  for (auto& [feature, row] : by_feature) features.push_back(std::move(row));
  for (const SkippedFeature& one : explanations.skipped) {
    skipped.push_back({{"feature", one.feature}, {"active_tokens", one.active_tokens}});
  }
  const SessionTotals& totals = explanations.totals;
  Json json = head;
  json.update(
      Json{{"stopped", explanations.stopped.empty() ? Json(nullptr) : Json(explanations.stopped)},
           {"asked", explanations.asked},
           {"features", features},
           {"skipped", skipped},
           {"totals",
            {{"explained", explanations.explained()},
             {"skipped", explanations.skipped.size()},
             {"requests", totals.requests},
             {"cached", totals.cached},
             {"retries", totals.retries},
             {"failed_requests", totals.failed_requests},
             {"malformed", explanations.malformed},
             {"estimated_usage", totals.estimated_usage},
             {"input_tokens", totals.used.input},
             {"output_tokens", totals.used.output},
             {"cost", json_of(explanations.cost)},
             {"input_tokens_of_all", totals.used_by_all.input},
             {"output_tokens_of_all", totals.used_by_all.output},
             {"cost_of_all", json_of(explanations.cost_of_all)}}}});
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace featflow
