#include <nlohmann/json.hpp>

#include "features/case_study.hpp"

namespace featflow {
namespace {

using Json = nlohmann::json;

// What is not finite (−∞ bits) becomes null: JSON has no infinity.
Json score_json(const std::optional<TokenSetScore>& score) {
  if (!score) return {{"feature", nullptr}};
  return {{"feature", score->feature},
          {"llr_bits", score->bits},
          {"llr_nats", score->nats},
          {"active_bits", score->active_bits},
          {"mass_share", score->share},
          {"times_more_active_elsewhere", score->elsewhere},
          {"active_tokens", score->active_tokens},
          {"active_on_hypothesis", score->active_in_set},
          {"correlation_with_hypothesis", score->correlation}};
}

Json to_json(const CaseStudy& study) {
  Json models = Json::array(), correlations = Json::array(), edges = Json::array();
  for (size_t i = 0; i < study.models.size(); ++i) {
    Json model = score_json(study.best[i]);
    model["model"] = study.models[i];
    models.push_back(std::move(model));
  }
  for (const CaseStudy::Pair& pair : study.correlations) {
    correlations.push_back({{"a", pair.a}, {"b", pair.b}, {"correlation", pair.correlation}});
  }
  for (const CaseStudyEdge& edge : study.edges) {
    edges.push_back({{"parent", edge.parent},
                     {"child", edge.child},
                     {"correlation", edge.correlation ? Json(*edge.correlation) : Json()},
                     {"persists", edge.persists},
                     {"strongest_correlation", edge.strongest_correlation},
                     {"strongest", score_json(edge.strongest)}});
  }
  return {{"hypothesis", study.label},
          {"threshold", study.threshold},
          {"token_share", study.probability},
          {"bound_bits", study.bound_bits},
          {"occurrences", study.occurrences},
          {"models", models},
          {"correlations", correlations},
          {"mean_correlation", study.mean_correlation ? Json(*study.mean_correlation) : Json()},
          {"edges", edges},
          {"persists", study.persists}};
}

}  // namespace

std::string case_studies_json(std::span<const CaseStudy> studies) {
  Json all = Json::array();
  for (const CaseStudy& study : studies) all.push_back(to_json(study));
  // Token text may be a part of a UTF-8 sequence.
  return all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace featflow
