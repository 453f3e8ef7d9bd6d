#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "storage/artifact.hpp"

namespace featflow {

/// What a stage's `run` gets to work with.
struct StageContext {
  std::filesystem::path folder;  ///< Where it writes; holds its checkpoints if resumed.
  bool resumed = false;
  /// Folder of an input artefact, "tokens/english". Only declared inputs.
  std::function<std::filesystem::path(const std::string& id)> input;
};

/// One node of the study: reads artefacts, writes one artefact RUN/<kind>/<name>/.
struct Stage {
  std::string kind;           ///< "autoencoder"
  std::string name;           ///< "Lua"
  int version = 1;            ///< Raised when the stage's result for the same config changes.
  std::string config = "{}";  ///< Canonical JSON of everything it reads.
  std::vector<std::string> inputs = {};              ///< Ids of earlier stages.
  std::map<std::string, std::string> external = {};  ///< Name → content hash of outside files.
  double estimated_seconds = 0;
  int64_t estimated_bytes = 0;   ///< On disk.
  int64_t estimated_memory = 0;  ///< Bytes in use while it runs, beside the process itself.
  std::function<void(const StageContext&)> run = {};

  std::string id() const { return kind + "/" + name; }
};

enum class StageState { kReady, kKept, kPartial, kStale, kMissing };

struct StageStatus {
  const Stage* stage = nullptr;
  ArtifactIdentity identity;
  StageState state = StageState::kMissing;
  std::string reason;  ///< Why it must run (a kept one: be put back): "l1_coefficient 3e-4 → 5e-4",
                       ///< "not built yet".
  bool to_do() const { return state != StageState::kReady && state != StageState::kKept; }
};

/// Stages in an order in which every input comes first. Fingerprints follow from the study alone,
/// so the whole plan is known before anything runs.
class StageGraph {
 public:
  /// Inputs must have been added before.
  void add(Stage stage);
  const std::vector<Stage>& stages() const { return stages_; }
  std::filesystem::path folder(const std::filesystem::path& run, const std::string& id) const;

  /// State of every stage in `run` (which need not exist). `until`: a kind or an id; only what it
  /// needs, and what comes before it, is listed. Empty: all. Throws Error naming the nearest.
  std::vector<StageStatus> plan(const std::filesystem::path& run,
                                const std::string& until = {}) const;

  /// Runs what is not ready, in order. After each stage a line is appended to RUN/timings.jsonl.
  void execute(const std::filesystem::path& run, const std::string& until = {}) const;

 private:
  std::vector<Stage> stages_;
};

/// What differs between two identities of one artefact, one short line.
std::string describe_change(const ArtifactIdentity& before, const ArtifactIdentity& after);

}  // namespace featflow
