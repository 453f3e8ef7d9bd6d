#include "explaining/path_groups.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "flow/path_features.hpp"
#include "storage/files.hpp"

namespace featflow {
namespace {

using nlohmann::json;

LinksOf links_in(const json& flow) {
  return [&flow](const std::string& parent, const std::string& child) {
    std::vector<std::pair<int32_t, int32_t>> links;
    for (const json& edge : flow.at("family")) {
      if (edge.at("parent") != parent || edge.at("child") != child) continue;
      for (const json& link : edge.at("links")) {
        links.emplace_back(link.at(0).get<int32_t>(), link.at(1).get<int32_t>());
      }
    }
    return links;
  };
}

template <typename Read>
auto reading(const std::filesystem::path& flow_json, Read read) {
  try {
    return read(json::parse(read_file(flow_json)));
  } catch (const json::exception& reason) {
    throw Error(
        fmt::format("{}: not a flow: {}", flow_json.string(), in_quotes(reason.what(), 160)));
  }
}

}  // namespace

std::vector<std::pair<std::string, GroupShares>> path_groups(
    const std::filesystem::path& flow_json, const std::string& model,
    const std::vector<FeatureGroup>& groups) {
  return reading(flow_json, [&](const json& flow) {
    std::vector<std::pair<std::string, GroupShares>> named;
    const auto add = [&](const std::string& name, const std::vector<int32_t>& features) {
      for (const int32_t feature : features) {
        if (feature >= 0 && feature < std::ssize(groups)) continue;
        throw Error(fmt::format("{}: feature {} of {}, which has {}; was it made of another run?",
                                flow_json.string(), feature, in_quotes(model), groups.size()));
      }
      named.emplace_back(name, group_shares(groups, features));
    };
    for (const json& edge : flow.at("family")) {
      const auto parent = edge.at("parent").get<std::string>();
      const auto child = edge.at("child").get<std::string>();
      const std::string name = parent + " → " + child + ": ";
      if (child == model) {
        add(name + "persisting", edge.at("child_features").at("persisting"));
        add(name + "emerging", edge.at("child_features").at("emerging"));
      }
      if (parent == model) {
        add(name + "persisting", edge.at("parent_features").at("persisting"));
        add(name + "disappearing", edge.at("parent_features").at("disappearing"));
      }
    }
    for (const json& path : flow.at("paths")) {
      const auto models = path.at("models").get<std::vector<std::string>>();
      if (models.size() < 3 || (models.front() != model && models.back() != model)) continue;
      add(fmt::format("{}: the whole path", fmt::join(models, " → ")),
          features_on_path(models, models.front() == model ? 0 : models.size() - 1,
                           links_in(flow)));
    }
    return named;
  });
}

}  // namespace featflow
