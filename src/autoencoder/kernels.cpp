#include "autoencoder/kernels.hpp"

#include <cmath>

namespace featflow {

AdamStep::AdamStep(double learning_rate, double b1, double b2, double eps, int64_t age)
    : beta1(static_cast<float>(b1)),
      new1(static_cast<float>(1 - b1)),
      beta2(static_cast<float>(b2)),
      new2(static_cast<float>(1 - b2)),
      rate(static_cast<float>(learning_rate / (1 - std::pow(b1, static_cast<double>(age))))),
      root_scale(static_cast<float>(1 / std::sqrt(1 - std::pow(b2, static_cast<double>(age))))),
      epsilon(static_cast<float>(eps)) {}

}  // namespace featflow
