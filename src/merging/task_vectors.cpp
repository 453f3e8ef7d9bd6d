#include "merging/task_vectors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.hpp"
#include "core/parallel.hpp"
#include "core/rng.hpp"

namespace featflow {
namespace {

std::vector<float> difference(const Tensor& model, const Tensor& base) {
  std::vector<float> tau(model.data.size());
  for (size_t i = 0; i < tau.size(); ++i) tau[i] = model.data[i] - base.data[i];
  return tau;
}

// Keeps the ⌊density · n⌋ elements of largest magnitude; of equals those that come first.
void keep_largest(std::vector<float>& tau, double density, const std::string& tensor) {
  const auto keep = static_cast<size_t>(density * static_cast<double>(tau.size()));
  if (keep == 0) {
    throw Error(fmt::format(
        "merging: {}: a density of {} keeps none of its {} elements, expected at least {:.2g}",
        in_quotes(tensor), density, tau.size(), 1 / static_cast<double>(tau.size())));
  }
  if (keep >= tau.size()) return;
  std::vector<size_t> order(tau.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto larger = [&](size_t i, size_t j) {
    const float x = std::abs(tau[i]), y = std::abs(tau[j]);
    return x > y || (x == y && i < j);
  };
  const auto end = order.begin() + static_cast<std::ptrdiff_t>(keep);
  std::nth_element(order.begin(), end, order.end(), larger);
  std::for_each(end, order.end(), [&](size_t i) { tau[i] = 0; });
}

void drop_and_rescale(std::vector<float>& tau, const MergeOptions& options, Rng rng) {
  if (options.density >= 1) return;
  double before = 0, after = 0;
  for (float& element : tau) {
    before += std::abs(double{element});
    if (rng.uniform() >= options.density) element = 0;
    after += std::abs(double{element});
  }
  const double factor = options.rescale == DareRescale::kDensity ? 1 / options.density
                        : after > 0                              ? before / after
                                                                 : 0;
  for (float& element : tau) element = static_cast<float>(factor * double{element});
}

// Elements of two task vectors that pull in opposite directions, of those where both pull.
double sign_conflicts(const std::vector<float>& a, const std::vector<float>& b) {
  int64_t both = 0, opposite = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    both += a[i] != 0 && b[i] != 0;
    opposite += (a[i] > 0 && b[i] < 0) || (a[i] < 0 && b[i] > 0);
  }
  return both ? static_cast<double>(opposite) / static_cast<double>(both) : 0;
}

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double aa = 0, bb = 0, ab = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    aa += double{a[i]} * double{a[i]};
    bb += double{b[i]} * double{b[i]};
    ab += double{a[i]} * double{b[i]};
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

bool elects_signs(MergeMethod method) {
  return method == MergeMethod::kTies || method == MergeMethod::kDareTies;
}

// What is added to the base at one element, before λ.
double combined(MergeMethod method, double w_a, double tau_a, double w_b, double tau_b) {
  double d_a = w_a * tau_a, d_b = w_b * tau_b;
  if (!elects_signs(method)) return d_a + d_b;
  const double elected = d_a + d_b >= 0 ? 1 : -1;
  double weight = 0;
  if (d_a * elected > 0)
    weight += w_a;
  else
    d_a = 0;
  if (d_b * elected > 0)
    weight += w_b;
  else
    d_b = 0;
  if (method == MergeMethod::kDareTies) return d_a + d_b;
  return weight == 0 ? 0 : (d_a + d_b) / weight;
}

}  // namespace

TaskVectors::TaskVectors(const Checkpoint& a, const Checkpoint& b, const Checkpoint& base,
                         const MergeOptions& options, const ParentNames& names)
    : tensors_(a, b, names), options_(options) {
  if (!(options.density > 0 && options.density <= 1)) {
    throw Error(
        fmt::format("merging: density is {}, expected a share above 0, up to 1", options.density));
  }
  const TensorPairs checked(a, base, {names.a, "their base"});  // shapes and vocabulary
  const size_t count = tensors_.pairs().size();
  base_.resize(count);
  tau_a_.resize(count);
  tau_b_.resize(count);
  cosine_.resize(count);
  conflicts_.resize(count);
  parallel_for(std::ssize(tau_a_), 1, [&](int64_t first, int64_t last, int) {
    for (auto i = static_cast<size_t>(first); i < static_cast<size_t>(last); ++i) {
      const TensorPairs::Pair& pair = tensors_.pairs()[i];
      base_[i] = &base.tensors.at(pair.name);
      tau_a_[i] = difference(*pair.a, *base_[i]);
      tau_b_[i] = difference(*pair.b, *base_[i]);
      cosine_[i] = cosine(tau_a_[i], tau_b_[i]);
      conflicts_[i] = sign_conflicts(tau_a_[i], tau_b_[i]);
      for (const char* side : {"a", "b"}) {
        std::vector<float>& tau = side[0] == 'a' ? tau_a_[i] : tau_b_[i];
        if (options.method == MergeMethod::kTies) {
          keep_largest(tau, options.density, pair.name);
        } else if (options.method != MergeMethod::kTaskArithmetic) {
          drop_and_rescale(tau, options, Rng(options.seed, pair.name + " of " + side));
        }
      }
    }
  });
}

void TaskVectors::at(double t, Checkpoint& out) const {
  require_number(t);
  tensors_.prepare(out);
  std::vector<float*> targets;
  for (const TensorPairs::Pair& pair : tensors_.pairs()) {
    targets.push_back(out.tensors.at(pair.name).data.data());
  }
  const double w_a = 1 - t, w_b = t;
  tensors_.for_each_chunk([&](const TensorPairs::Chunk& chunk) {
    const float* base = base_[chunk.tensor]->data.data();
    const float *a = tau_a_[chunk.tensor].data(), *b = tau_b_[chunk.tensor].data();
    float* merged = targets[chunk.tensor];
    for (size_t i = chunk.begin; i < chunk.end; ++i) {
      merged[i] = static_cast<float>(
          double{base[i]} + options_.scale * combined(options_.method, w_a, a[i], w_b, b[i]));
    }
  });
}

std::vector<TensorReport> TaskVectors::reports(const Checkpoint& merged) const {
  std::vector<TensorReport> reports = tensors_.reports(merged);
  for (size_t i = 0; i < reports.size(); ++i) {
    reports[i].branch = merge_method_name(options_.method);
    reports[i].task_cosine = cosine_[i];
    reports[i].sign_conflicts = conflicts_[i];
  }
  return reports;
}

}  // namespace featflow
