#include "flow/family.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/error.hpp"

namespace featflow {

Family::Family(std::vector<FamilyModel> models) {
  std::map<std::string, int> given;
  for (size_t i = 0; i < models.size(); ++i) {
    const FamilyModel& model = models[i];
    const std::string where = "family: model " + in_quotes(model.name);
    if (!given.emplace(model.name, static_cast<int>(i)).second) {
      throw Error(where + " appears twice, names must differ");
    }
    if (model.merged && model.parents.empty()) {
      throw Error(where + " is merged but has no parents, expected at least one");
    }
    if (!model.merged && model.parents.size() > 1) {
      throw Error(fmt::format("{} is fine-tuned from {} parents, expected one (is it a merge?)",
                              where, model.parents.size()));
    }
    if (std::set<std::string>(model.parents.begin(), model.parents.end()).size() !=
        model.parents.size()) {
      throw Error(where + " names a parent twice");
    }
  }
  for (const FamilyModel& model : models) {
    for (const std::string& parent : model.parents) {
      if (!given.contains(parent)) {
        throw Error(
            fmt::format("family: model {} has the parent {}, which is no model of the family",
                        in_quotes(model.name), in_quotes(parent)));
      }
    }
  }

  // Repeatedly the first model whose parents are all placed.
  std::map<std::string, int> placed;
  while (models_.size() < models.size()) {
    const auto ready = std::find_if(models.begin(), models.end(), [&](const FamilyModel& model) {
      return !placed.contains(model.name) &&
             std::all_of(model.parents.begin(), model.parents.end(),
                         [&](const std::string& parent) { return placed.contains(parent); });
    });
    if (ready == models.end()) {
      const auto stuck = std::find_if(models.begin(), models.end(), [&](const FamilyModel& model) {
        return !placed.contains(model.name);
      });
      throw Error(fmt::format("family: model {} descends from itself, expected no cycle",
                              in_quotes(stuck->name)));
    }
    placed.emplace(ready->name, size());
    std::vector<int> parents;
    for (const std::string& parent : ready->parents) parents.push_back(placed.at(parent));
    for (const int parent : parents) children_[parent].push_back(size());
    parents_.push_back(std::move(parents));
    children_.emplace_back();
    models_.push_back(*ready);
  }
}

std::vector<std::pair<int, int>> Family::edges() const {
  std::vector<std::pair<int, int>> edges;
  for (int child = 0; child < size(); ++child) {
    for (const int parent : parents_[child]) edges.emplace_back(parent, child);
  }
  return edges;
}

std::vector<std::pair<int, int>> Family::ancestries() const {
  std::vector<std::set<int>> ancestors(size());
  std::vector<std::pair<int, int>> pairs;
  for (int model = 0; model < size(); ++model) {
    for (const int parent : parents_[model]) {
      ancestors[model].insert(parent);
      ancestors[model].insert(ancestors[parent].begin(), ancestors[parent].end());
    }
    for (const int ancestor : ancestors[model]) pairs.emplace_back(ancestor, model);
  }
  return pairs;
}

std::vector<std::vector<int>> Family::paths() const {
  std::vector<std::vector<int>> paths;
  std::vector<std::vector<int>> open;
  for (int model = size() - 1; model >= 0; --model) {
    if (parents_[model].empty()) open.push_back({model});
  }
  while (!open.empty()) {
    const std::vector<int> path = std::move(open.back());
    open.pop_back();
    const std::vector<int>& next = children_[path.back()];
    if (next.empty() && path.size() > 1) paths.push_back(path);
    for (auto child = next.rbegin(); child != next.rend(); ++child) {
      open.push_back(path);
      open.back().push_back(*child);
    }
  }
  return paths;
}

}  // namespace featflow
