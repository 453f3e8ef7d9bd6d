#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "core/rng.hpp"
#include "flow/verdict.hpp"
#include "storage/files.hpp"
#include "study/estimates.hpp"
#include "study/stages.hpp"

namespace featflow {
namespace {

// Names of the autoencoders behind one edge's verdict.
struct VerdictNames {
  std::string parent, child;
  std::string parent2, child2;  // P′ and C′
  std::string same_mixture;     // P″

  VerdictNames(const Study& study, const std::string& p, const std::string& c)
      : parent(p),
        child(c),
        parent2(further_autoencoder(study, p, c).name),
        child2(further_autoencoder(study, c, c).name),
        same_mixture(further_autoencoder(study, p, p).name) {}
};

// Intervals of a side's ceiling and of its conditional share.
void add_intervals(SideVerdict& side, const FeatureActivations& own,
                   const FeatureActivations& other, const FeatureActivations& again,
                   const CrossFitOptions& options) {
  side.ceiling_fit = cross_fit(own, again, options);
  side.conditional_fit = cross_fit_conditional(own, other, again, options);
}

// Definitions 14 and 15 for one edge.
void add_verdict(const Study& study, const std::string& parent, const std::string& child,
                 StageGraph& graph) {
  const VerdictNames names(study, parent, child);
  const uint64_t seed = derive_seed(study.seed, "verdict/" + edge_name(parent, child));
  Stage stage;
  stage.kind = "verdict";
  stage.version = 3;
  stage.name = edge_name(parent, child);
  stage.config = nlohmann::json{
      {"threshold", study.matching.threshold},
      {"minimum_tokens", study.matching.minimum_tokens},
      {"minimum_documents", study.matching.minimum_documents},
      {"groups", study.matching.groups},
      {"resamples", study.matching.resamples},
      {"seed", seed}}.dump();
  stage.inputs = {"matching/" + edge_name(parent, child)};
  for (const auto& [a, b] : verdict_pairs(study, parent, child)) {
    stage.inputs.push_back("matching/" + edge_name(a, b));
  }
  for (const std::string& name : {names.parent, names.child, names.parent2, names.child2}) {
    stage.inputs.push_back("activations/" + name);
  }
  // Two cross-fits of a pair and two of three, each on halves of the rows.
  stage.estimated_seconds =
      study.matching.groups > 0 ? 12 * correlation_seconds(study.matching.tokens) : 1;
  stage.estimated_bytes = 2 << 20;
  stage.estimated_memory = 7 * activations_memory(study.matching.tokens);
  stage.run = [&study, names, seed](const StageContext& context) {
    std::map<std::string, Matches> kept;
    const auto matches = [&](const std::string& a, const std::string& b) {
      const std::string name = edge_name(a, b);
      return &kept.emplace(name, load_matches(context.input("matching/" + name))).first->second;
    };
    VerdictMatches all;
    all.parent_child = matches(names.parent, names.child);
    all.parent_parent2 = matches(names.parent, names.parent2);
    all.parent_child2 = matches(names.parent, names.child2);
    all.child_child2 = matches(names.child, names.child2);
    all.parent2_child = matches(names.parent2, names.child);
    all.parent_same_mixture = matches(names.parent, names.same_mixture);
    EdgeVerdict verdict = edge_verdict(all, {study.matching.threshold, measurable_limits(study)});
    kept.clear();

    const auto load = [&](const std::string& name) {
      return load_feature_activations(context.input("activations/" + name));
    };
    const FeatureActivations a = load(names.parent), b = load(names.child);
    if (const auto options =
            cross_fit_options(study, a, names.parent + " → " + names.child + ", ceiling", seed)) {
      add_intervals(verdict.of_parent, a, b, load(names.parent2), *options);
      add_intervals(verdict.of_child, b, a, load(names.child2), *options);
    }
    write_file_atomic(context.folder / "verdict.json", to_json(verdict).dump() + "\n");
  };
  graph.add(std::move(stage));
}

}  // namespace

std::vector<std::pair<std::string, std::string>> verdict_pairs(const Study& study,
                                                               const std::string& parent,
                                                               const std::string& child) {
  const VerdictNames names(study, parent, child);
  return {{parent, names.parent2},
          {parent, names.child2},
          {child, names.child2},
          {names.parent2, child},
          {parent, names.same_mixture}};
}

void add_verdict_stages(const Study& study, StageGraph& graph) {
  for (const auto& [parent, child] : study.edges()) {
    if (names_edge(study.controls.ceilings, parent, child)) {
      add_verdict(study, parent, child, graph);
    }
  }
}

}  // namespace featflow
