#include "report/explanation_payload.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "core/error.hpp"
#include "report/overview.hpp"

namespace featflow {
namespace {

using Json = nlohmann::ordered_json;

/// Three digits: what the page shows and sorts by. Throws Json::exception for what is no number.
Json score(const Json& row, const char* key) {
  const Json& value = row.at(key);
  if (value.is_null()) return nullptr;
  const auto x = value.get<double>();
  return std::isfinite(x) ? Json(std::strtod(fmt::format("{:.3f}", x).c_str(), nullptr)) : Json();
}

/// {name: share}. Throws Json::exception for anything else.
Json shares(const Json& groups) { return Json(groups.get<std::map<std::string, double>>()); }

Json scores_of(const Json& summary) {
  Json out;
  for (const char* key : {"explained", "skipped", "median_score", "median_token_score",
                          "median_ratio", "share_at_half"}) {
    const Json& value = summary.at(key);
    if (!value.is_null()) value.get<double>();
    out[key] = value;
  }
  return out;
}

/// What a file says of each feature.
using Rows = std::map<int64_t, const Json*>;

/// Reads `file` and calls read(json, rows).
template <typename Read>
void read_features(const std::filesystem::path& file, const std::string& model,
                   int64_t feature_count, Read read) {
  const Json json = read_stage_json(file);
  try {
    if (json.contains("model") && json.at("model") != model) {
      throw Error(fmt::format("{}: of the model {}, but {} was expected", file.string(),
                              in_quotes(json.at("model").get<std::string>()), in_quotes(model)));
    }
    Rows rows;
    for (const Json& row : json.at("features")) {
      const auto feature = row.at("feature").get<int64_t>();
      const bool known = feature >= 0 && feature < feature_count;
      if (known && rows.emplace(feature, &row).second) continue;
      throw Error(
          fmt::format("{}: feature {} of {}, which {}; was the file made from another autoencoder?",
                      file.string(), feature, in_quotes(model),
                      known ? std::string("stands there twice")
                            : fmt::format("has {} features", feature_count)));
    }
    read(json, rows);
  } catch (const Json::exception& reason) {
    refuse_stage_file(file, reason);
  }
}

}  // namespace

std::pair<Json, Json> explanation_payload(const ReportModel& model, int64_t feature_count) {
  if (model.explanations.empty() && model.language_model_explanations.empty()) return {};
  Json summary = {{"threshold_tokens", nullptr}, {"summary", nullptr},
                  {"references", Json::array()}, {"groups", Json::object()},
                  {"path_groups", nullptr},      {"corpus_groups", nullptr},
                  {"language_model", 0}};
  Json features = Json::array(), language_model = Json::array();
  if (!model.explanations.empty()) {
    read_features(
        model.explanations, model.name, feature_count, [&](const Json& json, const Rows& rows) {
          summary["threshold_tokens"] = json.at("threshold_tokens").get<int64_t>();
          summary["summary"] = scores_of(json.at("summary"));
          for (const Json& reference : json.at("references")) {
            Json scores = scores_of(reference);
            scores["name"] = reference.at("name").get<std::string>();
            summary["references"].push_back(std::move(scores));
          }
          summary["groups"] = shares(json.at("groups"));
          for (const char* key : {"path_groups", "corpus_groups"}) {
            if (!json.contains(key) || json.at(key).is_null()) continue;
            summary[key] = Json::object();
            for (const auto& [name, groups] : json.at(key).items())
              summary[key][name] = shares(groups);
          }
          for (const auto& [feature, row] : rows) {
            features.push_back({feature, row->at("text").get<std::string>(), score(*row, "score"),
                                score(*row, "spearman"), score(*row, "token_score"),
                                row->at("group").get<std::string>()});
          }
        });
  }
  if (!model.language_model_explanations.empty()) {
    read_features(model.language_model_explanations, model.name, feature_count,
                  [&](const Json&, const Rows& rows) {
                    for (const auto& [feature, row] : rows) {
                      if (row->at("explanation").is_null()) continue;  // no usable reply
                      language_model.push_back({feature, row->at("explanation").get<std::string>(),
                                                score(*row, "simulation_score"),
                                                score(*row, "detection"), score(*row, "fuzzing")});
                    }
                  });
    summary["language_model"] = language_model.size();
  }
  return {summary, {{"features", features}, {"language_model", language_model}}};
}

Json logit_payload(const ReportModel& model, int64_t feature_count, int64_t vocabulary,
                   size_t count) {
  Json weights(static_cast<size_t>(feature_count), nullptr);
  const std::filesystem::path& file = model.logit_weights;
  read_features(file, model.name, feature_count, [&](const Json&, const Rows& rows) {
    for (const auto& [feature, row] : rows) {
      Json sides = Json::array();
      for (const char* key : {"promoted", "suppressed"}) {
        auto ids = row->at(key).get<std::vector<int64_t>>();
        for (const int64_t id : ids) {
          if (id >= 0 && id < vocabulary) continue;
          throw Error(
              fmt::format("{}: token {} of feature {}, expected one of the {} tokens of the "
                          "vocabulary; was the file made with another tokenizer?",
                          file.string(), id, feature, vocabulary));
        }
        if (ids.size() > count) ids.resize(count);
        sides.push_back(ids);
      }
      weights[static_cast<size_t>(feature)] = std::move(sides);
    }
  });
  return weights;
}

}  // namespace featflow
