#include <memory>
#include <nlohmann/json.hpp>

#include "features/pearson.hpp"
#include "flow/flow.hpp"
#include "flow/verdict.hpp"
#include "storage/files.hpp"
#include "study/stages.hpp"

namespace featflow {
namespace {

using nlohmann::json;

Family family_of(const Study& study) {
  std::vector<FamilyModel> models;
  for (const ModelSettings& model : study.family()) {
    models.push_back({model.name, model.parents(), model.merged()});
  }
  return Family(std::move(models));
}

}  // namespace

// Everything behind the paper's Figure 2, from the matches of all ancestries.
void add_flow_stage(const Study& study, StageGraph& graph) {
  const Family family = family_of(study);
  Stage stage;
  stage.kind = "flow";
  stage.name = "flow";
  json models = json::array();
  for (const FamilyModel& model : family.models()) {
    models.push_back({{"name", model.name}, {"parents", model.parents}, {"merged", model.merged}});
    stage.inputs.push_back("activations/" + model.name);
  }
  for (const auto& [ancestor, descendant] : family.ancestries()) {
    stage.inputs.push_back("matching/" + family.name(ancestor) + "--" + family.name(descendant));
  }
  for (const ModelSettings& model : study.models) {
    if (!model.control()) continue;
    stage.inputs.push_back("matching/" + edge_name(model.control_of, model.name));
  }
  for (const auto& [parent, child] : study.edges()) {
    for (const auto& [kind, edges] : {std::pair("nulls", &study.controls.nulls),
                                      std::pair("verdict", &study.controls.ceilings)}) {
      if (names_edge(*edges, parent, child)) {
        stage.inputs.push_back(std::string(kind) + "/" + edge_name(parent, child));
      }
    }
  }
  stage.version = 2;
  stage.config = json{{"models", models},
                      {"threshold", study.matching.threshold},
                      {"minimum_tokens", study.matching.minimum_tokens},
                      {"minimum_documents", study.matching.minimum_documents}}
                     .dump();
  stage.estimated_seconds = 5;
  stage.estimated_bytes = 5 << 20;
  stage.run = [&study, family](const StageContext& context) {
    std::vector<std::unique_ptr<Matches>> kept;
    const auto load = [&](const std::filesystem::path& folder) {
      kept.push_back(std::make_unique<Matches>(load_matches(folder)));
      return kept.back().get();
    };
    MatchesByModels all, intersection;
    for (const auto& [a, d] : family.ancestries()) {
      const auto folder = context.input("matching/" + family.name(a) + "--" + family.name(d));
      all[{family.name(a), family.name(d)}] = load(folder);
    }
    for (const auto& [p, c] : family.edges()) {
      const auto folder = context.input("matching/" + family.name(p) + "--" + family.name(c));
      if (std::filesystem::exists(folder / "intersection")) {
        intersection[{family.name(p), family.name(c)}] = load(folder / "intersection");
      }
    }
    FlowOptions options;
    options.threshold = study.matching.threshold;
    options.limits = measurable_limits(study);
    options.correlate = [&](const std::string& ancestor, const std::string& descendant,
                            const std::vector<FeaturePair>& pairs) {
      return pair_correlations(load_feature_activations(context.input("activations/" + ancestor)),
                               load_feature_activations(context.input("activations/" + descendant)),
                               pairs);
    };
    Flow flow = compute_flow(family, all, intersection, options);
    for (const ModelSettings& model : study.models) {
      if (!model.control()) continue;
      flow.controls.push_back(edge_flow(
          *load(context.input("matching/" + edge_name(model.control_of, model.name))), options));
    }
    const auto read = [&](const std::string& id, const char* file) {
      return json::parse(read_file(context.input(id) / file));
    };
    for (std::vector<EdgeFlow>* edges : {&flow.family, &flow.controls}) {
      for (EdgeFlow& edge : *edges) {
        const std::string name = edge_name(edge.parent, edge.child);
        const json facts = read("matching/" + name, "edge.json");
        if (!facts["cross_fit"].is_null()) edge.cross_fit = parse_cross_fit(facts["cross_fit"]);
      }
    }
    for (EdgeFlow& edge : flow.family) {
      const std::string name = edge_name(edge.parent, edge.child);
      if (names_edge(study.controls.nulls, edge.parent, edge.child)) {
        for (const json& null : read("nulls/" + name, "nulls.json")) {
          edge.nulls.push_back(parse_significance(null));
        }
      }
      if (names_edge(study.controls.ceilings, edge.parent, edge.child)) {
        edge.verdict = std::make_shared<const EdgeVerdict>(
            parse_edge_verdict(read("verdict/" + name, "verdict.json")));
      }
    }
    save_flow(flow, context.folder);
  };
  graph.add(std::move(stage));
}

}  // namespace featflow
