#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"
#include "flow/flow.hpp"
#include "matching/one_to_one.hpp"

namespace featflow {
namespace {

/// The classes that features of one side fall into.
struct Side {
  SideCounts counts;
  std::vector<int32_t> silent, unmeasurable, matched, unmatched;

  Side(const MatchSide& side, const MeasurableLimits& limits, const std::vector<uint8_t>& linked) {
    const auto usable = measurable(side.active_tokens, side.active_documents, limits);
    counts.features = side.feature_count();
    for (int32_t j = 0; j < counts.features; ++j) {
      auto& list = side.active_tokens[j] == 0 ? silent
                   : !usable[j]               ? unmeasurable
                   : linked[j]                ? matched
                                              : unmatched;
      list.push_back(j);
    }
    counts.silent = std::ssize(silent);
    counts.unmeasurable = std::ssize(unmeasurable);
    counts.measurable = std::ssize(matched) + std::ssize(unmatched);
  }
};

}  // namespace

const ThresholdCounts& EdgeFlow::at(double threshold) const {
  const auto found =
      std::find_if(thresholds.begin(), thresholds.end(),
                   [&](const ThresholdCounts& counts) { return counts.threshold == threshold; });
  FEATFLOW_CHECK(found != thresholds.end(), fmt::format("no counts at {}", threshold));
  return *found;
}

EdgeFlow edge_flow(const Matches& matches, const FlowOptions& options) {
  EdgeFlow edge;
  edge.parent = matches.a.model;
  edge.child = matches.b.model;
  edge.corpora = matches.corpora;
  edge.rows = matches.row_count;
  edge.links = measurable_pairs(matches, options.threshold, options.limits);

  std::vector<uint8_t> linked_a(matches.a.feature_count(), 0);
  std::vector<uint8_t> linked_b(matches.b.feature_count(), 0);
  for (const FeaturePair& link : edge.links) {
    linked_a[link.feature_a] = 1;
    linked_b[link.feature_b] = 1;
  }
  Side parent(matches.a, options.limits, linked_a);
  Side child(matches.b, options.limits, linked_b);
  edge.parent_counts = parent.counts;
  edge.child_counts = child.counts;
  edge.persisting_parents = std::move(parent.matched);
  edge.disappearing = std::move(parent.unmatched);
  edge.unmeasurable_parents = std::move(parent.unmeasurable);
  edge.silent_parents = std::move(parent.silent);
  edge.persisting_children = std::move(child.matched);
  edge.emerging = std::move(child.unmatched);
  edge.unmeasurable_children = std::move(child.unmeasurable);
  edge.silent_children = std::move(child.silent);

  std::vector<double> thresholds = standard_thresholds();
  thresholds.push_back(options.threshold);
  std::sort(thresholds.begin(), thresholds.end());
  thresholds.erase(std::unique(thresholds.begin(), thresholds.end()), thresholds.end());
  for (const double threshold : thresholds) {
    if (threshold < matches.floor) continue;
    const MatchCounts counts = count_matches(matches, threshold, options.limits);
    const MatchCounts all = count_matches(matches, threshold, {0, 0});
    std::vector<FeaturePair> matched =
        one_to_one(measurable_pairs(matches, threshold, options.limits), threshold);
    edge.thresholds.push_back({threshold, counts.features_a, counts.features_b, std::ssize(matched),
                               all.features_a, all.features_b});
    if (threshold == options.threshold) edge.one_to_one = std::move(matched);
  }
  return edge;
}

}  // namespace featflow
