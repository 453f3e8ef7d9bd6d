#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "checkpoint/document_scores.hpp"
#include "merging/merge.hpp"

namespace featflow {

/// Scores a model on the validation text of parent A (0) or of parent B (1). Must be a function of
/// the weights alone: always the same documents in the same order.
using Evaluate = std::function<DocumentScores(const Checkpoint& model, int which)>;

struct PairScores {
  DocumentScores a, b;  ///< On A's and on B's validation text.
};

struct CurvePoint {
  double t = 0;
  PairScores scores;
};

/// Where the two accuracies meet (definitions 19).
struct Balance {
  double t = 0;
  int64_t crossings = 0;               ///< Of the chosen half's curve.
  std::optional<std::string> warning;  ///< If there is no crossing, or more than one.
};

struct SweepConfig {
  MergeOptions merge;
  int steps = 51;  ///< Points of the even grid over [0, 1], both ends included.
  ParentNames names;
  std::string base_name = "base";
};

struct SweepResult {
  std::vector<CurvePoint> curve;  ///< [steps]
  /// A and B themselves: the ends of the curve, but not with every method.
  PairScores parent_a, parent_b;
  std::optional<PairScores> base;  ///< Of the model both parents were fine-tuned from, if given.
  Balance balance;
  PairScores merged;                  ///< Of the model merged at balance.t.
  std::vector<TensorReport> tensors;  ///< Of the same model.
  std::vector<std::string> warnings;  ///< balance.warning, and each text on which the base wins.
};

/// Every t at which the piecewise linear curve through (t[i], difference[i]) is zero, ascending.
/// A run of grid points that are exactly zero counts once, at its middle, whether or not the sign
/// changes across it. t ascends; nothing is NaN.
std::vector<double> crossings(std::span<const double> t, std::span<const double> difference);

/// Definitions 19: the t with accuracy_A(t) = accuracy_B(t), each measured on the even documents
/// (half 0) of its text, by linear interpolation between grid points; the odd documents are left
/// for reporting. With several crossings: the one nearest the middle of the grid (the lower of
/// two), and a warning. With none: the grid point of smallest |difference| (the lowest of equals),
/// and a warning.
Balance find_balance(const std::vector<CurvePoint>& curve, const ParentNames& names = {});

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
/// Throws Error as merge_curve does, if a text has no prediction in one of its halves, or if a loss
/// is not finite; Interrupted between evaluations.
SweepResult sweep(const Checkpoint& a, const Checkpoint& b, const Checkpoint* base,
                  const SweepConfig& config, const Evaluate& evaluate,
                  const std::filesystem::path& work_folder);

}  // namespace featflow
