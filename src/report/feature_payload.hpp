#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "features/statistics.hpp"
#include "matching/matches.hpp"
#include "report/payload.hpp"
#include "report/report.hpp"
#include "tokens/token_shard.hpp"

namespace featflow {

/// The class of every feature of one model on one of its edges, a letter each: p persisting,
/// d disappearing, e emerging, u unmeasurable, x silent.
struct EdgeClasses {
  std::string parent, child;
  std::string classes;  ///< [m]
  /// [m] 'a' + how many of the edge's thresholds the best match reaches; empty: not known.
  std::string reached;
};

/// What a model's features are shown with, besides their activations.
struct FeatureContext {
  const FeatureActivations* activations = nullptr;
  const FeatureStatistics* statistics = nullptr;
  const TokenShard* text = nullptr;
  std::vector<uint8_t> measurable;  ///< [m]
  /// (other model's index in the report, best matches [m] by descending correlation)
  std::vector<std::pair<int, std::vector<std::vector<std::pair<int32_t, float>>>>> matches;
  std::vector<EdgeClasses> edges;
  std::vector<std::pair<int, std::string>> paths;        ///< FlowPayload::paths_of
  std::string origins;                                   ///< FlowPayload::origins_of
  std::shared_ptr<const nlohmann::ordered_json> logits;  ///< logit_payload, or null
  ExampleBudget budget;
  int64_t examples = 12;  ///< Per feature, as the budget allows,
  int64_t intervals = 5;  ///< and of each interval one; 0: none.
};

/// The best `count` partners of every feature of one side of `matches`, out of its pairs at or
/// above the floor and its best partner, whatever that one's correlation is. Partners of a
/// measurable feature are measurable: no other is a match (definitions 9).
std::vector<std::vector<std::pair<int32_t, float>>> best_partners(const Matches& matches, bool of_a,
                                                                  int64_t count,
                                                                  const MeasurableLimits& limits);

/// How many examples of a feature are shown, and points of each of its scatter plots.
struct ExampleCounts {
  int64_t top = 0, intervals = 0, paired = 0;
};
/// An estimate of how many fit into the budget, of all models' features: examples by interval only
/// if that leaves the least number of top ones, plots only if none of these are left out. A feature
/// is plotted with one of each of `others` models.
ExampleCounts affordable_examples(const ExampleBudget& budget, int64_t feature_count,
                                  int64_t others);

/// Adds a model's chunks to the payload and gives their numbers: {index, features [chunk]}.
nlohmann::ordered_json add_features(Payload& payload, const FeatureContext& context);

}  // namespace featflow
