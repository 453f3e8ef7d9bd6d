#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.hpp"
#include "core/log.hpp"
#include "core/rng.hpp"
#include "matching/correlation.hpp"
#include "matching/cross_fit.hpp"
#include "matching/matches.hpp"
#include "matching/significance.hpp"
#include "storage/files.hpp"
#include "study/estimates.hpp"
#include "study/matching_options.hpp"
#include "study/stages.hpp"

namespace featflow {
namespace {

using nlohmann::json;

// Corpora that both ends have seen: the `intersection` of definitions 8.
std::vector<std::string> corpora_of_both(const Study& study, const std::string& a,
                                         const std::string& b) {
  std::vector<std::string> both;
  const std::vector<std::string> seen_b = study.corpora_seen(b);
  for (const std::string& corpus : study.corpora_seen(a)) {
    if (std::ranges::find(seen_b, corpus) != seen_b.end()) both.push_back(corpus);
  }
  return both;
}

json cross_fit_json(const Study& study, const FeatureActivations& a, const FeatureActivations& b,
                    uint64_t seed) {
  const auto options =
      cross_fit_options(study, a, a.model + " → " + b.model, derive_seed(seed, "cross-fitting"));
  if (!options) return nullptr;
  return json::parse(to_json(cross_fit(a, b, *options)).dump());
}

// The counts of an edge from parent A to child B, with what chance alone gives beside them.
json edge_json(const Study& study, const FeatureActivations& a, const FeatureActivations& b,
               const Matches& matches, uint64_t seed) {
  const MeasurableLimits limits = measurable_limits(study);
  const double threshold = study.matching.threshold;
  const auto measurable_count = [&](const MatchSide& side) {
    return std::ranges::count(measurable(side.active_tokens, side.active_documents, limits), 1);
  };
  const MatchCounts observed = count_matches(matches, threshold, limits);
  json edge = {{"threshold", threshold},
               {"measurable_parents", measurable_count(matches.a)},
               {"measurable_children", measurable_count(matches.b)},
               {"persisting_parents", observed.features_a},
               {"persisting_children", observed.features_b},
               {"cross_fit", cross_fit_json(study, a, b, seed)},
               {"permutations", study.matching.permutations},
               {"chance_parents", nullptr},
               {"chance_children", nullptr}};
  if (study.matching.permutations == 0) return edge;
  NullOptions null;
  null.runs = study.matching.permutations;
  null.seed = seed;
  null.correlation = {
      limits, parse_bytes(study.matching.memory, "matching.memory"), {}, a.model + " → " + b.model};
  const Significance chance = significance(best_correlations(a, b, null.correlation),
                                           shifted_rows_null(a, b, null), {.threshold = threshold});
  edge["chance_parents"] = chance.a.null_matched;
  edge["chance_children"] = chance.b.null_matched;
  return edge;
}

// Two autoencoders to be matched. An edge has its counts beside its matches; of the family, corpora
// that both ends have seen, if there are any, are matched apart too.
struct MatchedPair {
  std::string a, b;
  bool edge = false;
  std::vector<std::string> corpora_of_both = {};

