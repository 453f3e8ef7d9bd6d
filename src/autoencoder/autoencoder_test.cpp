#include "autoencoder/autoencoder.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "autoencoder/evaluation.hpp"
#include "autoencoder/tiles.hpp"
#include "autoencoder/training_state.hpp"
#include "core/error.hpp"
#include "core/rng.hpp"

namespace featflow {
namespace {

std::vector<float> random_values(int64_t count, double mean, double deviation, Rng& rng) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(mean + deviation * rng.normal());
  return values;
}

Autoencoder random_autoencoder(int64_t n, int64_t m, double bias, Rng& rng) {
  Autoencoder a;
  a.input_size = n;
  a.feature_count = m;
  a.encoder_weight = random_values(m * n, 0, 1 / std::sqrt(n), rng);
  a.encoder_bias = random_values(m, bias, 0.2, rng);
  a.decoder_weight = random_values(m * n, 0, 1 / std::sqrt(n), rng);
  a.decoder_bias = random_values(n, 1, 0.5, rng);
  return a;
}

// f [m] and x̂ [n] of one row in float64, for an input scaled by s and centred on request.
struct RowOracle {
  std::vector<double> f, x_hat;
  RowOracle(const Autoencoder& a, const float* x, double scale = 1, bool center = false) {
    const auto n = static_cast<size_t>(a.input_size), m = static_cast<size_t>(a.feature_count);
    double mean = 0;
    for (size_t i = 0; i < n; ++i)
      mean += scale * static_cast<double>(x[i]) / static_cast<double>(n);
    x_hat.assign(a.decoder_bias.begin(), a.decoder_bias.end());
    for (size_t j = 0; j < m; ++j) {
      double pre = static_cast<double>(a.encoder_bias[j]);
      for (size_t i = 0; i < n; ++i) {
        pre += static_cast<double>(a.encoder_weight[j * n + i]) *
               (scale * static_cast<double>(x[i]) - (center ? mean : 0) -
                static_cast<double>(a.decoder_bias[i]));
      }
      f.push_back(std::max(pre, 0.0));
      for (size_t i = 0; i < n; ++i) {
        x_hat[i] += f[j] * static_cast<double>(a.decoder_weight[j * n + i]);
      }
    }
  }
};

TEST(Encode, AndDecodeAgreeWithFloat64) {
  Rng rng(1);
  constexpr int64_t kRows = 300, kWidth = 37, kFeatures = 601;
  const Autoencoder a = random_autoencoder(kWidth, kFeatures, -1, rng);
  const std::vector<float> x = random_values(kRows * kWidth, 1, 1, rng);
  const SparseRows features = encode(a, x, kRows);
  ASSERT_EQ(features.rows(), kRows);
  EXPECT_EQ(features.feature_count, kFeatures);
  std::vector<float> x_hat(x.size());
  decode(a, features, x_hat);
  for (int64_t t = 0; t < kRows; ++t) {
    const RowOracle oracle(a, x.data() + t * kWidth);
    std::vector<double> f(kFeatures, 0);
    int32_t previous = -1;
    for (auto e = features.row_offsets[t]; e < features.row_offsets[t + 1]; ++e) {
      EXPECT_GT(features.values[e], 0);
      EXPECT_GT(features.features[e], previous);
      previous = features.features[e];
      f[features.features[e]] = features.values[e];
    }
    for (int64_t j = 0; j < kFeatures; ++j) ASSERT_NEAR(f[j], oracle.f[j], 1e-5);
    for (int64_t i = 0; i < kWidth; ++i) ASSERT_NEAR(x_hat[t * kWidth + i], oracle.x_hat[i], 1e-4);
  }
}

TEST(Encode, RowsDoNotDependOnTheRowsAroundThem) {
  Rng rng(2);
  const Autoencoder a = random_autoencoder(16, 40, 0, rng);
  EXPECT_EQ(encode(a, {}, 0).rows(), 0);
  // More rows than are encoded at once: offsets go on from part to part.
  constexpr int64_t kRows = 7000;
  const std::vector<float> x = random_values(kRows * 16, 1, 1, rng);
  const SparseRows all = encode(a, x, kRows);
  const SparseRows last = encode(a, std::span(x).last(50 * 16), 50);
  ASSERT_EQ(all.rows(), kRows);
  ASSERT_EQ(all.row_offsets.back(), all.active());
  const auto shift = static_cast<size_t>(all.active() - last.active());
  for (size_t e = 0; e < last.features.size(); ++e) {
    ASSERT_EQ(all.features[shift + e], last.features[e]);
    ASSERT_NEAR(all.values[shift + e], last.values[e], 1e-5);
  }
}

TEST(Encode, SparseAndDenseAreTheSameBits) {
  Rng rng(4);
  constexpr int64_t kWidth = 24;
  // Whole tiles and bands, last ones that are short, and a single token.
  for (const auto& [rows, features] :
       {std::pair(2 * kTileTokens + 701, 5 * kTileFeatures + 77),
        std::pair(kTileTokens, 3 * kTileFeatures), std::pair(kBandTokens + 1, int64_t{9}),
        std::pair(int64_t{1}, kTileFeatures + 1)}) {
    const Autoencoder a = random_autoencoder(kWidth, features, -1, rng);
    const std::vector<float> x = random_values(rows * kWidth, 1, 1, rng);
    SparseRows sparse;
    TiledEncoder encoder;
    encoder.encode(a, x.data(), rows, sparse);
    std::vector<float> dense(static_cast<size_t>(rows * features));
    TiledEncoder::encode_dense(a, x.data(), rows, dense.data());
    ASSERT_EQ(sparse.rows(), rows);
    int64_t active = 0;
    for (const float value : dense) active += value > 0;
    ASSERT_EQ(sparse.active(), active);
    ASSERT_GT(active, 0);
    for (int64_t t = 0; t < rows; ++t) {
      for (auto e = sparse.row_offsets[static_cast<size_t>(t)];
           e < sparse.row_offsets[static_cast<size_t>(t) + 1]; ++e) {
        const auto entry = static_cast<size_t>(e);
        ASSERT_EQ(sparse.values[entry],
                  dense[static_cast<size_t>(t * features + sparse.features[entry])]);
      }
    }
  }
}

TEST(Fold, ScaledAndCentredTrainingBecomesAnAutoencoderOfRawActivations) {
  Rng rng(3);
  for (const bool center : {false, true}) {
    TrainingState state;
    state.weights = random_autoencoder(20, 50, -0.3, rng);
    state.scale = 3.7;
    const Autoencoder folded = fold(state, center);
    EXPECT_EQ(folded.decoder_weight, state.weights.decoder_weight);
    const std::vector<float> x = random_values(30 * 20, 0.4, 0.3, rng);
    const SparseRows features = encode(folded, x, 30);
    std::vector<float> x_hat(x.size());
    decode(folded, features, x_hat);
    for (int64_t t = 0; t < 30; ++t) {
      const RowOracle oracle(state.weights, x.data() + t * 20, state.scale, center);
      std::vector<double> f(50, 0);
      for (auto e = features.row_offsets[t]; e < features.row_offsets[t + 1]; ++e) {
        f[features.features[e]] = features.values[e];
      }
      for (size_t j = 0; j < 50; ++j) EXPECT_NEAR(f[j], oracle.f[j] / state.scale, 1e-5);
      for (size_t i = 0; i < 20; ++i) {
        EXPECT_NEAR(x_hat[t * 20 + i], oracle.x_hat[i] / state.scale, 1e-5);
      }
    }
  }
}

TEST(GeometricMedian, HasAZeroGradientAndIgnoresOutliers) {
  Rng rng(4);
  constexpr int64_t kRows = 701, kWidth = 9;
  std::vector<float> x = random_values(kRows * kWidth, 2, 1, rng);
  for (int64_t i = 0; i < kWidth; ++i) x[i] = 1e5f;  // moves the mean by 142
  const std::vector<float> median = geometric_median(x, kRows, kWidth);
  std::vector<double> pull(kWidth, 0);
  for (int64_t t = 0; t < kRows; ++t) {
    double square = 0;
    for (int64_t i = 0; i < kWidth; ++i) square += std::pow(x[t * kWidth + i] - median[i], 2);
    for (int64_t i = 0; i < kWidth; ++i) {
      pull[i] += (x[t * kWidth + i] - median[i]) / std::sqrt(square) / kRows;
    }
  }
  for (int64_t i = 0; i < kWidth; ++i) {
    EXPECT_NEAR(pull[i], 0, 1e-4);
    EXPECT_NEAR(median[i], 2, 0.3);
  }
  const std::vector<float> same(5 * kWidth, 3.0f);
  EXPECT_EQ(geometric_median(same, 5, kWidth), std::vector<float>(kWidth, 3.0f));
}

TEST(Evaluation, AgreesWithTwoPassesInFloat64ThroughALargeMean) {
  Rng rng(5);
  constexpr int64_t kWidth = 12, kFeatures = 30;
  Autoencoder a = random_autoencoder(kWidth, kFeatures, -0.6, rng);
  for (float& b : a.decoder_bias) b += 1000;
  a.encoder_bias[4] = -1e6f;  // dead
  const std::vector<float> first = random_values(333 * kWidth, 1001, 0.7, rng);
  const std::vector<float> second = random_values(50 * kWidth, 1002, 0.7, rng);
  AutoencoderEvaluator evaluator(a);
  evaluator.add(first, 333);
  evaluator.add(second, 50);
  const AutoencoderStatistics s = evaluator.result();

  std::vector<float> x = first;
  x.insert(x.end(), second.begin(), second.end());
  std::vector<double> mean(kWidth, 0);
  for (size_t k = 0; k < x.size(); ++k) mean[k % kWidth] += x[k] / 383.0;
  double error = 0, deviation = 0, l0 = 0;
  std::vector<int64_t> active(kFeatures, 0);
  for (int64_t t = 0; t < 383; ++t) {
    const RowOracle oracle(a, x.data() + t * kWidth);
    for (int64_t i = 0; i < kWidth; ++i) {
      error += std::pow(x[t * kWidth + i] - oracle.x_hat[i], 2);
      deviation += std::pow(x[t * kWidth + i] - mean[i], 2);
    }
    for (int64_t j = 0; j < kFeatures; ++j) {
      l0 += oracle.f[j] > 0;
      active[j] += oracle.f[j] > 0;
    }
  }
  EXPECT_EQ(s.rows, 383);
  EXPECT_NEAR(s.mean_l0, l0 / 383, 1e-12);
  EXPECT_NEAR(s.mse, error / (383 * kWidth), 1e-3 * s.mse);
  EXPECT_NEAR(s.variance, deviation / (383 * kWidth), 1e-9);
  EXPECT_NEAR(s.explained_variance, 1 - error / deviation, 1e-3);
  EXPECT_EQ(s.active_rows, active);
  EXPECT_EQ(s.dead(), std::count(active.begin(), active.end(), 0));
  EXPECT_GE(s.dead(), 1);
  int64_t in_bins = 0;
  for (const int64_t count : s.density_histogram()) in_bins += count;
  EXPECT_EQ(in_bins, kFeatures - s.dead());
  EXPECT_THROW(AutoencoderEvaluator(a).result(), Error);
}

TEST(Evaluation, DensityBinsAreQuartersOfADecade) {
  AutoencoderStatistics s;
  s.rows = 1000;
  s.active_rows = {1000, 1, 0, 10, 11};  // log10: 0, -3, -, -2, -1.96
  const auto histogram = s.density_histogram();
  EXPECT_EQ(histogram[31], 1);
  EXPECT_EQ(histogram[20], 1);
  EXPECT_EQ(histogram[24], 2);
  EXPECT_DOUBLE_EQ(s.dead_share(), 0.2);
}

}  // namespace
}  // namespace featflow
