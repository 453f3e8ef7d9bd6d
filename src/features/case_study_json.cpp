#include <cmath>
#include <nlohmann/json.hpp>

#include "features/case_study.hpp"

namespace featflow {
namespace {

using Json = nlohmann::ordered_json;

Json finite(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
Json finite(const std::optional<double>& value) { return value ? finite(*value) : Json(nullptr); }

Json json_of(const std::optional<TokenSetScore>& score) {
  if (!score) return nullptr;
  return {{"feature", score->feature},
          {"active_tokens", score->active_tokens},
          {"active_in_set", score->active_in_set},
          {"mass", score->mass},
          {"share", score->share},
          {"bits", finite(score->bits)},
          {"nats", finite(score->nats)},
          {"active_bits", finite(score->active_bits)},
          {"elsewhere", finite(score->elsewhere)},
          {"correlation", finite(score->correlation)}};
}

}  // namespace

std::string case_study_json(const CaseStudy& study) {
  Json models = Json::array(), correlations = Json::array(), edges = Json::array();
  for (size_t i = 0; i < study.models.size(); ++i) {
    models.push_back({{"name", study.models[i]}, {"best", json_of(study.best[i])}});
  }
  for (const CaseStudy::Pair& pair : study.correlations) {
    correlations.push_back(
        {{"a", pair.a}, {"b", pair.b}, {"correlation", finite(pair.correlation)}});
  }
  for (const CaseStudyEdge& edge : study.edges) {
    edges.push_back({{"parent", edge.parent},
                     {"child", edge.child},
                     {"correlation", finite(edge.correlation)},
                     {"persists", edge.persists},
                     {"strongest", json_of(edge.strongest)},
                     {"strongest_correlation",
                      edge.strongest ? finite(edge.strongest_correlation) : Json(nullptr)}});
  }
  const Json json = {{"label", study.label},
                     {"threshold", study.threshold},
                     {"probability", study.probability},
                     {"bound_bits", finite(study.bound_bits)},
                     {"occurrences", study.occurrences},
                     {"models", std::move(models)},
                     {"correlations", std::move(correlations)},
                     {"mean_correlation", finite(study.mean_correlation)},
                     {"edges", std::move(edges)},
                     {"persists", study.persists}};
  // Token text may be a part of a UTF-8 sequence.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace featflow