  std::string name() const { return edge_name(a, b); }
};

void add_pair(const Study& study, const MatchedPair& pair, StageGraph& graph) {
  const uint64_t seed = derive_seed(study.seed, "matching/" + pair.name());
  Stage stage;
  stage.kind = "matching";
  stage.name = pair.name();
  stage.version = 4;
  json config = {{"floor", study.matching.floor},
                 {"threshold", study.matching.threshold},
                 {"minimum_tokens", study.matching.minimum_tokens},
                 {"minimum_documents", study.matching.minimum_documents},
                 {"corpora_of_both", pair.corpora_of_both}};
  if (pair.edge) {
    config.update({{"permutations", study.matching.permutations},
                   {"groups", study.matching.groups},
                   {"resamples", study.matching.resamples},
                   {"seed", seed}});
  }
  stage.config = config.dump();
  stage.inputs = {"activations/" + pair.a, "activations/" + pair.b};
  stage.estimated_seconds = correlation_seconds(study.matching.tokens) * (pair.edge ? 6 : 2);
  stage.estimated_bytes = 10 << 20;
  // A copy of one side, a transpose of the other; for an edge beside both, which are in memory.
  stage.estimated_memory = (pair.edge ? 2 * activations_memory(study.matching.tokens) : 0) +
                           std::min(2 * activations_memory(study.matching.tokens),
                                    parse_bytes(study.matching.memory, "matching.memory"));
  stage.run = [&study, pair, seed](const StageContext& context) {
    const ActivationShards rows_a(context.input("activations/" + pair.a));
    const ActivationShards rows_b(context.input("activations/" + pair.b));
    CorrelationOptions options = correlation_options(study, pair.a + " → " + pair.b);
    const Matches matches = correlate(rows_a, rows_b, options);
    save_matches(matches, context.folder, measurable_limits(study));
    if (!pair.corpora_of_both.empty()) {
      options.corpora = pair.corpora_of_both;
      options.progress_label += ", corpora of both";
      create_folder(context.folder / "intersection");
      save_matches(correlate(rows_a, rows_b, options), context.folder / "intersection",
                   measurable_limits(study));
    }
    if (pair.edge) {  // Shifts and groups of documents are drawn from rows in memory.
      const FeatureActivations all_a =
          load_feature_activations(context.input("activations/" + pair.a));
      const FeatureActivations all_b =
          load_feature_activations(context.input("activations/" + pair.b));
      write_file_atomic(context.folder / "edge.json",
                        edge_json(study, all_a, all_b, matches, seed).dump(2) + "\n");
    }
  };
  graph.add(std::move(stage));
}

}  // namespace

CorrelationOptions correlation_options(const Study& study, const std::string& label) {
  CorrelationOptions options;
  options.floor = study.matching.floor;
  options.memory_bytes = parse_bytes(study.matching.memory, "matching.memory");
  options.progress_label = label;
  return options;
}

std::optional<CrossFitOptions> cross_fit_options(const Study& study,
                                                 const FeatureActivations& activations,
                                                 const std::string& label, uint64_t seed) {
  if (study.matching.groups == 0) return std::nullopt;
  const int64_t documents = documents_per_half(activations);
  const int64_t fewest = std::min<int64_t>(20, study.matching.groups);  // below 20 it says little
  if (documents < fewest) {
    log_warning(
        fmt::format("{}: no cross-fitted counts: {} documents in half of the matching text, "
                    "expected at least {} (matching.tokens)",
                    label, documents, fewest));
    return std::nullopt;
  }
  CrossFitOptions options;
  options.threshold = study.matching.threshold;
  options.limits = measurable_limits(study);
  options.groups = std::min(study.matching.groups, documents);
  options.resamples = study.matching.resamples;
  options.seed = seed;
  options.correlation = correlation_options(study, label);
  return options;
}

MeasurableLimits measurable_limits(const Study& study) {
  return {study.matching.minimum_tokens, study.matching.minimum_documents};
}

std::vector<std::pair<std::string, std::string>> family_pairs(const Study& study) {
  std::vector<std::pair<std::string, std::string>> pairs;
  const std::vector<ModelSettings> members = study.family();
  for (size_t b = 0; b < members.size(); ++b) {
    for (size_t a = 0; a < b; ++a) pairs.emplace_back(members[a].name, members[b].name);
  }
  return pairs;
}

// Edges and paths need ancestors, the report and the case studies all pairs of the family; a
// control is matched with the model beside which it stands, further autoencoders with what the
// verdict on an edge asks for.
void add_matching_stages(const Study& study, StageGraph& graph) {
  const std::vector<std::pair<std::string, std::string>> edges = study.edges();
  for (const auto& [a, b] : family_pairs(study)) {
    const bool edge = std::ranges::find(edges, std::pair(a, b)) != edges.end();
    add_pair(study,
             edge ? MatchedPair{a, b, true, corpora_of_both(study, a, b)} : MatchedPair{a, b},
             graph);
  }
  for (const ModelSettings& model : study.models) {
    if (!model.control()) continue;
    add_pair(study, {model.control_of, model.name, true}, graph);
  }
  std::set<std::string> added;
  for (const auto& [parent, child] : edges) {
    if (!names_edge(study.controls.ceilings, parent, child)) continue;
    for (const auto& [a, b] : verdict_pairs(study, parent, child)) {
      if (added.insert(edge_name(a, b)).second) add_pair(study, {a, b}, graph);
    }
  }
}

}  // namespace featflow
