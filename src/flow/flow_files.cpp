#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "flow/flow.hpp"
#include "flow/verdict.hpp"
#include "storage/csv.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

using Json = nlohmann::ordered_json;

// A share of nothing is unknown, not zero.
std::optional<double> share(int64_t part, int64_t whole) {
  if (whole == 0) return {};
  return static_cast<double>(part) / static_cast<double>(whole);
}

Json json_of(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }
std::string csv_of(const std::optional<double>& value) {
  return value ? fmt::format("{}", *value) : std::string();
}

// Shortest decimal that gives the same float32: 0.8123 and not 0.81230002641…
double shortest(float value) { return std::stod(fmt::format("{}", value)); }

Json json_of(const SideCounts& counts) {
  return {{"features", counts.features},
          {"silent", counts.silent},
          {"unmeasurable", counts.unmeasurable},
          {"measurable", counts.measurable}};
}

/// One rule's counts at one threshold, as flow.json and flow.csv show them.
struct RuleRow {
  std::string rule;
  int64_t persisting_parents, persisting_children, parents, children;
  std::optional<double> parent_share, child_share, parent_share_of_all, child_share_of_all;
};

std::vector<RuleRow> rule_rows(const EdgeFlow& edge, const ThresholdCounts& counts) {
  const SideCounts& parent = edge.parent_counts;
  const SideCounts& child = edge.child_counts;
  const auto row = [&](const char* rule, int64_t parents, int64_t children, int64_t of_parents,
                       int64_t of_children) {
    return RuleRow{rule,
                   parents,
                   children,
                   of_parents,
                   of_children,
                   share(parents, of_parents),
                   share(children, of_children),
                   share(parents, parent.features),
                   share(children, child.features)};
  };
  return {
      row("exists", counts.parents, counts.children, parent.measurable, child.measurable),
      row("one_to_one", counts.one_to_one, counts.one_to_one, parent.measurable, child.measurable),
      row("exists_all", counts.all_parents, counts.all_children, parent.features, child.features)};
}

Json json_of(const std::vector<FeaturePair>& pairs) {
  Json list = Json::array();
  for (const FeaturePair& pair : pairs) {
    list.push_back({pair.feature_a, pair.feature_b, shortest(pair.correlation)});
  }
  return list;
}

Json json_of(const EdgeFlow& edge) {
  Json thresholds = Json::array();
  for (const ThresholdCounts& counts : edge.thresholds) {
    Json row = {{"threshold", counts.threshold}};
    for (const RuleRow& rule : rule_rows(edge, counts)) {
      row[rule.rule] = {{"persisting_parents", rule.persisting_parents},
                        {"persisting_children", rule.persisting_children},
                        {"disappearing", rule.parents - rule.persisting_parents},
                        {"emerging", rule.children - rule.persisting_children},
                        {"parent_share", json_of(rule.parent_share)},
                        {"child_share", json_of(rule.child_share)},
                        {"parent_share_of_all", json_of(rule.parent_share_of_all)},
                        {"child_share_of_all", json_of(rule.child_share_of_all)}};
    }
    thresholds.push_back(std::move(row));
  }
  Json nulls = Json::array();
  for (const Significance& null : edge.nulls) nulls.push_back(to_json(null));
  return {{"parent", edge.parent},
          {"child", edge.child},
          {"corpora", edge.corpora},
          {"rows", edge.rows},
          {"parent_counts", json_of(edge.parent_counts)},
          {"child_counts", json_of(edge.child_counts)},
          {"thresholds", std::move(thresholds)},
          {"parent_features",
           {{"persisting", edge.persisting_parents},
            {"disappearing", edge.disappearing},
            {"unmeasurable", edge.unmeasurable_parents},
            {"silent", edge.silent_parents}}},
          {"child_features",
           {{"persisting", edge.persisting_children},
            {"emerging", edge.emerging},
            {"unmeasurable", edge.unmeasurable_children},
            {"silent", edge.silent_children}}},
          {"links", json_of(edge.links)},
          {"one_to_one", json_of(edge.one_to_one)},
          {"cross_fit", edge.cross_fit ? to_json(*edge.cross_fit) : Json(nullptr)},
          {"nulls", std::move(nulls)},
          {"verdict", edge.verdict ? to_json(*edge.verdict) : Json(nullptr)}};
}

Json json_of(const std::vector<EdgeFlow>& edges) {
  Json list = Json::array();
  for (const EdgeFlow& edge : edges) list.push_back(json_of(edge));
  return list;
}

