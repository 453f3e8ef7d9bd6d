#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "autoencoder/trainer.hpp"
#include "checkpoint/model_config.hpp"
#include "corpus/corpus.hpp"
#include "tokens/tokenizer.hpp"
#include "training/schedule.hpp"

namespace featflow {

/// A study file, read and checked: a family of models of any shape. Each struct's fields are
/// listed once more in fields.hpp, which serves parsing, fingerprints and command-line flags.

struct TokenizerSettings {
  TokenizerConfig training;
  std::string path;  ///< An existing tokenizer.model instead of training one.
};

struct MergeSettings {
  std::string method = "slerp";
  std::vector<std::string> parents;  ///< Two names: t = 0 is the first, t = 1 the second.
  double t = -1;                     ///< Negative: at the balance point (definitions 19).
  int64_t steps = 51;                ///< Grid points of the sweep.
  // Of methods that add task vectors:
  double scale = -1;  ///< λ; negative: default_scale().
  double density = 1;
  std::string rescale = "l1_norm";
  std::string balance = "accuracy";  ///< Equal on both texts at the balance point; or "gain".
  /// Other methods on the same parents, each at its own balance point, and what they retain.
  std::vector<std::string> compare;
  double compare_density = 0.5;       ///< Of ties and dare_* among them.
  int64_t retained_tokens = 200'000;  ///< Of the matching text, for the features they retain.

  bool balanced() const { return t < 0; }
};

struct ModelSettings {
  std::string name;
  std::string parent;           ///< Fine-tuned from this model; empty: from scratch.
  std::string path;             ///< A Hugging Face folder to load instead of training.
  bool random_weights = false;  ///< Initialised, never trained (definitions 16).
  /// A control (definitions 17) stands beside this model and is no member of the family: the same
  /// training with another seed, the fine-tunes' schedule on the base's own text, random weights.
  std::string control_of;
  std::map<std::string, double> corpora;  ///< Shares of tokens.
  TrainingConfig training;                ///< [training] overlaid with [model.NAME.training].
  MergeSettings merge;                    ///< Two parents: a merged model.
  /// Share of extra training steps on its own data, after which its gain is measured: the sign
  /// of an under-trained model. 0: not measured.
  double extension_share = 0;

  bool merged() const { return !merge.parents.empty(); }
  bool loaded() const { return !path.empty(); }
  bool control() const { return !control_of.empty(); }
  std::vector<std::string> parents() const;
};

struct AutoencoderSettings {
  AutoencoderTraining training;
  std::string tap;  ///< Empty: blocks.L.mlp.hook_post of the last layer.
  int64_t block_size = 24;
  int64_t batch_blocks = 128;
  int64_t tokens = 15'000'000;
  std::string mixture = "equal";  ///< Over the corpora seen: "equal", or "tokens" (the paper).
  int64_t evaluation_tokens = 200'000;      ///< Held-out sample for L0, error and dead features.
  int64_t explained_loss_tokens = 100'000;  ///< Of it, for explained loss (five passes).
  /// λ values of extra autoencoders on the first model, for the table λ, L0, explained loss.
  std::vector<double> l1_table;
};

struct EvaluationSettings {
  int64_t tokens = 0;        ///< Of each corpus's validation split; 0: all.
  int64_t sweep_tokens = 0;  ///< The same, for every grid point of a sweep.
};

struct MatchingSettings {
  int64_t tokens = 3'000'000;  ///< In all, equal per corpus.
  double threshold = 0.8;      ///< τ
  double floor = 0.3;          ///< Pairs below it are not stored.
  std::string memory = "2GiB";
  int64_t minimum_tokens = 30;  ///< A measurable feature (definitions 9).
  int64_t minimum_documents = 10;
  int64_t permutations = 1;  ///< Of A's rows, for the null count beside each edge.
  int64_t groups = 50;       ///< Of documents, for cross-fitting each edge; 0: none.
  int64_t resamples = 1000;  ///< Of the groups, for its interval.
};

/// What makes shares believable (definitions 14 to 18): each is optional, and its cost is in the
/// plan. Edges are written "PARENT--CHILD"; "all" means every edge of the family.
struct ControlSettings {
  std::vector<std::string> ceilings;   ///< Edges with further autoencoders and verdicts.
  std::vector<std::string> nulls;      ///< Edges with nulls and p-values.
  int64_t null_runs = 20;              ///< R, of the nulls that are drawn.
  double false_discovery_rate = 0.05;  ///< Of Benjamini and Hochberg.
  /// Features of each class and edge whose effects are compared (definitions 18); 0: none.
  int64_t causal_features = 0;
  int64_t causal_blocks = 64;  ///< Blocks of text per pair of features.
};

struct CaseStudySettings {
  std::vector<std::string> tokens;  ///< Hypotheses "feature of this token": "=", "except".
};

struct ReportSettings {
  int64_t examples = 12;        ///< Top activating examples a feature.
  int64_t context_tokens = 12;  ///< Shown on each side.
};

struct Study {
  std::string name;
  uint64_t seed = 42;
  std::filesystem::path folder;  ///< Relative paths in the file start here.
  std::vector<CorpusConfig> corpora;
  TokenizerSettings tokenizer;
  ModelConfig architecture;
  EvaluationSettings evaluation;
  std::vector<ModelSettings> models;  ///< Parents before children.
  AutoencoderSettings autoencoder;
  MatchingSettings matching;
  ControlSettings controls;
  CaseStudySettings case_studies;
  ReportSettings report;

  const ModelSettings& model(const std::string& model_name) const;
  /// The models that are no controls.
  std::vector<ModelSettings> family() const;
  /// Edges from parent to child within the family.
  std::vector<std::pair<std::string, std::string>> edges() const;
  /// Corpora that a model and its ancestors were trained on, in the order of the file.
  std::vector<std::string> corpora_seen(const std::string& model_name) const;
  bool is_ancestor(const std::string& ancestor, const std::string& descendant) const;
};

/// "PARENT--CHILD": how artefacts and settings name an edge.
std::string edge_name(const std::string& parent, const std::string& child);
/// Whether a setting's list of edges has this one; "all" has every one.
bool names_edge(const std::vector<std::string>& edges, const std::string& parent,
                const std::string& child);

/// Reads a study. `overrides` are "a.b=value" (--set), values as TOML, bare words as strings.
/// Throws Error naming file, line and key: TOML syntax, unknown keys (with the nearest known
/// one), wrong types, values out of range, parents or corpora that do not exist, cycles.
Study read_study(const std::filesystem::path& file, const std::vector<std::string>& overrides = {});
/// The same from text; `where` is named in errors.
Study parse_study(const std::string& toml_text, const std::string& where,
                  const std::filesystem::path& folder,
                  const std::vector<std::string>& overrides = {});

/// "2GiB", "512MiB", "1000000" → bytes. Throws Error.
int64_t parse_bytes(const std::string& text, const std::string& where);

}  // namespace featflow
