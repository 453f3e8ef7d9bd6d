#pragma once

#include <cstdint>

#include "autoencoder/trainer.hpp"

namespace featflow {

/// Schedules applied: what one step uses.
struct StepRates {
  double learning_rate = 0, l1_coefficient = 0;
};
StepRates rates_at(const AutoencoderTraining& config, int64_t step);

}  // namespace featflow
