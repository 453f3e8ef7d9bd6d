#include "autoencoder/kernels.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/rng.hpp"

// Against float64, for counts around the widths of registers and for pointers off their alignment.
// Each instruction set has its turn when these tests are run with FEATFLOW_CPU.
namespace featflow {
namespace {

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();

struct Place {
  int64_t count, offset;  // `offset` floats past an alignment to 64 bytes
};

std::vector<Place> places() {
  std::vector<Place> result;
  for (const int64_t count : {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 1000}) {
    for (const int64_t offset : {0, 1, 5}) result.push_back({count, offset});
  }
  return result;
}

// Random floats between guards: what a kernel writes beyond its count is seen.
class Row {
 public:
  Row(const Place& place, Rng& rng, double scale = 1)
      : begin_(kGuard + place.offset), count_(place.count) {
    memory_.resize(static_cast<size_t>(begin_ + count_ + kGuard), kUntouched);
    const auto address = reinterpret_cast<uintptr_t>(memory_.data()) / sizeof(float);
    begin_ -= static_cast<int64_t>(address % 16);
    for (int64_t i = 0; i < count_; ++i) data()[i] = static_cast<float>(scale * rng.normal());
  }
  float* data() { return memory_.data() + begin_; }
  double operator[](int64_t i) { return static_cast<double>(data()[i]); }
  bool guards_hold() {
    return std::all_of(memory_.data(), data(), [](float x) { return x == kUntouched; }) &&
           std::all_of(data() + count_, memory_.data() + memory_.size(),
                       [](float x) { return x == kUntouched; });
  }

