#include "autoencoder/step_rates.hpp"

#include <cmath>

namespace featflow {

StepRates rates_at(const AutoencoderTraining& config, int64_t step) {
  const auto at = static_cast<double>(step), steps = static_cast<double>(config.steps);
  StepRates rates{config.learning_rate, config.l1_coefficient};
  if (step < config.warmup_steps) {
    rates.learning_rate *= (at + 1) / static_cast<double>(config.warmup_steps);
  }
  const double decay = std::floor(config.decay_share * steps);
  if (steps - at < decay) rates.learning_rate *= (steps - at) / decay;
  const double l1_warmup = std::floor(config.l1_warmup_share * steps);
  if (at < l1_warmup) rates.l1_coefficient *= (at + 1) / l1_warmup;
  return rates;
}

}  // namespace featflow
