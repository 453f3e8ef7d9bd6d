#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace featflow {

/// The links at τ of two neighbours on a path: (feature of the parent, of the child).
using LinksOf = std::function<std::vector<std::pair<int32_t, int32_t>>(const std::string& parent,
                                                                       const std::string& child)>;

/// The features of model `at` of a path that lie on a chain along all of it: those that links lead
/// to both from its beginning and from its end. Ascending. Found without the chains, of which
/// flow.json lists a part and of which there may be very many.
std::vector<int32_t> features_on_path(std::span<const std::string> models, size_t at,
                                      const LinksOf& links);

}  // namespace featflow
