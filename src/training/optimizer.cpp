#include "training/optimizer.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "training/optimizer_kernels.hpp"

namespace featflow {
namespace {
constexpr int64_t kPart = 1 << 14;   // parameters that one thread takes at a time
constexpr int64_t kSerialParts = 2;  // waking other threads for so few costs more than they save
}  // namespace

double global_norm(std::span<const float> values) {
  const int64_t parts = (std::ssize(values) + kPart - 1) / kPart;
  std::vector<double> sums(static_cast<size_t>(parts));
#pragma omp parallel for schedule(static) if (parts > kSerialParts)
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
  const AdamWFactors factors = {
      .beta1 = static_cast<float>(beta1),
      .new1 = static_cast<float>(1 - beta1),
      .beta2 = static_cast<float>(beta2),
      .new2 = static_cast<float>(1 - beta2),
      .gradient_scale = static_cast<float>(gradient_scale),
      .keep = static_cast<float>(1 - learning_rate * weight_decay),
      .rate = static_cast<float>(learning_rate / (1 - std::pow(beta1, t))),
      .root_scale = static_cast<float>(1 / std::sqrt(1 - std::pow(beta2, t))),
      .epsilon = static_cast<float>(epsilon),
  };
  const OptimizerKernels& kernels = optimizer_kernels();
  const int64_t count = std::ssize(weights);
  const int64_t parts = (count + kPart - 1) / kPart;
#pragma omp parallel for schedule(static) if (parts > kSerialParts)
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t begin = part * kPart;
    kernels.adamw(factors, gradients.data() + begin, weights.data() + begin, m.data() + begin,
                  v.data() + begin, std::min(kPart, count - begin));
  }
}

}  // namespace featflow
