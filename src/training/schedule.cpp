#include "training/schedule.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/error.hpp"

namespace featflow {
namespace {

void require(bool condition, const char* key, double given, const char* expected) {
  if (!condition) {
    throw Error(fmt::format("training.{} is {}, expected {}", key, given, expected));
  }
}

void validate_config(const TrainingConfig& config) {
  const auto share = [](double value) { return value >= 0 && value < 1; };
  const auto size = [](int64_t value) { return static_cast<double>(value); };
  require(config.block_size >= 2, "block_size", size(config.block_size), "at least 2");
  require(config.batch_blocks >= 1, "batch_blocks", size(config.batch_blocks), "at least 1");
  require(config.tokens >= 1, "tokens", size(config.tokens), "at least 1");
  require(config.learning_rate > 0, "learning_rate", config.learning_rate, "more than 0");
  require(config.warmup_steps >= 0, "warmup_steps", size(config.warmup_steps), "0 or more");
  require(config.minimum_rate_share >= 0 && config.minimum_rate_share <= 1, "minimum_rate_share",
          config.minimum_rate_share, "a share from 0 to 1");
  require(config.weight_decay >= 0, "weight_decay", config.weight_decay, "0 or more");
  require(share(config.beta1), "beta1", config.beta1, "a share from 0 to below 1");
  require(share(config.beta2), "beta2", config.beta2, "a share from 0 to below 1");
  require(config.epsilon > 0, "epsilon", config.epsilon, "more than 0");
  require(config.clip_norm >= 0, "clip_norm", config.clip_norm, "0 (no clipping) or more");
  require(config.head_chunk >= 1, "head_chunk", size(config.head_chunk), "at least 1");
  require(config.evaluate_every >= 0, "evaluate_every", size(config.evaluate_every), "0 or more");
  require(config.checkpoint_every >= 0, "checkpoint_every", size(config.checkpoint_every),
          "0 or more");
}

}  // namespace

int64_t training_steps(const TrainingConfig& config) {
  validate_config(config);
  const int64_t batch = config.batch_blocks * config.block_size;
  return (config.tokens + batch - 1) / batch;
}

double learning_rate_at(const TrainingConfig& config, int64_t step, int64_t steps) {
  if (step < config.warmup_steps) {
    return config.learning_rate * static_cast<double>(step) /
           static_cast<double>(config.warmup_steps);
  }
  const double progress = static_cast<double>(step - config.warmup_steps) /
                          static_cast<double>(std::max<int64_t>(1, steps - config.warmup_steps));
  const double cosine = 0.5 * (1 + std::cos(std::numbers::pi * std::min(progress, 1.0)));
  const double floor = config.minimum_rate_share;
  return config.learning_rate * (floor + (1 - floor) * cosine);
}

}  // namespace featflow
