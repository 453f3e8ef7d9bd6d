#include "flow/verdict.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.hpp"

namespace featflow {
namespace {

using Json = nlohmann::ordered_json;
using Flags = std::vector<uint8_t>;  // [m]

/// Features of side A (or B) with a match at `threshold`.
Flags matched(const Matches& matches, bool side_a, double threshold,
              const MeasurableLimits& limits) {
  const MatchSide& side = side_a ? matches.a : matches.b;
  Flags flags(static_cast<size_t>(side.feature_count()), 0);
  for (const FeaturePair& pair : measurable_pairs(matches, threshold, limits)) {
    flags[static_cast<size_t>(side_a ? pair.feature_a : pair.feature_b)] = 1;
  }
  return flags;
}

/// Where the features of one side have a match, at one threshold.
struct MatchedIn {
  Flags other;         // the other model's first autoencoder
  Flags own_again;     // the own model's second
  Flags other_again;   // the other model's second
  Flags same_mixture;  // P″; empty: not given

  static MatchedIn of_parent(const VerdictMatches& m, double threshold,
                             const MeasurableLimits& limits) {
    const auto in = [&](const Matches* matches) {
      return matches ? matched(*matches, true, threshold, limits) : Flags();
    };
    return {in(m.parent_child), in(m.parent_parent2), in(m.parent_child2),
            in(m.parent_same_mixture)};
  }
  static MatchedIn of_child(const VerdictMatches& m, double threshold,
                            const MeasurableLimits& limits) {
    return {matched(*m.parent_child, false, threshold, limits),
            matched(*m.child_child2, true, threshold, limits),
            matched(*m.parent2_child, false, threshold, limits),
            {}};
  }
};

VerdictCounts counts_at(double threshold, const MatchedIn& in) {
  VerdictCounts counts{
      threshold, std::ranges::count(in.other, 1), std::ranges::count(in.own_again, 1), 0, {}, {}};
  const auto also_found_again = [&in](const Flags& flags) {
    int64_t count = 0;
    for (size_t j = 0; j < flags.size(); ++j) count += flags[j] && in.own_again[j];
    return count;
  };
  counts.both = also_found_again(in.other);
  if (!in.same_mixture.empty()) {
    counts.same_mixture = std::ranges::count(in.same_mixture, 1);
    counts.both_same_mixture = also_found_again(in.same_mixture);
  }
  return counts;
}

/// Definitions 15.
SideVerdict classify(const MatchSide& side, const MatchedIn& in, const MeasurableLimits& limits) {
  SideVerdict verdict;
  const Flags usable = measurable(side.active_tokens, side.active_documents, limits);
  for (size_t j = 0; j < usable.size(); ++j) {
    std::vector<int32_t>& list = side.active_tokens[j] == 0 ? verdict.silent
                                 : !usable[j]               ? verdict.unmeasurable
                                 : in.other[j]              ? verdict.persists
                                 : !in.own_again[j]         ? verdict.unresolved
                                 : in.other_again[j]        ? verdict.seed_dependent
                                                            : verdict.absent;
    list.push_back(static_cast<int32_t>(j));
  }
  verdict.counts = {side.feature_count(), std::ssize(verdict.silent),
                    std::ssize(verdict.unmeasurable), std::ranges::count(usable, 1)};
  return verdict;
}

/// All matches of one verdict must be of the same rows, and of the same activations where they
/// share a side.
void require_consistent(const VerdictMatches& m) {
  const Matches& edge = *m.parent_child;
  const auto require_rows = [&](const Matches& pair) {
    if (pair.corpus == edge.corpus && pair.corpora == edge.corpora &&
        pair.row_count == edge.row_count) {
      return;
    }
    throw Error(fmt::format(
        "verdict on {} → {}: matches of {} and {} count {} rows of text {}, the edge {} rows of "
        "text {}; expected the same rows and corpora",
        in_quotes(edge.a.model), in_quotes(edge.b.model), in_quotes(pair.a.model),
        in_quotes(pair.b.model), pair.row_count, in_quotes(pair.corpus), edge.row_count,
        in_quotes(edge.corpus)));
  };
  const auto require_side = [&](const MatchSide& side, const MatchSide& expected) {
    if (side.active_tokens == expected.active_tokens &&
        side.active_documents == expected.active_documents) {
      return;
    }
    throw Error(
        fmt::format("verdict on {} → {}: matches name {} where {} is expected, with other feature "
                    "activations; match all pairs from the same files, the ancestor first",
                    in_quotes(edge.a.model), in_quotes(edge.b.model), in_quotes(side.model),
                    in_quotes(expected.model)));
  };
  for (const Matches* pair : {m.parent_parent2, m.parent_child2, m.child_child2, m.parent2_child}) {
    FEATFLOW_CHECK(pair != nullptr, "all matches of a verdict but the last");
    require_rows(*pair);
  }
  require_side(m.parent_parent2->a, edge.a);
  require_side(m.parent_child2->a, edge.a);
  require_side(m.child_child2->a, edge.b);
  require_side(m.parent2_child->b, edge.b);
  require_side(m.parent2_child->a, m.parent_parent2->b);
  require_side(m.parent_child2->b, m.child_child2->b);
  if (m.parent_same_mixture != nullptr) {
    require_rows(*m.parent_same_mixture);
    require_side(m.parent_same_mixture->a, edge.a);
  }
}

double highest_floor(const VerdictMatches& m) {
  double floor = -1;
  for (const Matches* pair : {m.parent_child, m.parent_parent2, m.parent_child2, m.child_child2,
                              m.parent2_child, m.parent_same_mixture}) {
    if (pair != nullptr) floor = std::max(floor, pair->floor);
  }
  return floor;
}

// A share of nothing is unknown, not zero.
Json share(int64_t part, int64_t whole) {
  return whole == 0 ? Json(nullptr) : Json(static_cast<double>(part) / static_cast<double>(whole));
}

std::string percent(int64_t part, int64_t whole) {
  if (whole == 0) return "–";
  return fmt::format("{:.1f}%", 100 * static_cast<double>(part) / static_cast<double>(whole));
}

Json json_of(const SideVerdict& side, const char* absent) {
  Json thresholds = Json::array();
  const auto or_null = [](const auto& value) { return value ? Json(*value) : Json(nullptr); };
  for (const VerdictCounts& counts : side.thresholds) {
    thresholds.push_back(
        {{"threshold", counts.threshold},
         {"matched", counts.matched},
         {"found_again", counts.found_again},
         {"both", counts.both},
         {"same_mixture", or_null(counts.same_mixture)},
         {"both_same_mixture", or_null(counts.both_same_mixture)},
         {"share", share(counts.matched, side.counts.measurable)},
         {"ceiling", share(counts.found_again, side.counts.measurable)},
         {"conditional", share(counts.both, counts.found_again)},
         {"conditional_same_mixture", counts.both_same_mixture
                                          ? share(*counts.both_same_mixture, counts.found_again)
                                          : Json(nullptr)}});
  }
  return {
      {"counts",
       {{"features", side.counts.features},
        {"silent", side.counts.silent},
        {"unmeasurable", side.counts.unmeasurable},
        {"measurable", side.counts.measurable}}},
      {"persists", side.persists},
      {absent, side.absent},
      {"seed_dependent", side.seed_dependent},
      {"unresolved", side.unresolved},
      {"unmeasurable", side.unmeasurable},
      {"silent", side.silent},
      {"thresholds", std::move(thresholds)},
      {"ceiling_fit", side.ceiling_fit ? to_json(*side.ceiling_fit) : Json(nullptr)},
      {"conditional_fit", side.conditional_fit ? to_json(*side.conditional_fit) : Json(nullptr)}};
}

SideVerdict parse_side(const nlohmann::json& json, const char* absent) {
  SideVerdict side;
  const nlohmann::json& counts = json.at("counts");
  side.counts = {counts.at("features"), counts.at("silent"), counts.at("unmeasurable"),
                 counts.at("measurable")};
  json.at("persists").get_to(side.persists);
  json.at(absent).get_to(side.absent);
  json.at("seed_dependent").get_to(side.seed_dependent);
  json.at("unresolved").get_to(side.unresolved);
  json.at("unmeasurable").get_to(side.unmeasurable);
  json.at("silent").get_to(side.silent);
  for (const nlohmann::json& row : json.at("thresholds")) {
    VerdictCounts at{
        row.at("threshold"), row.at("matched"), row.at("found_again"), row.at("both"), {}, {}};
    if (!row.at("same_mixture").is_null()) {
      at.same_mixture = row.at("same_mixture").get<int64_t>();
      at.both_same_mixture = row.at("both_same_mixture").get<int64_t>();
    }
    side.thresholds.push_back(at);
  }
  if (!json.at("ceiling_fit").is_null()) side.ceiling_fit = parse_cross_fit(json.at("ceiling_fit"));
  if (!json.at("conditional_fit").is_null()) {
    side.conditional_fit = parse_conditional_fit(json.at("conditional_fit"));
  }
  return side;
}

}  // namespace

const VerdictCounts& SideVerdict::at(double threshold) const {
  const auto found = std::ranges::find(thresholds, threshold, &VerdictCounts::threshold);
  FEATFLOW_CHECK(found != thresholds.end(), fmt::format("no counts at {}", threshold));
  return *found;
}

EdgeVerdict edge_verdict(const VerdictMatches& matches, const VerdictOptions& options) {
  FEATFLOW_CHECK(matches.parent_child != nullptr, "the matches of the edge");
  require_consistent(matches);
  const Matches& edge = *matches.parent_child;
  const double tau = options.threshold;
  EdgeVerdict verdict{
      edge.a.model,
      edge.b.model,
      edge.corpora,
      edge.row_count,
      tau,
      options.limits,
      classify(edge.a, MatchedIn::of_parent(matches, tau, options.limits), options.limits),
      classify(edge.b, MatchedIn::of_child(matches, tau, options.limits), options.limits)};

  std::vector<double> thresholds = standard_thresholds();
  thresholds.push_back(tau);
  std::ranges::sort(thresholds);
  thresholds.erase(std::unique(thresholds.begin(), thresholds.end()), thresholds.end());
  for (const double threshold : thresholds) {
    if (threshold < highest_floor(matches)) continue;
    verdict.of_parent.thresholds.push_back(
        counts_at(threshold, MatchedIn::of_parent(matches, threshold, options.limits)));
    verdict.of_child.thresholds.push_back(
        counts_at(threshold, MatchedIn::of_child(matches, threshold, options.limits)));
  }
  return verdict;
}

std::string summary_line(const SideVerdict& side, double threshold) {
  const VerdictCounts& counts = side.at(threshold);
  std::string unchanged;
  if (counts.both_same_mixture) {
    unchanged = fmt::format("; a third autoencoder of the unchanged model {}",
                            percent(*counts.both_same_mixture, counts.found_again));
  }
  return fmt::format("share {} ({} of {}) · ceiling {} ({}) · conditional {} ({} of {}{})",
                     percent(counts.matched, side.counts.measurable), counts.matched,
                     side.counts.measurable, percent(counts.found_again, side.counts.measurable),
                     counts.found_again, percent(counts.both, counts.found_again), counts.both,
                     counts.found_again, unchanged);
}

Json to_json(const EdgeVerdict& verdict) {
  return {{"parent", verdict.parent},
          {"child", verdict.child},
          {"corpora", verdict.corpora},
          {"rows", verdict.rows},
          {"threshold", verdict.threshold},
          {"min_tokens", verdict.limits.min_tokens},
          {"min_documents", verdict.limits.min_documents},
          {"parent_features", json_of(verdict.of_parent, "disappeared")},
          {"child_features", json_of(verdict.of_child, "emerged")}};
}

EdgeVerdict parse_edge_verdict(const nlohmann::json& json) {
  return {json.at("parent"),
          json.at("child"),
          json.at("corpora"),
          json.at("rows"),
          json.at("threshold"),
          {json.at("min_tokens"), json.at("min_documents")},
          parse_side(json.at("parent_features"), "disappeared"),
          parse_side(json.at("child_features"), "emerged")};
}

}  // namespace featflow
