#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "autoencoder/trainer.hpp"
#include "autoencoder/training_state.hpp"
#include "checkpoint/checkpoint.hpp"

namespace featflow::bench {

// What one would write in LibTorch: the sides that FeatFlow's own steps are held against. Same
// BLAS, threads and allocator.

/// One training step of an autoencoder after another, dense: autograd of definitions 2's loss, the
/// projection and norms of definitions 3, Adam by in-place operations on tensors.
class TorchAutoencoder {
 public:
  TorchAutoencoder(const AutoencoderTraining& config, const TrainingState& state);
  ~TorchAutoencoder();
  /// x [rows, n]; returns the loss before the update.
  double step(std::span<const float> x, int64_t rows);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// One training step of a language model after another: eager operations, autograd, all logits at
/// once, torch::nn::utils::clip_grad_norm_ and torch::optim::AdamW.
class TorchLanguageModel {
 public:
  explicit TorchLanguageModel(const Checkpoint& start);
  ~TorchLanguageModel();
  /// ids [batch, time]; returns the mean cross-entropy before the update.
  double step(std::span<const int32_t> ids, int64_t batch, int64_t time, double learning_rate);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace featflow::bench
