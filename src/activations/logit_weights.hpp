#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "autoencoder/autoencoder.hpp"
#include "checkpoint/checkpoint.hpp"

namespace featflow {

/// What a dictionary vector adds to the residual stream, v_j = W_down d_j at a tap
/// `blocks.L.mlp.hook_post`, v_j = d_j at the others, which lie in the stream: [features, hidden].
/// Throws Error for a tap that the model does not have or an autoencoder of another width.
std::vector<float> residual_directions(const Checkpoint& checkpoint, const Autoencoder& autoencoder,
                                       const std::string& tap, std::span<const int32_t> features);

/// Logit weights, the direct path through the head (no layer in between): U (g ∘ v_j) with the
/// head's U [vocab, hidden] and the final norm's weight g; [features, vocab]. The norm's division
/// by the root mean square of its input is left out: it depends on the token, is positive and the
/// same for all of the vocabulary, so neither order nor correlation sees it. Throws as above.
std::vector<float> logit_weights(const Checkpoint& checkpoint, const Autoencoder& autoencoder,
                                 const std::string& tap, std::span<const int32_t> features);

/// The tokens that a feature speaks for and against, by logit weight.
struct LogitTokens {
  std::vector<int32_t> promoted;    ///< Ids, largest weight first; ties go to the lower id.
  std::vector<int32_t> suppressed;  ///< Ids, smallest weight first.
  std::vector<float> promoted_weights, suppressed_weights;  ///< Of these ids.
};

/// For each of `features`, in blocks: never more than 64 rows of the vocabulary at a time.
std::vector<LogitTokens> top_logit_tokens(const Checkpoint& checkpoint,
                                          const Autoencoder& autoencoder, const std::string& tap,
                                          std::span<const int32_t> features, int64_t count = 8);

}  // namespace featflow
