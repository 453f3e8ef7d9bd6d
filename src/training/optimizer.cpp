#include "training/optimizer.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace featflow {
namespace {
// Parameters below which waking other threads costs more than they save.
constexpr int64_t kParallelWork = 1 << 15;
}  // namespace

double global_norm(std::span<const float> values) {
  constexpr int64_t kPart = 1 << 14;
  const int64_t parts = (std::ssize(values) + kPart - 1) / kPart;
  std::vector<double> sums(static_cast<size_t>(parts));
#pragma omp parallel for schedule(static) if (parts > 2)
  for (int64_t part = 0; part < parts; ++part) {
    const float* begin = values.data() + part * kPart;
    const int64_t count = std::min(kPart, std::ssize(values) - part * kPart);
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(begin[i]) * begin[i];
    sums[static_cast<size_t>(part)] = sum;
  }
  double total = 0;
  for (const double sum : sums) total += sum;
  return std::sqrt(total);
}

void AdamWUpdate::apply(std::span<float> weights, std::span<const float> gradients,
                        std::span<float> m, std::span<float> v) const {
  const auto t = static_cast<double>(step);
  const auto rate = static_cast<float>(learning_rate / (1 - std::pow(beta1, t)));
  const auto v_scale = static_cast<float>(1 / std::sqrt(1 - std::pow(beta2, t)));
  const auto keep = static_cast<float>(1 - learning_rate * weight_decay);
  const auto b1 = static_cast<float>(beta1), b2 = static_cast<float>(beta2);
  const auto one_minus_b1 = static_cast<float>(1 - beta1);
  const auto one_minus_b2 = static_cast<float>(1 - beta2);
  const auto scale = static_cast<float>(gradient_scale), eps = static_cast<float>(epsilon);
  const int64_t count = std::ssize(weights);
  float* const w_data = weights.data();
  float* const m_data = m.data();
  float* const v_data = v.data();
  const float* const g_data = gradients.data();
#pragma omp parallel for simd schedule(static) if (parallel : count > kParallelWork)
  for (int64_t i = 0; i < count; ++i) {
    const float g = g_data[i] * scale;
    const float mi = b1 * m_data[i] + one_minus_b1 * g;
    const float vi = b2 * v_data[i] + one_minus_b2 * g * g;
    m_data[i] = mi;
    v_data[i] = vi;
    w_data[i] = w_data[i] * keep - rate * mi / (std::sqrt(vi) * v_scale + eps);
  }
}

}  // namespace featflow
