#include "training/optimizer.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/rng.hpp"
#include "training/training.hpp"

namespace featflow {
namespace {

TEST(AdamW, AgreesWithFloat64OverTwentySteps) {
  constexpr size_t kCount = 1003;
  Rng rng(1);
  std::vector<float> w(kCount), m(kCount, 0.0f), v(kCount, 0.0f), g(kCount);
  std::vector<double> rw, rm(kCount, 0.0), rv(kCount, 0.0);
  for (float& value : w) rw.push_back(value = static_cast<float>(rng.normal()));
  for (int t = 1; t <= 20; ++t) {
    const AdamWUpdate update{.step = t,
                             .learning_rate = 0.01 * t,
                             .weight_decay = 0.1,
                             .beta1 = 0.85,
                             .beta2 = 0.97,
                             .epsilon = 1e-6,
                             .gradient_scale = t % 3 == 0 ? 0.25 : 1.0};
    for (size_t i = 0; i < kCount; ++i) {
      g[i] = static_cast<float>(rng.normal() * std::pow(10, static_cast<double>(i % 7) - 3));
      const double gradient = g[i] * update.gradient_scale;
      rm[i] = 0.85 * rm[i] + 0.15 * gradient;
      rv[i] = 0.97 * rv[i] + 0.03 * gradient * gradient;
      const double m_hat = rm[i] / (1 - std::pow(0.85, t)), v_hat = rv[i] / (1 - std::pow(0.97, t));
      rw[i] -= update.learning_rate * 0.1 * rw[i];
      rw[i] -= update.learning_rate * m_hat / (std::sqrt(v_hat) + 1e-6);
    }
    update.apply(w, g, m, v);
  }
  for (size_t i = 0; i < kCount; ++i) {
    ASSERT_NEAR(w[i], rw[i], 1e-5) << i;
    ASSERT_NEAR(m[i], rm[i], 1e-5 * std::abs(rm[i]) + 1e-7 * std::sqrt(rv[i])) << i;
    ASSERT_NEAR(v[i], rv[i], 1e-5 * rv[i]) << i;
  }
}

// Counts around the widths of registers and of a thread's part; no pointer aligned; denormals.
TEST(AdamW, OfAnyCountAgreesWithFloat64) {
  const AdamWUpdate update{.step = 2, .learning_rate = 0.01, .weight_decay = 0.1};
  Rng rng(3);
  for (const size_t count : {0, 1, 3, 7, 9, 15, 16, 17, 33, 65, 16383, 16385, 50001}) {
    std::vector<float> w(count + 2), m(count + 2), v(count + 2), g(count + 2);
    for (size_t i = 0; i < w.size(); ++i) {
      w[i] = static_cast<float>(rng.normal());
      m[i] = i % 5 == 0 ? 3e-39f : static_cast<float>(rng.normal());
      v[i] = i % 5 == 0 ? 2e-39f : static_cast<float>(rng.uniform() + 0.01);
      g[i] = i % 5 == 0 ? 0 : static_cast<float>(rng.normal());
    }
    const std::vector<float> w0 = w, m0 = m, v0 = v;
    update.apply(std::span(w).subspan(1, count), std::span(g).subspan(1, count),
                 std::span(m).subspan(1, count), std::span(v).subspan(1, count));
    for (size_t i = 1; i <= count; ++i) {
      const double rm = 0.9 * m0[i] + 0.1 * g[i], rv = 0.999 * v0[i] + 0.001 * g[i] * g[i];
      const double m_hat = rm / (1 - 0.9 * 0.9), v_hat = rv / (1 - 0.999 * 0.999);
      ASSERT_NEAR(m[i], rm, 1e-6) << i;
      ASSERT_NEAR(v[i], rv, 1e-6 * rv + 1e-44) << i;
      ASSERT_NEAR(w[i], w0[i] * 0.999 - 0.01 * m_hat / (std::sqrt(v_hat) + 1e-8), 1e-5) << i;
    }
    EXPECT_TRUE(w[0] == w0[0] && w.back() == w0.back() && v.back() == v0.back()) << count;
  }
}

TEST(GlobalNorm, AgreesWithFloat64) {
  Rng rng(2);
  for (const size_t count : {size_t{0}, size_t{1}, size_t{16384}, size_t{50001}}) {
    std::vector<float> values(count);
    long double sum = 0;
    for (float& value : values) {
      value = static_cast<float>(rng.normal() * 1e15);  // squares beyond float32's range if summed
      sum += static_cast<long double>(value) * value;
    }
    const auto expected = static_cast<double>(std::sqrt(sum));
    EXPECT_NEAR(global_norm(values), expected, 1e-12 * expected) << count;
  }
}

TEST(LearningRate, WarmsUpAndFollowsTheCosine) {
  TrainingConfig config;
  config.learning_rate = 2;
  config.warmup_steps = 4;
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 0, 12), 0);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 3, 12), 1.5);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 4, 12), 2);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 6, 12), 1 + std::sqrt(0.5));
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 8, 12), 1);
  EXPECT_NEAR(learning_rate_at(config, 12, 12), 0, 1e-15);
  config.minimum_rate_share = 0.1;
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 8, 12), 0.2 + 1.8 / 2);
  EXPECT_NEAR(learning_rate_at(config, 12, 12), 0.2, 1e-15);
  config.warmup_steps = 0;
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 0, 12), 2);
}

}  // namespace
}  // namespace featflow
