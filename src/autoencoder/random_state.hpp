#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "autoencoder/kernels.hpp"
#include "autoencoder/training_state.hpp"
#include "core/error.hpp"
#include "core/rng.hpp"

// For the tests of training steps, and them only.
namespace featflow {

inline std::vector<float> random_values(int64_t count, double deviation, Rng& rng) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(deviation * rng.normal());
  return values;
}

/// The largest difference, relative to the largest value of `b`; NaN if any is NaN.
template <typename A, typename B>
double relative_difference(const std::vector<A>& a, const std::vector<B>& b) {
  FEATFLOW_CHECK(a.size() == b.size(), "values to compare");
  double difference = 0, largest = 1e-30;
  for (size_t i = 0; i < b.size(); ++i) {
    const double apart = std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (std::isnan(apart)) return apart;
    difference = std::max(difference, apart);
    largest = std::max(largest, std::fabs(static_cast<double>(b[i])));
  }
  return difference / largest;
}

/// Random weights; `bias` moves how many features are active.
inline TrainingState random_state(int64_t n, int64_t m, double bias, uint64_t seed) {
  Rng rng(seed);
  TrainingState state;
  Autoencoder& w = state.weights;
  w.input_size = n;
  w.feature_count = m;
  w.encoder_weight = random_values(m * n, 1 / std::sqrt(n), rng);
  w.encoder_bias = random_values(m, 0.3, rng);
  for (float& b : w.encoder_bias) b += static_cast<float>(bias);
  w.decoder_weight = random_values(m * n, 1, rng);
  for (int64_t j = 0; j < m; ++j) {
    float* row = w.decoder_weight.data() + j * n;
    multiply(1 / std::sqrt(dot(row, row, n)), row, n);
  }
  w.decoder_bias = random_values(n, 0.5, rng);
  for (Autoencoder* moment : {&state.moment1, &state.moment2}) {
    *moment = w;
    for (auto* values : {&moment->encoder_weight, &moment->encoder_bias, &moment->decoder_weight,
                         &moment->decoder_bias}) {
      std::ranges::fill(*values, 0.0f);
    }
  }
  state.last_active.assign(static_cast<size_t>(m), 0);
  state.moment_start.assign(static_cast<size_t>(m), 0);
  return state;
}

}  // namespace featflow
