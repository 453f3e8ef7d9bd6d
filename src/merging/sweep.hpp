#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "checkpoint/document_scores.hpp"
#include "merging/balance.hpp"
#include "merging/merge.hpp"

namespace featflow {

/// Scores a model on the validation text of parent A (0) or of parent B (1). Must be a function of
/// the weights alone: always the same documents in the same order.
using Evaluate = std::function<DocumentScores(const Checkpoint& model, int which)>;

struct SweepConfig {
  MergeOptions merge;
  int steps = 51;  ///< Points of the even grid over [0, 1], both ends included.
  ParentNames names;
  std::string base_name = "base";
  BalanceRule balance = BalanceRule::kAccuracy;
  BootstrapOptions bootstrap;  ///< Of the documents, for the balance point's interval.
};

struct SweepResult {
  std::vector<CurvePoint> curve;  ///< [steps]
  /// A and B themselves: the ends of the curve, but not with every method.
  PairScores parent_a, parent_b;
  std::optional<PairScores> base;   ///< Of the model both parents were fine-tuned from, if given.
  Balance balance;                  ///< Chosen on the even documents of each text.
  BalanceInterval interval;         ///< On the same documents.
  Balance balance_of_all;           ///< On all documents: its interval is narrower, but no document
  BalanceInterval interval_of_all;  ///< is left to report on, so no model is merged there.
  PairScores merged;                ///< Of the model merged at balance.t.
  std::vector<TensorReport> tensors;  ///< Of the same model.
  std::vector<std::string> warnings;  ///< balance.warning, and each text on which the base wins.
};

/// Merges a and b at every t of the grid and scores each merge on both validation texts (the
/// paper's Figure 5), with the base's and the parents' own scores beside it; then finds the
/// balance point and scores the model merged there too. `base` may be null unless the method needs
/// it.
///
/// Writes into `work_folder`:
///   sweep.csv             t, accuracy_a, accuracy_b, loss_a, loss_b (nats per position)
///   sweep.json            method, direction, baselines, curve, balance, tensors, warnings
///   scores.safetensors    per document and grid point, for bootstraps: `t` [steps] F64 and, for
///                         each text x of a, b: `x.predicted` [documents] I64, `x.correct`
///                         [steps, documents] I64, `x.loss` [steps, documents] F64 (summed nats);
///                         `base.x.correct`, `base.x.loss`, `balance.x.correct`, `balance.x.loss`
///                         [documents]; metadata `balance_t`, `method`, `direction`
/// While it runs, sweep.progress there keeps every finished evaluation: a run that was stopped
/// goes on from it if parents, base, method, steps and names are the same, and the files have the
/// same bytes as those of a run never stopped. The texts behind `evaluate` are the caller's to keep
/// the same (changed ones are noticed where they change the counts).
///
/// Throws Error as merge_curve and find_balance do, if gains are to be balanced without a base, if
/// a text has no prediction in one of its halves, or if a loss is not finite; Interrupted between
/// evaluations.
SweepResult sweep(const Checkpoint& a, const Checkpoint& b, const Checkpoint* base,
                  const SweepConfig& config, const Evaluate& evaluate,
                  const std::filesystem::path& work_folder);

}  // namespace featflow
