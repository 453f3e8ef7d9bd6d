#pragma once

#include <cstdint>

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

}  // namespace featflow
