#include "merging/task_vectors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "core/parallel.hpp"
#include "core/rng.hpp"

namespace featflow {
namespace {

using testing::HasSubstr;

constexpr MergeMethod kTaskArithmetic = MergeMethod::kTaskArithmetic, kTies = MergeMethod::kTies,
                      kDareLinear = MergeMethod::kDareLinear, kDareTies = MergeMethod::kDareTies;

Checkpoint model_of(std::vector<float> data) {
  Checkpoint model;
  const auto size = static_cast<int64_t>(data.size());
  model.tensors["w"] = {{size}, std::move(data)};
  return model;
}

std::vector<float> merged(const Checkpoint& a, const Checkpoint& b, const Checkpoint& base,
                          double t, const MergeOptions& options) {
  return merge(a, b, &base, t, options).checkpoint.tensors.at("w").data;
}

void expect_near(const std::vector<float>& values, const std::vector<double>& expected) {
  ASSERT_EQ(values.size(), expected.size());
  for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(values[i], expected[i], 1e-6) << i;
}

// base 1; τ_A = (4, −3, 2, 0, −1), τ_B = (2, 5, 0, 0, −1).
const Checkpoint kBase = model_of({1, 1, 1, 1, 1});
const Checkpoint kA = model_of({5, -2, 3, 1, 0}), kB = model_of({3, 6, 1, 1, 0});

TEST(TaskVectors, TaskArithmeticByHand) {
  // t = ½ and λ = 2: both task vectors whole.
  expect_near(merged(kA, kB, kBase, 0.5, {kTaskArithmetic, 2}), {7, 3, 3, 1, -1});
  expect_near(merged(kA, kB, kBase, 0.25, {kTaskArithmetic, 1}), {4.5, 0, 2.5, 1, 0});
  EXPECT_EQ(default_scale(kTaskArithmetic), 2);
  EXPECT_EQ(default_scale(kTies), 1);
}

TEST(TaskVectors, TiesByHand) {
  // All elements stay: signs (+, +, +, +, −); element 1 keeps only B's, element 2 only A's.
  expect_near(merged(kA, kB, kBase, 0.5, {kTies, 1, 1}), {4, 6, 3, 1, 0});
  // ⌊0.4 · 5⌋ = 2 stay: τ_A = (4, −3, 0, 0, 0), τ_B = (2, 5, 0, 0, 0).
  expect_near(merged(kA, kB, kBase, 0.5, {kTies, 1, 0.4}), {4, 6, 1, 1, 1});
  // Weights have a say in the election: ¾ · −3 + ¼ · 5 < 0, and in the average: (¾ · 4 + ¼ · 2)
  // / 1.
  expect_near(merged(kA, kB, kBase, 0.25, {kTies, 1, 0.4}), {4.5, -2, 1, 1, 1});
  expect_near(merged(kA, kB, kBase, 0.5, {kTies, 0.5, 1}), {2.5, 3.5, 2, 1, 0.5});
  // At the ends one task vector is alone, without the elements that it lost.
  expect_near(merged(kA, kB, kBase, 0, {kTies, 1, 0.4}), {5, -2, 1, 1, 1});
  // Of equals the first stay.
  expect_near(
      merged(model_of({2, 0, 2}), model_of({2, 0, 2}), model_of({1, 1, 1}), 0.5, {kTies, 1, 0.67}),
      {2, 0, 1});
}

TEST(TaskVectors, TiesElectsPlusWhereSignsBalance) {
  // Σ d = ½ · 2 − ½ · 2 = 0 elects +, so A's stays, alone in the average.
  expect_near(merged(model_of({3}), model_of({-1}), model_of({1}), 0.5, {kTies, 1, 1}), {3});
}

TEST(TaskVectors, DareByHand) {
  // Nothing dropped. dare_ties adds what agrees with the elected signs (+, +, +, +, −): λ Σ d =
  // 2 (½ · 4 + ½ · 2), 2 · ½ · 5, 2 · ½ · 2, 0, 2 (−½ − ½).
  expect_near(merged(kA, kB, kBase, 0.5, {kDareLinear, 2, 1}), {7, 3, 3, 1, -1});
  expect_near(merged(kA, kB, kBase, 0.5, {kDareTies, 2, 1}), {7, 6, 3, 1, -1});

  // Seed 8 keeps elements 0 and 1 of A's, 0 and 2 of B's: τ_A = (4, −3, 0, 0, 0) of norm 7 of 10,
  // τ_B = (2, 0, 0, 0, 0) of norm 2 of 8. By 1/density both double.
  const auto dare = [](MergeMethod method, DareRescale rescale) {
    return merged(kA, kB, kBase, 0.5, {method, 1, 0.5, rescale, 8});
  };
  const double a = 10.0 / 7, b = 8.0 / 2;
  expect_near(dare(kDareLinear, DareRescale::kDensity), {1 + 4 + 2, 1 - 3, 1, 1, 1});
  expect_near(dare(kDareLinear, DareRescale::kL1Norm),
              {1 + 0.5 * a * 4 + 0.5 * b * 2, 1 - 0.5 * a * 3, 1, 1, 1});
  // Alone, −3 elects its own sign.
  expect_near(dare(kDareTies, DareRescale::kL1Norm),
              {1 + 0.5 * a * 4 + 0.5 * b * 2, 1 - 0.5 * a * 3, 1, 1, 1});
  // Seed 4 keeps 0, 1, 4 of A's and 1, 2, 3, 4 of B's, all doubled: element 1 is ½ (−6 + 10), of
  // which dare_ties drops −6.
  expect_near(merged(kA, kB, kBase, 0.5, {kDareLinear, 1, 0.5, DareRescale::kDensity, 4}),
              {5, 3, 1, 1, -1});
  expect_near(merged(kA, kB, kBase, 0.5, {kDareTies, 1, 0.5, DareRescale::kDensity, 4}),
              {5, 6, 1, 1, -1});
}

TEST(TaskVectors, DareDropsAtRandomAndScalesBack) {
  constexpr int64_t kSize = 200'000;
  Rng rng(4);
  std::vector<float> base, a;
  double norm = 0;
  for (int64_t i = 0; i < kSize; ++i) {
    base.push_back(static_cast<float>(rng.normal()));
    a.push_back(base.back() + static_cast<float>(rng.normal()));
    norm += std::abs(double{a.back()} - double{base.back()});
  }
  const Checkpoint base_model = model_of(base), a_model = model_of(a);
  for (const DareRescale rescale : {DareRescale::kL1Norm, DareRescale::kDensity}) {
    const MergeOptions options{kDareLinear, 1, 0.3, rescale, 7};
    const std::vector<float> once = merged(a_model, base_model, base_model, 0, options);
    EXPECT_EQ(once, merged(a_model, base_model, base_model, 0, options)) << "the seed decides";
    int64_t kept = 0;
    double kept_norm = 0;
    std::vector<double> factors;
    for (size_t i = 0; i < once.size(); ++i) {
      const double tau = double{a[i]} - double{base[i]}, now = double{once[i]} - double{base[i]};
      if (std::abs(now) < 1e-6) continue;
      ++kept;
      kept_norm += std::abs(now);
      if (std::abs(tau) > 0.1) factors.push_back(now / tau);
    }
    // Binomial: 200,000 draws have a standard deviation of 0.001.
    EXPECT_NEAR(static_cast<double>(kept) / kSize, 0.3, 0.005);
    const auto [low, high] = std::ranges::minmax(factors);
    EXPECT_NEAR(low, high, 1e-4) << "one factor for all";
    if (rescale == DareRescale::kDensity) {
      EXPECT_NEAR(low, 1 / 0.3, 1e-4);
    } else {
      EXPECT_NEAR(kept_norm / norm, 1, 1e-5);
    }
    MergeOptions other = options;
    other.seed = 8;
    EXPECT_NE(once, merged(a_model, base_model, base_model, 0, other));
  }
}

// The definitions element by element in float64, from sorted magnitudes and lists of contributions.
std::vector<double> reference(const std::vector<float>& a, const std::vector<float>& b,
                              const std::vector<float>& base, double t, const MergeOptions& o) {
  const size_t n = base.size();
  std::vector<std::vector<double>> taus;
  for (const std::vector<float>* model : {&a, &b}) {
    std::vector<double> tau(n);
    for (size_t i = 0; i < n; ++i) tau[i] = static_cast<double>((*model)[i] - base[i]);
    if (o.method == kTies) {
      std::vector<double> sizes;
      for (const double x : tau) sizes.push_back(std::abs(x));
      std::ranges::sort(sizes, std::greater());
      const auto keep = static_cast<size_t>(o.density * static_cast<double>(n));
      for (double& x : tau) {
        if (keep == 0 || std::abs(x) < sizes[keep - 1]) x = 0;
      }
    }
    taus.push_back(std::move(tau));
  }
  const std::vector<double> weights = {1 - t, t};
  std::vector<double> result;
  for (size_t i = 0; i < n; ++i) {
    double total = 0, sum = 0, weight = 0;
    for (const size_t m : {0, 1}) total += weights[m] * taus[m][i];
    for (const size_t m : {0, 1}) {
      const double d = weights[m] * taus[m][i];
      const bool elected = total >= 0 ? d > 0 : d < 0;
      if (o.method != kTaskArithmetic && !elected) continue;
      sum += d;
      weight += weights[m];
    }
    if (o.method == kTies && weight > 0) sum /= weight;
    result.push_back(static_cast<double>(base[i]) + o.scale * sum);
  }
  return result;
}

TEST(TaskVectors, RandomTensorsAgreeWithAFloat64Reference) {
  Rng rng(9);
  for (const int64_t size : {1, 2, 63, 65'535, 65'537, 150'000}) {  // around the size of a chunk
    std::vector<float> base, a, b;
    for (int64_t i = 0; i < size; ++i) {
      base.push_back(static_cast<float>(rng.normal()));
      a.push_back(base.back() + static_cast<float>(rng.uniform() < 0.1 ? 0 : rng.normal()));
      b.push_back(base.back() + static_cast<float>(rng.uniform() < 0.1 ? 0 : rng.normal()));
    }
    const Checkpoint base_model = model_of(base), a_model = model_of(a), b_model = model_of(b);
    for (const MergeOptions& options :
         {MergeOptions{kTaskArithmetic, 2}, MergeOptions{kTaskArithmetic, 0.7},
          MergeOptions{kTies, 1, 1}, MergeOptions{kTies, 1.5, 0.2}, MergeOptions{kDareTies, 2, 1},
          MergeOptions{kDareLinear, 2, 1}}) {
      if (options.density * static_cast<double>(size) < 1) continue;  // refused, see below
      for (const double t : {0.0, 0.3, 0.5, 1.0}) {
        MergeOptions plain = options;  // With density 1, DARE drops nothing.
        if (options.method == kDareLinear) plain.method = kTaskArithmetic;
        expect_near(merged(a_model, b_model, base_model, t, options),
                    reference(a, b, base, t, plain));
      }
    }
  }
}

TEST(TaskVectors, ReportsHowTaskVectorsAgree) {
  const MergeResult result = merge(kA, kB, &kBase, 0.5, {kTies, 1});
  const TensorReport& report = result.reports.at(0);
  EXPECT_EQ(report.branch, "ties");
  // τ_A · τ_B = 8 − 15 + 1; ‖τ_A‖² = 30, ‖τ_B‖² = 30.
  EXPECT_NEAR(report.task_cosine.value(), -6.0 / 30, 1e-7);
  EXPECT_NEAR(report.sign_conflicts.value(), 1.0 / 3, 1e-12);
  EXPECT_FALSE(merge(kA, kB, nullptr, 0.5, {}).reports.at(0).task_cosine);
}

TEST(TaskVectors, ThreadsDoNotMatter) {
  Rng rng(2);
  std::vector<float> data[3];
  for (std::vector<float>& model : data) {
    for (int i = 0; i < 200'000; ++i) model.push_back(static_cast<float>(rng.normal()));
  }
  const Checkpoint a = model_of(data[0]), b = model_of(data[1]), base = model_of(data[2]);
  const MergeOptions options{kDareTies, 2, 0.4, DareRescale::kL1Norm, 3};
  const int threads = thread_count();
  set_thread_count(1);
  const std::vector<float> expected = merged(a, b, base, 0.4, options);
  set_thread_count(3);
  EXPECT_EQ(merged(a, b, base, 0.4, options), expected);
  set_thread_count(threads);
}

TEST(TaskVectors, RefusesWhatCannotBe) {
  const auto error_of = [](const Checkpoint* base, const MergeOptions& options) -> std::string {
    try {
      merge(kA, kB, base, 0.5, options);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(error_of(nullptr, {kTies}), HasSubstr("ties adds what each has learned since"));
  EXPECT_THAT(error_of(&kBase, {kTies, 1, 0}), HasSubstr("density is 0"));
  EXPECT_THAT(error_of(&kBase, {kTies, 1, 1.5}), HasSubstr("density is 1.5"));
  EXPECT_THAT(error_of(&kBase, {kTies, 1, 0.1}),
              HasSubstr("'w': a density of 0.1 keeps none of its 5"));
  const Checkpoint other = model_of({1, 2});
  EXPECT_THAT(error_of(&other, {kTies}), HasSubstr("[2] in 'their base'"));
  EXPECT_THROW(merge(kA, kB, &kBase, NAN, {kTies}), Error);
}

}  // namespace
}  // namespace featflow
