#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "checkpoint/checkpoint.hpp"

namespace featflow {

/// The head U [vocab, hidden]: the embedding where the two are tied.
const Tensor& output_head(const Checkpoint& checkpoint);

/// Cross-entropy (nats) of targets[r] from rows of the residual stream behind the last layer,
/// through the final norm and the head. residual [rows, hidden], targets [rows] → [rows].
std::vector<float> residual_loss(const Checkpoint& checkpoint, std::span<const float> residual,
                                 std::span<const int32_t> targets);

}  // namespace featflow
