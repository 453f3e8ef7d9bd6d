#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "checkpoint/checkpoint.hpp"
#include "model/model.hpp"
#include "tokens/block_mixture.hpp"

namespace featflow {

/// How one language model is trained. Defaults are the paper's pre-training.
struct TrainingConfig {
  int64_t block_size = 256;
  int64_t batch_blocks = 16;
  int64_t tokens = 0;  ///< In all; rounded up to whole batches.
  double learning_rate = 6e-4;
  int64_t warmup_steps = 0;
  double minimum_rate_share = 0;  ///< The cosine falls to this share of learning_rate.
  double weight_decay = 0.1;      ///< Decoupled; of matrices (embeddings included), not of norms.
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double clip_norm = 1.0;          ///< Of all gradients together; 0: no clipping.
  int64_t head_chunk = 512;        ///< Tokens whose logits exist at a time.
  int64_t evaluate_every = 0;      ///< Steps between validations, and one at the end; 0: none.
  int64_t checkpoint_every = 100;  ///< Steps; no influence on results; 0: only on Ctrl-C.
};

/// ceil(tokens / (batch_blocks · block_size)); throws Error naming the key if one makes no sense.
int64_t training_steps(const TrainingConfig& config);

/// Of update `step` = 0, 1, …: learning_rate · step / warmup_steps while warming up (the first
/// update has rate 0), then half a cosine down to minimum_rate_share · learning_rate.
double learning_rate_at(const TrainingConfig& config, int64_t step, int64_t steps);

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
