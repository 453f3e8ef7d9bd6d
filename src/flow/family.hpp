#pragma once

#include <string>
#include <utility>
#include <vector>

namespace featflow {

struct FamilyModel {
  std::string name;
  std::vector<std::string> parents;  ///< Empty: a root, trained from scratch.
  bool merged = false;               ///< Made by merging its parents, not by fine-tuning one.
};

/// A family of models of any shape, as a directed graph without cycles. Models are numbered so
/// that parents come before children, otherwise in the order given.
class Family {
 public:
  /// Throws Error for a repeated name, an unknown parent, a repeated parent, a cycle, a merge
  /// without parents or a fine-tune with several.
  explicit Family(std::vector<FamilyModel> models);

  const std::vector<FamilyModel>& models() const { return models_; }
  int size() const { return static_cast<int>(models_.size()); }
  const std::string& name(int model) const { return models_[model].name; }
  const std::vector<int>& parents(int model) const { return parents_[model]; }
  const std::vector<int>& children(int model) const { return children_[model]; }

  /// Every (parent, child).
  std::vector<std::pair<int, int>> edges() const;
  /// Every (ancestor, descendant): edges and the pairs further apart, all of which flow needs
  /// matched.
  std::vector<std::pair<int, int>> ancestries() const;
  /// Every way from a root to a model without children.
  std::vector<std::vector<int>> paths() const;

 private:
  std::vector<FamilyModel> models_;
  std::vector<std::vector<int>> parents_, children_;
};

}  // namespace featflow
