#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <utility>

#include "report/report.hpp"

namespace featflow {

/// What is said of a model's features, as the report shows it:
///   first (for the overview): {threshold_tokens, summary, references [summary's keys, + name],
///     groups, path_groups and corpus_groups {name: {group: share}} | null, language_model: number
///     of features}
///   second (a chunk of its own): {features [[feature, text, score, spearman, token_score, group]],
///     language_model [[feature, text, simulation, detection, fuzzing]]} by feature
/// Both are null if the model has neither file; scores and, without rules, the summary may be null.
/// Throws Error naming the file if it is malformed, is of another model, or has a feature twice or
/// one that the model does not have.
std::pair<nlohmann::ordered_json, nlohmann::ordered_json> explanation_payload(
    const ReportModel& model, int64_t feature_count);

/// logit_weights.json ({"model", "features": [{"feature", "promoted": [id…], "suppressed":
/// [id…]}]}) as [[promoted, suppressed]] by feature, at most `count` each; null where a feature has
/// none. Throws Error as above, and for a token that is not in the vocabulary.
nlohmann::ordered_json logit_payload(const ReportModel& model, int64_t feature_count,
                                     int64_t vocabulary, size_t count);

}  // namespace featflow
