#pragma once

#include <cstdint>

#include "checkpoint/model_config.hpp"

namespace featflow {

/// Rough times for the plan, from floating-point operations and this machine's sgemm rate
/// (measured once). No influence on results.
double training_seconds(const ModelConfig& config, int64_t tokens);
double forward_seconds(const ModelConfig& config, int64_t tokens);
/// n inputs, m features: the encoder's product dominates the sparse step; early dense steps and
/// the rest are in the factor.
double autoencoder_seconds(int64_t n, int64_t m, int64_t tokens);
double encoding_seconds(int64_t n, int64_t m, int64_t tokens);

}  // namespace featflow