 private:
  static constexpr int64_t kGuard = 32;
  static constexpr float kUntouched = 12345;
  std::vector<float> memory_;
  int64_t begin_, count_;
};

TEST(AutoencoderKernels, DotAndSumAgreeWithFloat64) {
  Rng rng(1);
  for (const Place& place : places()) {
    Row a(place, rng), b(place, rng);
    double product = 0, product_size = 0, total = 0, total_size = 0;
    for (int64_t i = 0; i < place.count; ++i) {
      product += a[i] * b[i], product_size += std::fabs(a[i] * b[i]);
      total += a[i], total_size += std::fabs(a[i]);
    }
    // A sum of n rounded terms is off by at most n ε Σ|terms|.
    const double bound = static_cast<double>(place.count) * kEpsilon;
    EXPECT_NEAR(dot(a.data(), b.data(), place.count), product, bound * product_size) << place.count;
    EXPECT_NEAR(sum(a.data(), place.count), total, bound * total_size) << place.count;
  }
}

TEST(AutoencoderKernels, AddScaledAndMultiplyAgreeWithFloat64AndKeepToTheirRow) {
  Rng rng(2);
  for (const Place& place : places()) {
    Row x(place, rng), y(place, rng);
    std::vector<double> sums, products;
    for (int64_t i = 0; i < place.count; ++i) {
      sums.push_back(y[i] + 0.37f * x[i]);
      products.push_back(0.37f * x[i]);
    }
    add_scaled(0.37f, x.data(), y.data(), place.count);
    multiply(0.37f, x.data(), place.count);
    for (int64_t i = 0; i < place.count; ++i) {
      EXPECT_NEAR(y[i], sums[i], 2 * kEpsilon * (std::fabs(sums[i]) + std::fabs(products[i])));
      EXPECT_NEAR(x[i], products[i], kEpsilon * std::fabs(products[i]));
    }
    EXPECT_TRUE(x.guards_hold() && y.guards_hold()) << place.count;
  }
}

TEST(AutoencoderKernels, AddRowsAgreesWithFloat64ForAnyNumberOfRows) {
  Rng rng(3);
  constexpr int64_t kRows = 50;
  for (const Place& place : places()) {
    Row matrix({kRows * place.count, place.offset}, rng);
    for (const int64_t count : {0, 1, 3, 4, 5, 9}) {
      Row y(place, rng), factors({count, place.offset}, rng);
      std::vector<int32_t> rows;
      for (int64_t k = 0; k < count; ++k) rows.push_back(static_cast<int32_t>(rng.below(kRows)));
      std::vector<double> expected, size;
      for (int64_t i = 0; i < place.count; ++i) {
        expected.push_back(y[i]);
        size.push_back(std::fabs(y[i]));
        for (int64_t k = 0; k < count; ++k) {
          const double term = factors[k] * matrix[rows[k] * place.count + i];
          expected[i] += term;
          size[i] += std::fabs(term);
        }
      }
      add_rows(factors.data(), rows.data(), count, matrix.data(), y.data(), place.count);
      for (int64_t i = 0; i < place.count; ++i) {
        EXPECT_NEAR(y[i], expected[i], static_cast<double>(2 * count) * kEpsilon * size[i]);
      }
      EXPECT_TRUE(y.guards_hold()) << place.count;
    }
  }
}

TEST(AutoencoderKernels, DotRowsAgreesWithFloat64ForAnyNumberOfRows) {
  Rng rng(6);
  constexpr int64_t kRows = 50;
  for (const Place& place : places()) {
    Row matrix({kRows * place.count, place.offset}, rng), x(place, rng);
    for (const int64_t count : {0, 1, 2, 3, 8}) {
      std::vector<int32_t> rows;
      for (int64_t k = 0; k < count; ++k) rows.push_back(static_cast<int32_t>(rng.below(kRows)));
      Row products({count, place.offset}, rng);
      dot_rows(rows.data(), count, matrix.data(), x.data(), products.data(), place.count);
      for (int64_t k = 0; k < count; ++k) {
        double expected = 0, size = 0;
        for (int64_t i = 0; i < place.count; ++i) {
          const double term = double{matrix[rows[k] * place.count + i]} * x[i];
          expected += term;
          size += std::fabs(term);
        }
        EXPECT_NEAR(products[k], expected, static_cast<double>(place.count) * kEpsilon * size);
      }
      EXPECT_TRUE(products.guards_hold()) << place.count;
    }
  }
}

TEST(AutoencoderKernels, CompactFindsExactlyThePositiveSums) {
  Rng rng(4);
  for (const Place& place : places()) {
    // Nothing active, rarely, half, everything.
    for (const float shift : {-100.0f, -2.5f, 0.0f, 100.0f}) {
      Row product(place, rng), bias(place, rng, 0.1);
      for (int64_t i = 0; i < place.count; ++i) bias.data()[i] += shift;
      if (place.count > 4) bias.data()[4] = -product.data()[4];  // zero is not positive
      if (place.count > 5) product.data()[5] = std::nanf("");    // neither is NaN
      std::vector<int32_t> features;
      std::vector<float> values;
      for (int64_t i = 0; i < place.count; ++i) {
        const float value = product.data()[i] + bias.data()[i];
        if (!(value > 0)) continue;
        features.push_back(static_cast<int32_t>(700 + i));
        values.push_back(value);
      }
      std::vector<int32_t> found_features(static_cast<size_t>(place.count + 1), -7);
      std::vector<float> found_values(found_features.size(), -7);
      const auto found = static_cast<size_t>(compact(product.data(), bias.data(), place.count, 700,
                                                     found_features.data(), found_values.data()));
      ASSERT_EQ(found, features.size()) << place.count << " shifted by " << shift;
      EXPECT_TRUE(std::equal(features.begin(), features.end(), found_features.begin()));
      EXPECT_TRUE(std::equal(values.begin(), values.end(), found_values.begin()));
      EXPECT_EQ(found_features.back(), -7) << "beyond its room";
      EXPECT_EQ(found_values.back(), -7);
    }
  }
}

TEST(AutoencoderKernels, AdamAgreesWithFloat64AndLeavesNoDenormalMoments) {
  Rng rng(5);
  const AdamStep step(1e-3, 0.9, 0.999, 1e-8, 3);
  for (const Place& place : places()) {
    Row gradient(place, rng), weight(place, rng), m(place, rng, 0.1), v(place, rng, 0.1);
    for (int64_t i = 0; i < place.count; ++i) {
      v.data()[i] = v.data()[i] * v.data()[i];
      if (i % 3 == 1) gradient.data()[i] = 0;
      if (i % 6 == 1) m.data()[i] = 3e-39f, v.data()[i] = 2e-39f;  // denormals
      if (i % 6 == 4) m.data()[i] = -1.05e-30f;                    // falls below 1e-30
    }
    std::vector<double> new_weight, new_m, new_v;
    for (int64_t i = 0; i < place.count; ++i) {
      const double g = gradient[i];
      new_m.push_back(0.9f * m[i] + (1 - 0.9) * g);
      new_v.push_back(0.999f * v[i] + (1 - 0.999) * g * g);
      const double m_hat = new_m[i] / (1 - std::pow(0.9, 3));
      const double v_hat = new_v[i] / (1 - std::pow(0.999, 3));
      new_weight.push_back(weight[i] - 1e-3 * m_hat / (std::sqrt(v_hat) + 1e-8));
    }
    step.update(gradient.data(), weight.data(), m.data(), v.data(), place.count);
    for (int64_t i = 0; i < place.count; ++i) {
      if (i % 3 == 1) {
        EXPECT_EQ(m[i], 0) << i;
      } else {
        EXPECT_NEAR(m[i], new_m[i], 1e-6);
      }
      EXPECT_NEAR(v[i], new_v[i], 1e-6 * new_v[i] + 1e-44) << i;
      EXPECT_NEAR(weight[i], new_weight[i], 1e-6);
    }
    EXPECT_TRUE(weight.guards_hold() && m.guards_hold() && v.guards_hold()) << place.count;
  }
}

}  // namespace
}  // namespace featflow
