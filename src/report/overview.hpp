#pragma once

#include <exception>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>

#include "report/report.hpp"

namespace featflow {

/// A stage's JSON file, whole. Throws Error naming the file if it is malformed.
nlohmann::ordered_json read_stage_json(const std::filesystem::path& file);

/// Throws the Error of a stage's file that is JSON, but of another shape: what is missing in it.
[[noreturn]] void refuse_stage_file(const std::filesystem::path& file,
                                    const std::exception& reason);

/// Curves of at most `points` points out of a training's metrics.jsonl: {tokens, loss, averaged,
/// validation {corpus: {tokens, loss, accuracy}}}. A point is the mean of `averaged` consecutive
/// steps, placed at the last of them; a validation is placed at the tokens seen by its step.
nlohmann::ordered_json training_curves(const std::filesystem::path& metrics, size_t points = 400);

/// sweep.json as the report shows it: `tensors` are [name, cosine of the two parents' | null,
/// branch], and `branches` {branch: number of tensors}.
nlohmann::ordered_json sweep_summary(const std::filesystem::path& file);

/// retained.json as the report shows it, + curves [{name, method, points [[t, accuracy_a,
/// accuracy_b]]}] of the sweeps.
nlohmann::ordered_json comparison_summary(const ReportComparison& comparison);

/// causal.json as the report shows it: {parent, child, threshold, effect_correlation_bar,
/// cosine_bar, classes, pairs [{class, hypothesis | null, parent_feature, child_feature,
/// correlation, effect_correlation, cosine, logit_correlation, flagged}]}
nlohmann::ordered_json causal_summary(const std::filesystem::path& file);

}  // namespace featflow
