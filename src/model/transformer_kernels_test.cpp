#include "model/transformer_kernels.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/rng.hpp"

// Against float64, for counts around the widths of registers and for pointers off their alignment.
// Each instruction set has its turn when these tests are run with FEATFLOW_CPU.
namespace featflow {
namespace {

constexpr int64_t kCounts[] = {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 127, 1000};
constexpr int64_t kOff = 3;  // floats before every row: no row is aligned
constexpr float kUntouched = 12345;

// [count] random floats behind kOff others and before one.
std::vector<float> random_row(int64_t count, Rng& rng, double scale = 1) {
  std::vector<float> row(static_cast<size_t>(kOff + count + 1), kUntouched);
  for (int64_t i = 0; i < count; ++i) row[kOff + i] = static_cast<float>(scale * rng.normal());
  return row;
}

bool ends_hold(const std::vector<float>& row) {
  return std::all_of(row.begin(), row.begin() + kOff, [](float x) { return x == kUntouched; }) &&
         row.back() == kUntouched;
}

float exponential(float x) {
  float y = 0;
  transformer_kernels().exponentials(&x, 0, 1, &y);
  return y;
}

TEST(TransformerKernels, ExpIsAccurateAndKeepsNaN) {
  std::vector<float> x, y;
  for (double at = -87; at < 88; at += 0.00137) x.push_back(static_cast<float>(at));
  y.resize(x.size());
  transformer_kernels().exponentials(x.data(), 0, std::ssize(x), y.data());
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double expected = std::exp(static_cast<double>(x[i]));
    worst = std::max(worst, std::abs(static_cast<double>(y[i]) - expected) / expected);
    ASSERT_NEAR(exponential(x[i]), y[i], 2e-7 * expected);  // the loop's remainder
  }
  EXPECT_LT(worst, 2e-7);
  EXPECT_EQ(exponential(0), 1);
  EXPECT_LT(exponential(-1e30f), 2e-38f);
  EXPECT_GT(exponential(1e30f), 2e38f);
  EXPECT_LT(exponential(1e30f), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(exponential(std::nanf(""))));
}

TEST(TransformerKernels, SoftmaxAndItsGradientAgreeWithFloat64) {
  const TransformerKernels& kernels = transformer_kernels();
  Rng rng(1);
  for (const int64_t count : kCounts) {
    if (count == 0) continue;
    std::vector<float> p = random_row(count, rng, 4), ds = random_row(count, rng);
    const std::vector<float> logits = p, gradient = ds;
    const float* x = logits.data() + kOff;
    const double largest = *std::max_element(x, x + count);
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += std::exp(x[i] - largest);

    EXPECT_EQ(kernels.maximum(x, count), largest);
    const auto shift = static_cast<float>(largest);
    EXPECT_NEAR(kernels.sum_of_exponentials(x, shift, count), sum, 2e-6 * sum) << count;
    const float total = kernels.exponentials(p.data() + kOff, shift, count, p.data() + kOff);
    EXPECT_NEAR(total, sum, 2e-6 * sum) << count;
    kernels.multiply(1 / total, p.data() + kOff, count);
    kernels.softmax_backward(p.data() + kOff, count, ds.data() + kOff);

    double mean = 0;
    const auto probability = [&](int64_t i) { return std::exp(x[i] - largest) / sum; };
    for (int64_t i = 0; i < count; ++i) mean += probability(i) * gradient[kOff + i];
    for (int64_t i = 0; i < count; ++i) {
      ASSERT_NEAR(p[kOff + i], probability(i), 3e-6 * probability(i) + 1e-30);
      ASSERT_NEAR(ds[kOff + i], probability(i) * (gradient[kOff + i] - mean),
                  1e-5 * probability(i) + 1e-30);
    }
    EXPECT_TRUE(ends_hold(p) && ends_hold(ds)) << count;
  }
}

TEST(TransformerKernels, RmsNormAndItsGradientAgreeWithFloat64) {
  constexpr double kEpsilon = 1e-5;
  Rng rng(2);
  for (const int64_t count : kCounts) {
    const std::vector<float> x = random_row(count, rng), weight = random_row(count, rng);
    const std::vector<float> dy = random_row(count, rng), before = random_row(count, rng);
    std::vector<float> y = x, dx = x, d_weight = before;
    const auto at = [](const std::vector<float>& row, int64_t i) { return double{row[kOff + i]}; };
    double square = 0, projection = 0, size = 0;
    for (int64_t i = 0; i < count; ++i) {
      square += at(x, i) * at(x, i);
      projection += at(dy, i) * at(weight, i) * at(x, i);
      size += std::abs(at(dy, i) * at(weight, i) * at(x, i));
    }
    const auto n = static_cast<double>(count);
    const double s = 1 / std::sqrt(square / n + kEpsilon);
    transformer_kernels().rms_norm(x.data() + kOff, weight.data() + kOff, count, 1e-5f,
                                   y.data() + kOff);
    transformer_kernels().rms_norm_backward(x.data() + kOff, weight.data() + kOff, dy.data() + kOff,
                                            count, 1e-5f, dx.data() + kOff, d_weight.data() + kOff);
    for (int64_t i = 0; i < count; ++i) {
      const double out = at(x, i) * s * at(weight, i), pull = s * s * s * at(x, i) / n;
      ASSERT_NEAR(at(y, i), out, 1e-5 * std::abs(out)) << count;
      const double d_in = s * at(dy, i) * at(weight, i) - pull * projection;
      const double d_in_size = s * std::abs(at(dy, i) * at(weight, i)) + std::abs(pull) * size;
      ASSERT_NEAR(at(dx, i), d_in, 1e-5 * d_in_size) << count;
      const double added = at(dy, i) * at(x, i) * s;
      ASSERT_NEAR(at(d_weight, i), at(before, i) + added,
                  1e-6 * (std::abs(at(before, i)) + 10 * std::abs(added)));
    }
    EXPECT_TRUE(ends_hold(y) && ends_hold(dx) && ends_hold(d_weight)) << count;
  }
}

TEST(TransformerKernels, SwigluAndItsGradientAgreeWithFloat64) {
  Rng rng(3);
  for (const int64_t count : kCounts) {
    const std::vector<float> gate = random_row(count, rng, 5), up = random_row(count, rng);
    const std::vector<float> dy = random_row(count, rng);
    std::vector<float> y = gate, d_gate = gate, d_up = gate;
    transformer_kernels().swiglu(gate.data() + kOff, up.data() + kOff, count, y.data() + kOff);
    transformer_kernels().swiglu_backward(gate.data() + kOff, up.data() + kOff, dy.data() + kOff,
                                          count, d_gate.data() + kOff, d_up.data() + kOff);
    for (int64_t i = kOff; i < kOff + count; ++i) {
      const double g = gate[i], u = up[i], d = dy[i], sigmoid = 1 / (1 + std::exp(-g));
      ASSERT_NEAR(y[i], g * sigmoid * u, 2e-6 * std::abs(g * sigmoid * u)) << count;
      ASSERT_NEAR(d_up[i], d * g * sigmoid, 2e-6 * std::abs(d * g * sigmoid)) << count;
      const double expected = d * u * sigmoid * (1 + g * (1 - sigmoid));
      ASSERT_NEAR(d_gate[i], expected, 1e-5 * std::abs(d * u) * sigmoid * (1 + std::abs(g)));
    }
    EXPECT_TRUE(ends_hold(y) && ends_hold(d_gate) && ends_hold(d_up)) << count;
  }
}

}  // namespace
}  // namespace featflow
