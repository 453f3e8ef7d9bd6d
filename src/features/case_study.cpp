#include "features/case_study.hpp"

#include <cmath>

#include "core/error.hpp"
#include "features/pearson.hpp"

namespace featflow {
namespace {

/// The rows of one feature without transposing the others.
FeatureColumns single_column(const FeatureActivations& activations, int64_t feature) {
  return transpose(activations.rows, {.first_feature = feature, .end_feature = feature + 1});
}

double correlation_of(const CaseStudyModel& a, int32_t feature_a, const CaseStudyModel& b,
                      int32_t feature_b) {
  const FeaturePair pair{feature_a, feature_b, 0};
  return pair_correlations(single_column(*a.activations, feature_a), *a.statistics,
                           single_column(*b.activations, feature_b), *b.statistics,
                           std::span(&pair, 1))[0];
}

/// The measurable feature of `child` that correlates most with one feature of `parent`.
std::pair<int64_t, double> strongest_partner(const CaseStudyModel& parent, int32_t feature,
                                             const CaseStudyModel& child,
                                             const MeasurableLimits& limits) {
  const int64_t m = child.activations->rows.feature_count;
  const FeatureColumns column = single_column(*parent.activations, feature);
  std::vector<double> products(m, 0);
  add_products(column.column(feature), PackedRows(child.activations->rows), products);
  const std::vector<double> parent_inverse = inverse_deviations(*parent.statistics);
  const std::vector<double> child_inverse = inverse_deviations(*child.statistics);
  const std::vector<uint8_t> usable = measurable(*child.statistics, limits);
  std::pair<int64_t, double> best{-1, -2};
  for (int64_t j = 0; j < m; ++j) {
    if (!usable[j]) continue;
    const double r =
        pearson(parent.statistics->row_count, products[j], parent.statistics->mass[feature],
                child.statistics->mass[j], parent_inverse[feature], child_inverse[j]);
    if (r > best.second) best = {j, r};
  }
  return best;
}

}  // namespace

CaseStudy case_study(const TokenSet& set, std::span<const CaseStudyModel> models,
                     std::span<const std::pair<int, int>> edges, std::span<const int32_t> stream,
                     const CaseStudyOptions& options) {
  FEATFLOW_CHECK(!models.empty(), "a case study needs a model");
  for (const CaseStudyModel& model : models) {
    require_same_rows(*models[0].activations, *model.activations);
  }
  const TokenSetRows rows = find_token_set(set, stream, models[0].activations->token_positions);
  CaseStudy study;
  study.label = set.label;
  study.threshold = options.threshold;
  study.probability = rows.probability;
  study.bound_bits = -std::log2(rows.probability);
  study.occurrences = std::ssize(rows.rows);
  study.rows = rows.row_count;
  std::vector<TokenSetScores> scores;
  for (const CaseStudyModel& model : models) {
    scores.push_back(token_set_scores(*model.activations, *model.statistics, rows));
    study.models.push_back(model.name);
    study.best.push_back(best_feature(scores.back(), *model.statistics, options.limits));
  }

  double sum = 0;
  for (size_t a = 0; a < models.size(); ++a) {
    for (size_t b = a + 1; b < models.size(); ++b) {
      if (!study.best[a] || !study.best[b]) continue;
      const double r =
          correlation_of(models[a], study.best[a]->feature, models[b], study.best[b]->feature);
      study.correlations.push_back({models[a].name, models[b].name, r});
      sum += r;
    }
  }
  if (!study.correlations.empty()) {
    study.mean_correlation = sum / static_cast<double>(study.correlations.size());
  }

  study.persists = !edges.empty();
  for (const auto& [parent, child] : edges) {
    CaseStudyEdge edge{models[parent].name, models[child].name, {}, false, {}, 0};
    if (study.best[parent] && study.best[child]) {
      edge.correlation = correlation_of(models[parent], study.best[parent]->feature, models[child],
                                        study.best[child]->feature);
      edge.persists = *edge.correlation >= options.threshold;
    }
    if (study.best[parent]) {
      const auto [feature, r] = strongest_partner(models[parent], study.best[parent]->feature,
                                                  models[child], options.limits);
      if (const TokenSetScore* score = scores[child].find(feature)) {
        edge.strongest = *score;
        edge.strongest_correlation = r;
      }
    }
    study.persists = study.persists && edge.persists;
    study.edges.push_back(std::move(edge));
  }
  return study;
}

}  // namespace featflow
