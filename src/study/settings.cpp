#include "study/settings.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"

namespace featflow {

std::vector<std::string> ModelSettings::parents() const {
  if (merged()) return merge.parents;
  return parent.empty() ? std::vector<std::string>{} : std::vector<std::string>{parent};
}

const ModelSettings& Study::model(const std::string& model_name) const {
  const auto found = std::ranges::find(models, model_name, &ModelSettings::name);
  FEATFLOW_CHECK(found != models.end(), "no model " + model_name);
  return *found;
}

std::vector<ModelSettings> Study::family() const {
  std::vector<ModelSettings> members;
  std::ranges::copy_if(models, std::back_inserter(members),
                       [](const ModelSettings& model) { return !model.control(); });
  return members;
}

std::vector<std::pair<std::string, std::string>> Study::edges() const {
  std::vector<std::pair<std::string, std::string>> all;
  for (const ModelSettings& child : models) {
    if (child.control()) continue;
    for (const std::string& parent : child.parents()) all.emplace_back(parent, child.name);
  }
  return all;
}

std::string edge_name(const std::string& parent, const std::string& child) {
  return parent + "--" + child;
}

bool names_edge(const std::vector<std::string>& edges, const std::string& parent,
                const std::string& child) {
  return std::ranges::any_of(edges, [&](const std::string& edge) {
    return edge == "all" || edge == edge_name(parent, child);
  });
}

bool Study::is_ancestor(const std::string& ancestor, const std::string& descendant) const {
  return std::ranges::any_of(model(descendant).parents(), [&](const std::string& p) {
    return p == ancestor || is_ancestor(ancestor, p);
  });
}

std::vector<std::string> Study::corpora_seen(const std::string& model_name) const {
  std::vector<std::string> seen;
  for (const CorpusConfig& corpus : corpora) {
    if (std::ranges::any_of(models, [&](const ModelSettings& other) {
          return other.corpora.contains(corpus.name) &&
                 (other.name == model_name || is_ancestor(other.name, model_name));
        })) {
      seen.push_back(corpus.name);
    }
  }
  return seen;
}

int64_t parse_bytes(const std::string& text, const std::string& where) {
  size_t used = 0;
  double number = 0;
  try {
    number = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  const std::string unit = text.substr(used);
  const double factor = unit.empty() || unit == "B" ? 1
                        : unit == "KiB"             ? 1024.0
                        : unit == "MiB"             ? 1024.0 * 1024
                        : unit == "GiB"             ? 1024.0 * 1024 * 1024
                                                    : 0;
  const double bytes = number * factor;
  if (used == 0 || !(bytes >= 1) || bytes > 1e18) {
    throw Error(
        fmt::format("{} is {}, expected a size such as 2GiB or 512MiB", where, in_quotes(text)));
  }
  return static_cast<int64_t>(bytes);
}

}  // namespace featflow
