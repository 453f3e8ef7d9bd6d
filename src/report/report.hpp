#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "features/statistics.hpp"

namespace featflow {

/// One model of the family. An empty path means that there is no such file.
struct ReportModel {
  std::string name;
  std::vector<std::string> parents;  ///< Names of models in the report.
  std::string kind;                  ///< "pre-trained", "fine-tuned", "merged" or "loaded".
  std::string method;                ///< Of a merge: "slerp, t = 0.58".
  std::vector<std::pair<std::string, double>> corpora;  ///< Shares of its training text.
  int64_t parameters = 0;
  int64_t tokens_trained = 0;
  std::filesystem::path metrics;     ///< metrics.jsonl of its training.
  std::filesystem::path evaluation;  ///< evaluation.json: {"corpora": {name: {"loss", …}}}.
  std::filesystem::path autoencoder_evaluation;  ///< eval.json of `sae eval`.
  std::filesystem::path activations;             ///< Feature activations on the matching text.
  std::filesystem::path explanations;            ///< explanations.json: rules and their scores.
  std::filesystem::path language_model_explanations;  ///< What a language model says instead.
  std::filesystem::path logit_weights;  ///< logit_weights.json: tokens promoted and suppressed.
};

/// A merge's sweep: the sweep.json of merging/sweep.hpp and what to call it.
struct ReportSweep {
  std::string name;
  std::filesystem::path file;
};

/// The control of an edge: how many of the parent's features still match when rows are shifted.
struct ReportNull {
  std::string parent, child;
  double persisting = 0;  ///< Mean over the shifts.
};

/// A model beside the family, and what its edge in the flow's "controls" compares.
struct ReportControl {
  enum class Nature {
    kAnotherSeed,    ///< Trained as the parent was, from another seed.
    kOwnText,        ///< Fine-tuned from the parent on the parent's own text.
    kRandomWeights,  ///< Never trained.
  };
  std::string parent, child;  ///< As in the flow; the child is the control.
  Nature nature = Nature::kAnotherSeed;
};

/// One merge by several methods: retained.json of the merged model, and the methods' sweeps, named
/// as there; any may be missing.
struct ReportComparison {
  std::filesystem::path file;
  std::vector<ReportSweep> sweeps;
};

/// How much text the report may hold. What was used is printed in the report.
struct ExampleBudget {
  int64_t examples = 12;     ///< At most so many top examples per feature,
  int64_t minimum = 2;       ///< fewer, but at least this many, if there are very many features:
  int64_t intervals = 5;     ///< and, if there is room, one of each fifth of its active tokens:
  int64_t bytes = 24 << 20;  ///< so many that the whole file is no larger than this, if it can be.
  int64_t before = 16;       ///< Tokens of context before an example's strongest token
  int64_t after = 10;        ///< and after it, within its document.
  int64_t tokens = 5;        ///< Top tokens by activation per feature.
  int64_t matches = 3;       ///< Best matches per feature and other model.
  int64_t coactive = 4;      ///< Features that are active along with a feature.
  int64_t paired = 48;       ///< If there is room: tokens of a feature's scatter with its match.
  int64_t logits = 6;        ///< Tokens that a feature promotes, and as many that it suppresses.
  int64_t samples = 3;       ///< Stretches of text per corpus with all active features,
  int64_t sample_tokens = 64;  ///< of so many tokens.
};

/// What the report is made from: the stage files, which are the truth, and plain facts.
struct ReportInputs {
  std::string study;
  std::vector<std::pair<std::string, std::string>> facts;  ///< Printed at the foot, in order.
  std::vector<std::string> warnings;                       ///< Printed at the top.
  std::vector<ReportModel> models;
  std::vector<ReportSweep> sweeps;
  std::filesystem::path flow;                  ///< flow.json, or empty.
  std::vector<ReportNull> nulls;               ///< Shown beside the flow's edges.
  std::vector<ReportControl> controls;         ///< What the flow's controls are.
  std::vector<ReportComparison> comparisons;   ///< Of merging methods.
  std::vector<std::filesystem::path> causal;   ///< causal.json of each edge checked.
  std::vector<std::filesystem::path> matches;  ///< Matches artefacts, in any order.
  std::filesystem::path tokens;        ///< The matching text; needed if a model has activations.
  std::filesystem::path tokenizer;     ///< tokenizer.model or its folder; likewise.
  std::filesystem::path case_studies;  ///< case_studies.json, or empty.
  std::filesystem::path lambda_table;  ///< JSON list of rows {"l1_coefficient", "l0", …}, or empty.
  MeasurableLimits limits;             ///< Used where there is no flow, which has its own.
  ExampleBudget budget;
};

/// Index of a model in `inputs.models`. Throws Error if `where`, a file, names one that is not
/// there.
int model_index(const ReportInputs& inputs, const std::string& name, const std::string& where);

/// Writes the report: one HTML file that needs no network and no other file. Its data are in
/// gzip + base64 chunks which the page decodes when they are asked for (payload.hpp). The same
/// inputs give the same bytes. Throws Error naming the file if a stage file is malformed or does
/// not fit the others.
void write_report(const ReportInputs& inputs, const std::filesystem::path& html);

}  // namespace featflow
