#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "autoencoder/autoencoder.hpp"

namespace featflow {

/// The training step of definitions 1-3, written out in float64 with plain loops over everything:
/// slow, and independent of the engine. For tests only.
struct DenseOracle {
  using Matrix = std::vector<double>;
  struct Parameters {
    Matrix encoder_weight, encoder_bias, decoder_weight, decoder_bias;
    std::vector<Matrix*> all() {
      return {&encoder_weight, &encoder_bias, &decoder_weight, &decoder_bias};
    }
  };

  size_t n = 0, m = 0;
  Parameters weights, gradient, moment1, moment2;
  double scale = 1, l1_coefficient = 0;
  bool center_elements = false;
  double learning_rate = 0, beta1 = 0.9, beta2 = 0.9999, epsilon = 1e-8;
  int64_t steps = 0;

  explicit DenseOracle(const Autoencoder& a)
      : n(static_cast<size_t>(a.input_size)), m(static_cast<size_t>(a.feature_count)) {
    const auto copy = [](const std::vector<float>& v) { return Matrix(v.begin(), v.end()); };
    weights = {copy(a.encoder_weight), copy(a.encoder_bias), copy(a.decoder_weight),
               copy(a.decoder_bias)};
    for (Parameters* p : {&gradient, &moment1, &moment2}) {
      *p = {Matrix(m * n), Matrix(m), Matrix(m * n), Matrix(n)};
    }
  }

  /// Loss of x [rows, n]; with `differentiate`, also its gradient (not projected).
  double loss(std::span<const float> x, bool differentiate) {
    const size_t rows = x.size() / n;
    const auto tokens = static_cast<double>(rows), width = static_cast<double>(n);
    if (differentiate) {
      for (Matrix* g : gradient.all()) g->assign(g->size(), 0);
    }
    double total = 0;
    for (size_t t = 0; t < rows; ++t) {
      Matrix target(n), input(n), f(m), x_hat = weights.decoder_bias;
      double mean = 0;
      for (size_t i = 0; i < n; ++i) {
        target[i] = scale * static_cast<double>(x[t * n + i]);
        mean += target[i] / width;
      }
      for (size_t i = 0; i < n; ++i) {
        input[i] = target[i] - (center_elements ? mean : 0) - weights.decoder_bias[i];
      }
      double squared = 0, l1 = 0;
      for (size_t j = 0; j < m; ++j) {
        double pre = weights.encoder_bias[j];
        for (size_t i = 0; i < n; ++i) pre += weights.encoder_weight[j * n + i] * input[i];
        f[j] = pre > 0 ? pre : 0;
        l1 += f[j];
        for (size_t i = 0; i < n; ++i) x_hat[i] += f[j] * weights.decoder_weight[j * n + i];
      }
      for (size_t i = 0; i < n; ++i) squared += (x_hat[i] - target[i]) * (x_hat[i] - target[i]);
      total += (squared / width + l1_coefficient * l1) / tokens;
      if (!differentiate) continue;
      for (size_t i = 0; i < n; ++i) {
        gradient.decoder_bias[i] += 2 * (x_hat[i] - target[i]) / (width * tokens);
      }
      for (size_t j = 0; j < m; ++j) {
        double df = l1_coefficient / tokens;
        for (size_t i = 0; i < n; ++i) {
          const double g = 2 * (x_hat[i] - target[i]) / (width * tokens);
          df += g * weights.decoder_weight[j * n + i];
          gradient.decoder_weight[j * n + i] += g * f[j];
        }
        if (f[j] == 0) continue;
        gradient.encoder_bias[j] += df;
        for (size_t i = 0; i < n; ++i) {
          gradient.encoder_weight[j * n + i] += df * input[i];
          gradient.decoder_bias[i] -= df * weights.encoder_weight[j * n + i];
        }
      }
    }
    return total;
  }

  /// Takes the component of each dictionary vector's gradient along the vector away.
  void project() {
    for (size_t j = 0; j < m; ++j) {
      double along = 0;
      for (size_t i = 0; i < n; ++i) {
        along += gradient.decoder_weight[j * n + i] * weights.decoder_weight[j * n + i];
      }
      for (size_t i = 0; i < n; ++i) {
        gradient.decoder_weight[j * n + i] -= along * weights.decoder_weight[j * n + i];
      }
    }
  }

  double step(std::span<const float> x) {
    const double before = loss(x, true);
    project();
    ++steps;
    const double correction1 = 1 - std::pow(beta1, static_cast<double>(steps));
    const double correction2 = 1 - std::pow(beta2, static_cast<double>(steps));
    for (size_t k = 0; k < 4; ++k) {
      Matrix &w = *weights.all()[k], &g = *gradient.all()[k];
      Matrix &m1 = *moment1.all()[k], &m2 = *moment2.all()[k];
      for (size_t i = 0; i < w.size(); ++i) {
        m1[i] = beta1 * m1[i] + (1 - beta1) * g[i];
        m2[i] = beta2 * m2[i] + (1 - beta2) * g[i] * g[i];
        w[i] -= learning_rate * (m1[i] / correction1) / (std::sqrt(m2[i] / correction2) + epsilon);
      }
    }
    for (size_t j = 0; j < m; ++j) {
      double square = 0;
      for (size_t i = 0; i < n; ++i) square += std::pow(weights.decoder_weight[j * n + i], 2);
      for (size_t i = 0; i < n; ++i) weights.decoder_weight[j * n + i] /= std::sqrt(square);
    }
    return before;
  }
};

}  // namespace featflow
