#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "checkpoint/checkpoint.hpp"
#include "model/model.hpp"
#include "tokens/block_mixture.hpp"
#include "training/schedule.hpp"

namespace featflow {

struct ValidationScore {
  double loss = 0;      ///< Nats per token.
  double accuracy = 0;  ///< Share of positions where argmax is the next token.
};
/// Scores of the model after `step` updates, by corpus.
using Validation =
    std::function<std::map<std::string, ValidationScore>(const Model& model, int64_t step)>;

struct TrainedModel {
  Checkpoint checkpoint;
  int64_t steps = 0;
  int64_t tokens = 0;
  double final_loss = 0;         ///< Of the last batch, nats per token.
  double tokens_per_second = 0;  ///< Of this process (after a resume, of what was left to do).
};

/// Trains `start` on batches 0, 1, … of `text` (batch k is its blocks k·batch_blocks …) with AdamW
/// (Loshchilov and Hutter 2019) and clipping by the global norm. `text` must hold
/// training_steps · batch_blocks blocks.
///
/// Writes to `work_folder`: metrics.jsonl, one line per update {"step", "loss", "learning_rate",
/// "gradient_norm", "tokens"} and one per validation {"step", "validation": {…}}; and
/// kCheckpointFile, from which it goes on when it is called again: with the same thread count the
/// results are the same bytes, killed or not. It stays at the end, so that nothing is lost before
/// the caller has stored the result (ArtifactBuilder::commit deletes it). Ctrl-C saves and throws
/// Interrupted. A loss that is not finite throws Error.
TrainedModel train_model(const Checkpoint& start, const TrainingConfig& config,
                         const BlockMixture& text, const Validation& validate,
                         const std::filesystem::path& work_folder, const std::string& label);

}  // namespace featflow
