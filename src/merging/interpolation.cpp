#include "merging/interpolation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.hpp"

namespace featflow {
namespace {

constexpr double kParallelCosine = 0.9995;  // above it sin θ is too small to divide by

// The factors of a and b at t. Both branches are exact at the ends: (1, 0) and (0, 1).
std::pair<double, double> weights(bool slerp, double cosine, double t) {
  if (!slerp) return {1 - t, t};
  const double angle = std::acos(cosine);
  return {std::sin((1 - t) * angle) / std::sin(angle), std::sin(t * angle) / std::sin(angle)};
}

}  // namespace

Interpolation::Interpolation(const Checkpoint& a, const Checkpoint& b, MergeMethod method,
                             const ParentNames& names)
    : tensors_(a, b, names), method_(method) {}

bool Interpolation::slerp(const TensorPairs::Pair& pair) const {
  return method_ == MergeMethod::kSlerp && std::abs(pair.cosine) <= kParallelCosine;
}

void Interpolation::at(double t, Checkpoint& out) const {
  require_number(t);
  tensors_.prepare(out);
  struct Target {
    double weight_a, weight_b;
    float* data;
  };
  std::vector<Target> targets;
  for (const TensorPairs::Pair& pair : tensors_.pairs()) {
    const auto [weight_a, weight_b] = weights(slerp(pair), pair.cosine, t);
    targets.push_back({weight_a, weight_b, out.tensors.at(pair.name).data.data()});
  }
  tensors_.for_each_chunk([&](const TensorPairs::Chunk& chunk) {
    const TensorPairs::Pair& pair = tensors_.pairs()[chunk.tensor];
    const float *x = pair.a->data.data(), *y = pair.b->data.data();
    const auto [weight_a, weight_b, merged] = targets[chunk.tensor];
    // The ends are copied: 1 · −0 + 0 · y would lose the sign of zero.
    if (t == 0 || t == 1) {
      const float* parent = t == 0 ? x : y;
      std::copy(parent + chunk.begin, parent + chunk.end, merged + chunk.begin);
      return;
    }
    for (size_t i = chunk.begin; i < chunk.end; ++i) {
      merged[i] = static_cast<float>(weight_a * double{x[i]} + weight_b * double{y[i]});
    }
  });
}

std::vector<TensorReport> Interpolation::reports(const Checkpoint& merged) const {
  std::vector<TensorReport> reports = tensors_.reports(merged);
  for (size_t i = 0; i < reports.size(); ++i) {
    reports[i].branch = slerp(tensors_.pairs()[i]) ? "slerp" : "lerp";
  }
  return reports;
}

}  // namespace featflow
