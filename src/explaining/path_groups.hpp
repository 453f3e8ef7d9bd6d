#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "explaining/feature_groups.hpp"

namespace featflow {

/// Shares by group of a model's features along every edge and path of flow.json that it is an end
/// of, each with its name; `groups` [m] are those of the model. Throws Error naming the file if it
/// is no flow, or of other features.
std::vector<std::pair<std::string, GroupShares>> path_groups(
    const std::filesystem::path& flow_json, const std::string& model,
    const std::vector<FeatureGroup>& groups);

}  // namespace featflow
