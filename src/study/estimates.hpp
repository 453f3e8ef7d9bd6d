#pragma once

#include <cstdint>

#include "checkpoint/model_config.hpp"

namespace featflow {

/// Rough times and memory for the plan. No influence on results.

/// From floating-point operations and this machine's sgemm rate (measured once).
double training_seconds(const ModelConfig& config, int64_t tokens);
double forward_seconds(const ModelConfig& config, int64_t tokens);
/// n inputs, m features: the encoder's product dominates the sparse step; early dense steps and
/// the rest are in the factor.
double autoencoder_seconds(int64_t n, int64_t m, int64_t tokens);
double encoding_seconds(int64_t n, int64_t m, int64_t tokens);

/// All pairs of two models' features on so many tokens, about 40 of each active.
double correlation_seconds(int64_t tokens);

/// Bytes of the process before a stage has done anything: LibTorch, BLAS and their buffers.
inline constexpr int64_t kProcessMemory = int64_t{230} << 20;
/// Weights, gradients, moments and the activations of a batch.
int64_t training_memory(const ModelConfig& config, int64_t batch_tokens);
int64_t autoencoder_memory(int64_t n, int64_t m, int64_t batch_tokens);
/// Feature activations of so many tokens, as read from their file.
int64_t activations_memory(int64_t tokens);

}  // namespace featflow