Json json_of(const MergeFlow& merge) {
  Json parents = Json::array();
  for (const MergeFlow::Parent& parent : merge.parents) {
    parents.push_back({{"parent", parent.parent},
                       {"traced", parent.traced},
                       {"from_base", parent.from_base},
                       {"emerged_in_fine_tuning", parent.emerged_in_fine_tuning}});
  }
  return {{"model", merge.model},
          {"measurable", merge.measurable},
          {"traced", merge.traced()},
          {"from_base", merge.from_base.size()},
          {"emerged_in_fine_tuning", merge.emerged_in_fine_tuning.size()},
          {"emerged_at_merge", merge.emerged_at_merge.size()},
          {"parents", std::move(parents)},
          {"features",
           {{"from_base", merge.from_base},
            {"emerged_in_fine_tuning", merge.emerged_in_fine_tuning},
            {"emerged_at_merge", merge.emerged_at_merge}}}};
}

Json json_of(const PathFlow& path) {
  Json chains = Json::array();
  for (const Chain& chain : path.listed) {
    chains.push_back({{"features", chain.features},
                      {"weakest_link", shortest(chain.weakest_link)},
                      {"direct", chain.direct ? Json(shortest(*chain.direct)) : Json(nullptr)},
                      {"every_pair", chain.every_pair}});
  }
  return {{"models", path.models},         {"distinct", path.distinct},
          {"chains", path.chains},         {"direct", path.direct},
          {"every_pair", path.every_pair}, {"truncated", std::ssize(path.listed) < path.chains},
          {"listed", std::move(chains)}};
}

void append_csv(const std::string& variant, const std::vector<EdgeFlow>& edges, std::string& csv) {
  for (const EdgeFlow& edge : edges) {
    for (const ThresholdCounts& counts : edge.thresholds) {
      for (const RuleRow& rule : rule_rows(edge, counts)) {
        fmt::format_to(std::back_inserter(csv), "{},{},{},{},{},{},{},{},{},{},{},{},{}\n", variant,
                       csv_field(edge.parent), csv_field(edge.child), rule.rule, counts.threshold,
                       rule.persisting_parents, rule.persisting_children,
                       rule.parents - rule.persisting_parents,
                       rule.children - rule.persisting_children, csv_of(rule.parent_share),
                       csv_of(rule.child_share), csv_of(rule.parent_share_of_all),
                       csv_of(rule.child_share_of_all));
      }
    }
  }
}

}  // namespace

std::string flow_json(const Flow& flow) {
  Json models = Json::array(), roots = Json::array(), merges = Json::array(), paths = Json::array();
  for (const ModelFlow& model : flow.models) {
    Json row = {{"name", model.name}, {"parents", model.parents}, {"merged", model.merged}};
    row.update(json_of(model.counts));
    models.push_back(std::move(row));
  }
  for (const RootFlow& root : flow.roots) {
    roots.push_back({{"root", root.root},
                     {"fine_tunes", root.fine_tunes},
                     {"persisting", root.persisting},
                     {"into_any", root.into_any},
                     {"into_all", root.into_all},
                     {"features", root.features}});
  }
  for (const MergeFlow& merge : flow.merges) merges.push_back(json_of(merge));
  for (const PathFlow& path : flow.paths) paths.push_back(json_of(path));
  const Json json = {{"version", 1},
                     {"threshold", flow.threshold},
                     {"floor", flow.floor},
                     {"min_tokens", flow.limits.min_tokens},
                     {"min_documents", flow.limits.min_documents},
                     {"models", std::move(models)},
                     {"family", json_of(flow.family)},
                     {"intersection", json_of(flow.intersection)},
                     {"controls", json_of(flow.controls)},
                     {"roots", std::move(roots)},
                     {"merges", std::move(merges)},
                     {"paths", std::move(paths)}};
  // Model names come from files: what is no UTF-8 in them must not stop the report.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string flow_csv(const Flow& flow) {
  std::string csv =
      "variant,parent,child,rule,threshold,persisting_parents,persisting_children,disappearing,"
      "emerging,parent_share,child_share,parent_share_of_all,child_share_of_all\n";
  append_csv("family", flow.family, csv);
  append_csv("intersection", flow.intersection, csv);
  append_csv("control", flow.controls, csv);
  return csv;
}

void save_flow(const Flow& flow, const std::filesystem::path& folder) {
  create_folder(folder);
  write_file_atomic(folder / "flow.json", flow_json(flow));
  write_file_atomic(folder / "flow.csv", flow_csv(flow));
}

}  // namespace featflow
