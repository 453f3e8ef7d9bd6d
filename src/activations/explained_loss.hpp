#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "autoencoder/autoencoder.hpp"
#include "model/model.hpp"
#include "tokens/token_shard.hpp"

namespace featflow {

/// Cross-entropy (nats per position) of one text with the tap left alone, replaced by its
/// reconstruction, by zero, and by its mean over the text (definitions 7).
struct ExplainedLoss {
  double original = 0, reconstructed = 0, zero_ablated = 0, mean_ablated = 0;
  int64_t positions = 0;

  /// (ablated − reconstructed) / (ablated − original).
  double zero() const { return (zero_ablated - reconstructed) / (zero_ablated - original); }
  double mean() const { return (mean_ablated - reconstructed) / (mean_ablated - original); }
};

/// On the first `max_tokens` of the shard in blocks of `block_size`, each seen by the model alone,
/// as in the autoencoder's training. BOS positions keep their activations in every variant, since
/// the autoencoder never sees them.
ExplainedLoss explained_loss(const Model& model, const Autoencoder& autoencoder,
                             const std::string& tap, const TokenShard& text, int64_t block_size,
                             int64_t max_tokens);

}  // namespace featflow
