#include "flow/path_features.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>

namespace featflow {

std::vector<int32_t> features_on_path(std::span<const std::string> models, size_t at,
                                      const LinksOf& links) {
  std::optional<std::set<int32_t>> from, to;  // not set: any feature
  for (size_t i = 0; i < at; ++i) {
    std::set<int32_t> next;
    for (const auto& [parent, child] : links(models[i], models[i + 1])) {
      if (!from || from->contains(parent)) next.insert(child);
    }
    from = std::move(next);
  }
  for (size_t i = models.size() - 1; i > at; --i) {
    std::set<int32_t> next;
    for (const auto& [parent, child] : links(models[i - 1], models[i])) {
      if (!to || to->contains(child)) next.insert(parent);
    }
    to = std::move(next);
  }
  std::vector<int32_t> features;
  if (from && to) {
    std::ranges::set_intersection(*from, *to, std::back_inserter(features));
  } else if (const auto& one = from ? from : to) {
    features.assign(one->begin(), one->end());
  }
  return features;
}

}  // namespace featflow
