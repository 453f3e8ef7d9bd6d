#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "model/model.hpp"
#include "model/parameters.hpp"

namespace featflow {

/// Loss and gradients of a language model. Weights and gradients are flat arrays laid out by
/// layout(), so that the optimiser sees two arrays and nothing of the network.
class Backpropagation {
 public:
  /// `model` keeps its weights and is changed in place by whoever writes to weights().
  explicit Backpropagation(Model& model);
  ~Backpropagation();

  /// Mean cross-entropy in nats of every next token of ids [batch, time]; afterwards gradients()
  /// holds its gradient. The head and its loss go through in chunks of `head_chunk` tokens, forward
  /// and backward together; the trunk through autograd. A loss that is not finite is returned
  /// without gradients.
  double run(std::span<const int32_t> ids, int64_t batch, int64_t time, int64_t head_chunk);

  const ParameterLayout& layout() const;
  std::span<float> weights();
  std::span<const float> gradients() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace featflow
