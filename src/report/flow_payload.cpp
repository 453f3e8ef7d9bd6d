#include "report/flow_payload.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/error.hpp"
#include "flow/path_features.hpp"
#include "report/overview.hpp"

namespace featflow {
namespace {

using Json = nlohmann::ordered_json;

/// Chains of a path that the report lists; all of them are counted.
constexpr size_t kListedChains = 60;

Json threshold_summary(const Json& row, double threshold) {
  const Json& exists = row.at("exists");
  const Json& all = row.at("exists_all");
  return {{"threshold", row.at("threshold")},
          {"own", std::abs(row.at("threshold").get<double>() - threshold) < 1e-9},
          {"persisting_parent", exists.at("persisting_parents")},
          {"persisting_child", exists.at("persisting_children")},
          {"one_to_one", row.at("one_to_one").at("persisting_parents")},
          {"all_parent", all.at("persisting_parents")},
          {"all_child", all.at("persisting_children")}};
}

/// A part of some features: the page makes the share.
Json part(const Json& matched, const Json& of) {
  return matched.is_null() ? Json(nullptr) : Json{{"matched", matched}, {"of", of}};
}

/// Definitions 14 and 15 of one end. `absent` is how the file calls its disappeared or emerged.
Json side_verdict(const Json& side, const char* absent, double threshold) {
  const Json& measurable = side.at("counts").at("measurable");
  Json summary = {
      {"measurable", measurable},
      {"persists", side.at("persists").size()},
      {"absent", side.at(absent).size()},
      {"seed_dependent", side.at("seed_dependent").size()},
      {"unresolved", side.at("unresolved").size()},
      {"unmeasurable", side.at("unmeasurable").size() + side.at("silent").size()},
      {"share", nullptr},
      {"ceiling", nullptr},
      {"conditional", nullptr},
      {"same_mixture", nullptr},
      {"conditional_same_mixture", nullptr},
      {"ceiling_fit", side.at("ceiling_fit").is_null() ? Json(nullptr) : side["ceiling_fit"]["a"]},
      {"conditional_fit", side.at("conditional_fit")},
      {"thresholds", side.at("thresholds")}};
  for (const Json& row : side.at("thresholds")) {
    if (std::abs(row.at("threshold").get<double>() - threshold) > 1e-9) continue;
    summary["share"] = part(row.at("matched"), measurable);
    summary["ceiling"] = part(row.at("found_again"), measurable);
    summary["conditional"] = part(row.at("both"), row.at("found_again"));
    summary["same_mixture"] = part(row.at("same_mixture"), measurable);
    summary["conditional_same_mixture"] = part(row.at("both_same_mixture"), row.at("found_again"));
  }
  return summary;
}

Json verdict_summary(const Json& edge, double threshold) {
  if (!edge.contains("verdict") || edge.at("verdict").is_null()) return nullptr;
  const Json& verdict = edge.at("verdict");
  return {{"parent", side_verdict(verdict.at("parent_features"), "disappeared", threshold)},
          {"child", side_verdict(verdict.at("child_features"), "emerged", threshold)}};
}

/// How the page is told; it has the words.
const char* name_of(ReportControl::Nature nature) {
  switch (nature) {
    case ReportControl::Nature::kAnotherSeed:
      return "another seed";
    case ReportControl::Nature::kOwnText:
      return "own text";
    case ReportControl::Nature::kRandomWeights:
      return "random weights";
  }
  return nullptr;
}

Json edge_summary(const Json& edge, double threshold, const std::vector<ReportNull>& nulls) {
  const Json& parent = edge.at("parent_counts");
  const Json& child = edge.at("child_counts");
  Json permuted = nullptr, thresholds = Json::array();
  for (const ReportNull& null : nulls) {
    if (edge.at("parent") == null.parent && edge.at("child") == null.child) {
      permuted = null.persisting;
    }
  }
  for (const Json& row : edge.at("thresholds")) {
    thresholds.push_back(threshold_summary(row, threshold));
  }
  return {{"parent", edge.at("parent")},
          {"child", edge.at("child")},
          {"corpora", edge.at("corpora")},
          {"rows", edge.at("rows")},
          {"features_parent", parent.at("features")},
          {"measurable_parent", parent.at("measurable")},
          {"persisting_parent", edge.at("parent_features").at("persisting").size()},
          {"disappearing", edge.at("parent_features").at("disappearing").size()},
          {"features_child", child.at("features")},
          {"measurable_child", child.at("measurable")},
          {"persisting_child", edge.at("child_features").at("persisting").size()},
          {"emerging", edge.at("child_features").at("emerging").size()},
          {"one_to_one", edge.at("one_to_one").size()},
          {"permuted", permuted},
          {"cross_fit", edge.contains("cross_fit") ? edge.at("cross_fit") : Json(nullptr)},
          {"rare_parent", {parent.at("silent"), parent.at("unmeasurable")}},
          {"rare_child", {child.at("silent"), child.at("unmeasurable")}},
          {"thresholds", thresholds},
          {"nulls", edge.contains("nulls") ? edge.at("nulls") : Json::array()},
          {"verdict", verdict_summary(edge, threshold)}};
}

Json control_summary(const Json& edge, double threshold,
                     const std::vector<ReportControl>& controls) {
  Json summary = edge_summary(edge, threshold, {});
  summary["nature"] = nullptr;
  for (const ReportControl& control : controls) {
    if (edge.at("parent") == control.parent && edge.at("child") == control.child) {
      summary["nature"] = name_of(control.nature);
    }
  }
  return summary;
}

Json path_summary(const Json& path) {
  Json listed = path.at("listed");
  std::stable_sort(listed.begin(), listed.end(), [](const Json& a, const Json& b) {
    return a.at("weakest_link").get<double>() > b.at("weakest_link").get<double>();
  });
  while (listed.size() > kListedChains) listed.erase(listed.size() - 1);
  return {{"models", path.at("models")},         {"distinct", path.at("distinct")},
          {"chains", path.at("chains")},         {"direct", path.at("direct")},
          {"every_pair", path.at("every_pair")}, {"listed", listed}};
}

/// The roots that `model` goes back to.
std::set<std::string> roots_of(const Json& models, const std::string& model) {
  std::set<std::string> roots, seen, left = {model};
  while (!left.empty()) {
    const std::string name = *left.begin();
    left.erase(left.begin());
    if (!seen.insert(name).second) continue;
    for (const Json& entry : models) {
      if (entry.at("name") != name) continue;
      if (entry.at("parents").empty()) roots.insert(name);
      for (const Json& parent : entry.at("parents")) left.insert(parent.get<std::string>());
    }
  }
  return roots;
}

Json summary_of(const Json& flow, const std::vector<ReportNull>& nulls,
                const std::vector<ReportControl>& control_natures) {
  const auto threshold = flow.at("threshold").get<double>();
  const Json& models = flow.at("models");
  Json family = Json::array(), intersection = Json::array(), controls = Json::array(),
       roots = Json::array(), merges = Json::array(), paths = Json::array();
  for (const Json& edge : flow.at("family")) {
    family.push_back(edge_summary(edge, threshold, nulls));
  }
  for (const Json& edge : flow.at("intersection")) {
    intersection.push_back(edge_summary(edge, threshold, {}));
  }
  for (const Json& edge : flow.value("controls", Json::array())) {
    controls.push_back(control_summary(edge, threshold, control_natures));
  }
  for (Json root : flow.at("roots")) {
    root.erase("features");
    for (const Json& model : models) {
      if (model.at("name") == root.at("root")) root["measurable"] = model.at("measurable");
    }
    roots.push_back(std::move(root));
  }
  for (Json merge : flow.at("merges")) {
    merge.erase("features");
    merge["bases"] = roots_of(models, merge.at("model").get<std::string>());
    merges.push_back(std::move(merge));
  }
  for (const Json& path : flow.at("paths")) paths.push_back(path_summary(path));
  return {{"threshold", threshold},
          {"floor", flow.at("floor")},
          {"rows", family.empty() ? Json(nullptr) : family.at(0).at("rows")},
          {"min_tokens", flow.at("min_tokens")},
          {"min_documents", flow.at("min_documents")},
          {"family", family},
          {"intersection", intersection},
          {"controls", controls},
          {"roots", roots},
          {"merges", merges},
          {"paths", paths}};
}

}  // namespace

FlowPayload::FlowPayload(const std::filesystem::path& file)
    : file_(file), flow_(std::make_shared<const Json>(read_stage_json(file))) {
  try {
    summary_of(*flow_, {}, {});
    limits();
  } catch (const Json::exception& reason) {
    refuse_stage_file(file, reason);
  }
}

MeasurableLimits FlowPayload::limits() const {
  return {.min_tokens = flow_->at("min_tokens").get<int64_t>(),
          .min_documents = flow_->at("min_documents").get<int64_t>()};
}

Json FlowPayload::summary(const std::vector<ReportNull>& nulls,
                          const std::vector<ReportControl>& controls) const {
  return summary_of(*flow_, nulls, controls);
}

namespace {

/// Links [(parent feature, child feature)] of an edge of the family; none if there is no such edge.
std::vector<std::pair<int32_t, int32_t>> links_of(const Json& flow, const std::string& parent,
                                                  const std::string& child) {
  std::vector<std::pair<int32_t, int32_t>> links;
  for (const Json& edge : flow.at("family")) {
    if (edge.at("parent") != parent || edge.at("child") != child) continue;
    for (const Json& link : edge.at("links")) {
      links.emplace_back(link.at(0).get<int32_t>(), link.at(1).get<int32_t>());
    }
  }
  return links;
}

}  // namespace

void FlowPayload::check_feature(int64_t feature, const std::string& model, int64_t feature_count,
                                const std::string& where) const {
  if (feature >= 0 && feature < feature_count) return;
  throw Error(
      fmt::format("{}: feature {} of {} among the {} ones, but it has {} features; "
                  "was the flow computed from other activations?",
                  file_.string(), feature, in_quotes(model), where, feature_count));
}

std::vector<std::pair<int, std::string>> FlowPayload::paths_of(const std::string& model,
                                                               int64_t feature_count) const try {
  std::vector<std::pair<int, std::string>> paths;
  int index = -1;
  for (const Json& path : flow_->at("paths")) {
    ++index;
    const auto models = path.at("models").get<std::vector<std::string>>();
    const auto links = [&](const std::string& parent, const std::string& child) {
      return links_of(*flow_, parent, child);
    };
    for (size_t at = 0; at < models.size(); ++at) {
      if (models[at] != model) continue;
      std::string on(static_cast<size_t>(feature_count), '0');
      for (const int32_t j : features_on_path(models, at, links)) {
        check_feature(j, model, feature_count, "linked");
        on[static_cast<size_t>(j)] = '1';
      }
      paths.emplace_back(index, std::move(on));
    }
  }
  return paths;
} catch (const Json::exception& reason) {
  refuse_stage_file(file_, reason);
}

std::string FlowPayload::origins_of(const std::string& model, int64_t feature_count) const try {
  std::string origins;
  for (const Json& merge : flow_->at("merges")) {
    if (merge.at("model") != model) continue;
    origins.assign(static_cast<size_t>(feature_count), '.');
    for (const auto& [list, letter] : {std::pair("from_base", 'b'),
                                       {"emerged_in_fine_tuning", 'f'},
                                       {"emerged_at_merge", 'm'}}) {
      for (const Json& entry : merge.at("features").at(list)) {
        const auto feature = entry.get<int64_t>();
        check_feature(feature, model, feature_count, list);
        origins[static_cast<size_t>(feature)] = letter;
      }
    }
  }
  return origins;
} catch (const Json::exception& reason) {
  refuse_stage_file(file_, reason);
}

std::vector<double> FlowPayload::thresholds_of(const std::string& parent,
                                               const std::string& child) const try {
  std::vector<double> thresholds;
  for (const Json& edge : flow_->at("family")) {
    if (edge.at("parent") != parent || edge.at("child") != child) continue;
    for (const Json& counts : edge.at("thresholds")) thresholds.push_back(counts.at("threshold"));
  }
  std::sort(thresholds.begin(), thresholds.end());
  return thresholds;
} catch (const Json::exception& reason) {
  refuse_stage_file(file_, reason);
}

std::map<int64_t, std::string> FlowPayload::verdicts_of(const std::string& parent,
                                                        const std::string& child,
                                                        bool of_parent) const try {
  std::map<int64_t, std::string> verdicts;
  for (const Json& edge : flow_->at("family")) {
    if (edge.at("parent") != parent || edge.at("child") != child) continue;
    if (!edge.contains("verdict") || edge.at("verdict").is_null()) continue;
    const Json& verdict = edge.at("verdict");
    const Json& lists = verdict.at(of_parent ? "parent_features" : "child_features");
    for (const char* name :
         {"persists", of_parent ? "disappeared" : "emerged", "seed_dependent", "unresolved"}) {
      for (const Json& feature : lists.at(name)) verdicts[feature.get<int64_t>()] = name;
    }
  }
  return verdicts;
} catch (const Json::exception& reason) {
  refuse_stage_file(file_, reason);
}

std::vector<EdgeClasses> FlowPayload::classes_of(const std::string& model,
                                                 int64_t feature_count) const try {
  std::vector<EdgeClasses> edges;
  for (const Json& edge : flow_->at("family")) {
    const bool is_parent = edge.at("parent") == model;
    if (!is_parent && edge.at("child") != model) continue;
    EdgeClasses classes{edge.at("parent"), edge.at("child"),
                        std::string(static_cast<size_t>(feature_count), 'u'), ""};
    const Json& lists = edge.at(is_parent ? "parent_features" : "child_features");
    const auto mark = [&](const char* list, char letter) {
      for (const Json& entry : lists.at(list)) {
        const auto feature = entry.get<int64_t>();
        check_feature(feature, model, feature_count, list);
        classes.classes[static_cast<size_t>(feature)] = letter;
      }
    };
    mark("persisting", 'p');
    is_parent ? mark("disappearing", 'd') : mark("emerging", 'e');
    mark("silent", 'x');
    edges.push_back(std::move(classes));
  }
  return edges;
} catch (const Json::exception& reason) {
  refuse_stage_file(file_, reason);
}

}  // namespace featflow
