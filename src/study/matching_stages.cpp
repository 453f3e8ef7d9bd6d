#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/log.hpp"
#include "core/rng.hpp"
#include "matching/correlation.hpp"
#include "matching/cross_fit.hpp"
#include "matching/matches.hpp"
#include "matching/null.hpp"
#include "storage/files.hpp"
#include "study/estimates.hpp"
#include "study/stages.hpp"

namespace featflow {
namespace {

using nlohmann::json;

CorrelationOptions correlation_options(const Study& study, const std::string& label) {
  CorrelationOptions options;
  options.floor = study.matching.floor;
  options.memory_bytes = parse_bytes(study.matching.memory, "matching.memory");
  options.progress_label = label;
  return options;
}

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

// Definitions 13; null if it is not asked for, or there are too few documents for it.
json cross_fit_json(const Study& study, const FeatureActivations& a, const FeatureActivations& b,
                    uint64_t seed) {
  constexpr int64_t kFewest = 20;  // below it an interval says little
  if (study.matching.groups == 0) return nullptr;
  const int64_t documents = documents_per_half(a);
  if (documents < std::min(kFewest, study.matching.groups)) {
    log_warning(
        fmt::format("{} → {}: no cross-fitted counts: {} documents in half of the matching "
                    "text, expected at least {} (matching.tokens)",
                    a.model, b.model, documents, kFewest));
    return nullptr;
  }
  CrossFitOptions options;
  options.threshold = study.matching.threshold;
  options.limits = measurable_limits(study);
  options.groups = std::min(study.matching.groups, documents);
  options.resamples = study.matching.resamples;
  options.seed = derive_seed(seed, "cross-fitting");
  options.correlation = correlation_options(study, a.model + " → " + b.model);
  return json::parse(to_json(cross_fit(a, b, options)).dump());
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
  // The mean over permutations of A's rows.
  double chance_parents = 0, chance_children = 0;
  for (int64_t i = 0; i < study.matching.permutations; ++i) {
    Rng rng(seed, fmt::format("permutation {}", i));
    const NullControl control =
        null_control(a, b, matches, threshold, rng, limits,
                     correlation_options(study, a.model + " permuted → " + b.model));
    chance_parents += static_cast<double>(control.permuted.features_a);
    chance_children += static_cast<double>(control.permuted.features_b);
  }
  const auto runs = static_cast<double>(study.matching.permutations);
  edge["chance_parents"] = chance_parents / runs;
  edge["chance_children"] = chance_children / runs;
  return edge;
}

void add_pair(const Study& study, const std::string& a, const std::string& b, StageGraph& graph) {
  const std::vector<std::string> parents = study.model(b).parents();
  const bool edge = std::ranges::find(parents, a) != parents.end();
  const std::vector<std::string> both = corpora_of_both(study, a, b);
  const uint64_t seed = derive_seed(study.seed, "matching/" + a + "--" + b);
  Stage stage;
  stage.kind = "matching";
  stage.name = a + "--" + b;
  json config = {{"floor", study.matching.floor},
                 {"threshold", study.matching.threshold},
                 {"minimum_tokens", study.matching.minimum_tokens},
                 {"minimum_documents", study.matching.minimum_documents},
                 {"corpora_of_both", both}};
  if (edge) {
    config.update({{"permutations", study.matching.permutations},
                   {"groups", study.matching.groups},
                   {"resamples", study.matching.resamples},
                   {"seed", seed}});
  }
  stage.config = config.dump();
  stage.inputs = {"activations/" + a, "activations/" + b};
  stage.estimated_seconds = 3.5e-6 * static_cast<double>(study.matching.tokens) * (edge ? 4 : 2);
  stage.estimated_bytes = 10 << 20;
  // A copy of one side, a transpose of the other; for an edge beside both, which are in memory.
  stage.estimated_memory = (edge ? 2 * activations_memory(study.matching.tokens) : 0) +
                           std::min(2 * activations_memory(study.matching.tokens),
                                    parse_bytes(study.matching.memory, "matching.memory"));
  stage.run = [&study, a, b, edge, both, seed](const StageContext& context) {
    const ActivationShards rows_a(context.input("activations/" + a));
    const ActivationShards rows_b(context.input("activations/" + b));
    CorrelationOptions options = correlation_options(study, a + " → " + b);
    const Matches matches = correlate(rows_a, rows_b, options);
    save_matches(matches, context.folder, measurable_limits(study));
    if (!both.empty()) {
      options.corpora = both;
      options.progress_label += ", corpora of both";
      create_folder(context.folder / "intersection");
      save_matches(correlate(rows_a, rows_b, options), context.folder / "intersection",
                   measurable_limits(study));
    }
    if (edge) {  // Permutations and groups of documents are drawn from rows in memory.
      const FeatureActivations all_a = load_feature_activations(context.input("activations/" + a));
      const FeatureActivations all_b = load_feature_activations(context.input("activations/" + b));
      write_file_atomic(context.folder / "edge.json",
                        edge_json(study, all_a, all_b, matches, seed).dump(2) + "\n");
    }
  };
  graph.add(std::move(stage));
}

}  // namespace

MeasurableLimits measurable_limits(const Study& study) {
  return {study.matching.minimum_tokens, study.matching.minimum_documents};
}

// Every pair of models, the earlier one first: edges and paths need ancestors, the report and the
// case studies all of them.
void add_matching_stages(const Study& study, StageGraph& graph) {
  for (size_t b = 0; b < study.models.size(); ++b) {
    for (size_t a = 0; a < b; ++a) {
      add_pair(study, study.models[a].name, study.models[b].name, graph);
    }
  }
}

}  // namespace featflow
