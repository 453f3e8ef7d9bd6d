#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "explaining/feature_groups.hpp"

namespace featflow {

/// Features of a path's first or last model that lie on a chain of matches along all of it, of
/// flow.json's links (its chains are listed only in part). `models` are those of the path, at least
/// two; ascending. Throws Error naming the file if it is no flow.
std::vector<int32_t> features_on_path(const std::filesystem::path& flow_json,
                                      std::vector<std::string> models, bool first);

/// Shares by group of a model's features along every edge and path of flow.json that it is an end
/// of, each with its name; `groups` [m] are those of the model. Throws as above.
std::vector<std::pair<std::string, GroupShares>> path_groups(
    const std::filesystem::path& flow_json, const std::string& model,
    const std::vector<FeatureGroup>& groups);

}  // namespace featflow
