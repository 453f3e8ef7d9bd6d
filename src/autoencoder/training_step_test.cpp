#include "autoencoder/training_step.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "autoencoder/dense_oracle.hpp"
#include "autoencoder/random_state.hpp"
#include "core/parallel.hpp"
#include "core/rng.hpp"

namespace featflow {
namespace {

struct GradientCase {
  const char* what;
  int64_t rows, n, m;
  double bias;
  bool center_elements;
  double scale;
};

// With β₁ = 0 the first moment after a step is the (projected) gradient itself.
class Gradients : public testing::TestWithParam<GradientCase> {};

TEST_P(Gradients, OfBothPathsAreThoseOfTheDenseFormulaInFloat64) {
  const GradientCase& c = GetParam();
  Rng rng(7);
  const std::vector<float> x = random_values(c.rows * c.n, 1 / c.scale, rng);
  AutoencoderTraining config;
  config.beta1 = 0;
  config.l1_coefficient = 0.02;
  config.center_elements = c.center_elements;
  config.steps = 10;

  TrainingState start = random_state(c.n, c.m, c.bias, 3);
  start.scale = c.scale;
  DenseOracle oracle(start.weights);
  oracle.scale = c.scale;
  oracle.center_elements = c.center_elements;
  oracle.l1_coefficient = config.l1_coefficient;
  const double loss = oracle.loss(x, true);
  oracle.project();

  std::vector<double> l0;
  for (const bool sparse : {false, true}) {
    SCOPED_TRACE(sparse ? "sparse path" : "dense path");
    TrainingState state = start;
    const StepMetrics metrics = TrainingStep(config).run(state, x, c.rows, sparse);
    EXPECT_NEAR(metrics.loss, loss, 1e-5 * loss);
    EXPECT_NEAR(metrics.mse + config.l1_coefficient * metrics.l1, metrics.loss, 1e-12 * loss);
    EXPECT_EQ(metrics.sparse_path, sparse);
    EXPECT_EQ(state.step, 1);
    EXPECT_LT(relative_difference(state.moment1.encoder_weight, oracle.gradient.encoder_weight),
              1e-5);
    EXPECT_LT(relative_difference(state.moment1.encoder_bias, oracle.gradient.encoder_bias), 1e-5);
    EXPECT_LT(relative_difference(state.moment1.decoder_weight, oracle.gradient.decoder_weight),
              1e-5);
    EXPECT_LT(relative_difference(state.moment1.decoder_bias, oracle.gradient.decoder_bias), 1e-5);
    l0.push_back(metrics.l0);
  }
  EXPECT_EQ(l0[0], l0[1]);
  if (c.bias > 10) {
    EXPECT_EQ(l0[0], static_cast<double>(c.m));
  }
  if (c.bias < -10) {
    EXPECT_EQ(l0[0], 0);
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, Gradients,
    testing::Values(GradientCase{"one token, one feature", 1, 8, 1, 5, false, 1},
                    GradientCase{"few", 5, 12, 24, 0, false, 1},
                    GradientCase{"centred and scaled", 70, 33, 90, 0, true, 2.5},
                    GradientCase{"no multiple of a tile", 1601, 20, 530, -1.5, false, 1},
                    GradientCase{"mostly empty rows", 200, 32, 64, -3.5, false, 1},
                    GradientCase{"nothing active", 65, 16, 40, -50, true, 1},
                    GradientCase{"all active", 130, 16, 300, 50, false, 1}),
    [](const auto& test) {
      std::string name = test.param.what;
      std::erase_if(name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); });
      return name;
    });

TEST(DenseOracle, GradientIsTheFiniteDifferenceOfItsLoss) {
  Rng rng(5);
  const TrainingState state = random_state(10, 15, 0, 8);
  const std::vector<float> x = random_values(12 * 10, 1, rng);
  DenseOracle oracle(state.weights);
  oracle.l1_coefficient = 0.05;
  oracle.center_elements = true;
  oracle.scale = 1.5;
  oracle.loss(x, true);
  constexpr double kStep = 1e-6;
  for (size_t k = 0; k < 4; ++k) {
    std::vector<double>& weights = *oracle.weights.all()[k];
    for (int repeat = 0; repeat < 10; ++repeat) {
      const size_t i = rng.below(weights.size());
      const double before = weights[i];
      weights[i] = before + kStep;
      const double above = oracle.loss(x, false);
      weights[i] = before - kStep;
      const double below = oracle.loss(x, false);
      weights[i] = before;
      EXPECT_NEAR((above - below) / (2 * kStep), (*oracle.gradient.all()[k])[i], 1e-7);
    }
  }
}

TEST(TrainingStep, FollowsTheFloat64OptimiserForManySteps) {
  constexpr int64_t kRows = 90, kWidth = 24, kFeatures = 70;
  AutoencoderTraining config;
  config.learning_rate = 1e-3;
  config.l1_coefficient = 0.01;
  config.beta2 = 0.999;
  config.steps = 100;
  for (const bool sparse : {false, true}) {
    TrainingState state = random_state(kWidth, kFeatures, -0.5, 2);
    DenseOracle oracle(state.weights);
    oracle.learning_rate = config.learning_rate;
    oracle.beta2 = config.beta2;
    oracle.l1_coefficient = config.l1_coefficient;
    TrainingStep step(config);
    Rng rng(1);
    for (int k = 0; k < 40; ++k) {
      const std::vector<float> x = random_values(kRows * kWidth, 1, rng);
      const double loss = oracle.step(x);
      EXPECT_NEAR(step.run(state, x, kRows, sparse).loss, loss, 1e-5 * loss) << k;
    }
    EXPECT_LT(relative_difference(state.weights.encoder_weight, oracle.weights.encoder_weight),
              1e-4);
    EXPECT_LT(relative_difference(state.weights.encoder_bias, oracle.weights.encoder_bias), 1e-4);
    EXPECT_LT(relative_difference(state.weights.decoder_weight, oracle.weights.decoder_weight),
              1e-4);
    EXPECT_LT(relative_difference(state.weights.decoder_bias, oracle.weights.decoder_bias), 1e-4);
    EXPECT_LT(relative_difference(state.moment2.encoder_weight, oracle.moment2.encoder_weight),
              1e-4);
    for (int64_t j = 0; j < kFeatures; ++j) {
      const float* row = state.weights.decoder_weight.data() + j * kWidth;
      EXPECT_NEAR(dot(row, row, kWidth), 1, 1e-6);
    }
  }
}

TEST(TrainingStep, ASilentFeatureStillMovesByItsMoments) {
  AutoencoderTraining config;
  config.learning_rate = 0.01;
  config.steps = 10;
  for (const bool sparse : {false, true}) {
    TrainingState state = random_state(16, 8, -50, 4);
    std::ranges::fill(state.moment1.encoder_weight, 0.5f);
    std::ranges::fill(state.moment2.encoder_weight, 0.25f);
    const float before = state.weights.encoder_weight[5];
    const std::vector<float> x(4 * 16, 1.0f);
    TrainingStep(config).run(state, x, 4, sparse);
    EXPECT_FLOAT_EQ(state.moment1.encoder_weight[5], 0.45f);
    EXPECT_FLOAT_EQ(state.moment2.encoder_weight[5], 0.25f * 0.9999f);
    // lr · (0.45/0.1) / √(0.249975/1e-4)
    EXPECT_NEAR(before - state.weights.encoder_weight[5], 0.01 * 4.5 / std::sqrt(2499.75), 1e-6);
  }
}

TEST(TrainingStep, IsTheSameBitsWithAnyNumberOfThreads) {
  AutoencoderTraining config;
  config.learning_rate = 1e-3;
  config.steps = 10;
  Rng rng(9);
  const std::vector<float> x = random_values(1700 * 48, 1, rng);
  const int threads = thread_count();
  for (const bool sparse : {false, true}) {
    std::vector<TrainingState> results;
    for (const int count : {1, 3}) {
      set_thread_count(count);
      TrainingState state = random_state(48, 600, -1, 6);
      TrainingStep step(config);
      for (int k = 0; k < 3; ++k) step.run(state, x, 1700, sparse);
      results.push_back(state);
    }
    EXPECT_EQ(results[0].weights.encoder_weight, results[1].weights.encoder_weight);
    EXPECT_EQ(results[0].weights.decoder_weight, results[1].weights.decoder_weight);
    EXPECT_EQ(results[0].weights.decoder_bias, results[1].weights.decoder_bias);
  }
  set_thread_count(threads);
}

TEST(TrainingStep, SchedulesRiseAndFallLinearly) {
  AutoencoderTraining config;
  config.learning_rate = 1;
  config.l1_coefficient = 2;
  config.steps = 100;
  config.warmup_steps = 10;
  config.decay_share = 0.2;
  config.l1_warmup_share = 0.5;
  EXPECT_DOUBLE_EQ(rates_at(config, 0).learning_rate, 0.1);
  EXPECT_DOUBLE_EQ(rates_at(config, 9).learning_rate, 1);
  EXPECT_DOUBLE_EQ(rates_at(config, 80).learning_rate, 1);
  EXPECT_DOUBLE_EQ(rates_at(config, 90).learning_rate, 0.5);
  EXPECT_DOUBLE_EQ(rates_at(config, 99).learning_rate, 0.05);
  EXPECT_DOUBLE_EQ(rates_at(config, 0).l1_coefficient, 0.04);
  EXPECT_DOUBLE_EQ(rates_at(config, 49).l1_coefficient, 2);
  EXPECT_DOUBLE_EQ(rates_at(config, 99).l1_coefficient, 2);
}

TEST(ChoosePath, HasHysteresis) {
  EXPECT_FALSE(choose_path(false, 0.5));
  EXPECT_FALSE(choose_path(false, (kSparseBelow + kDenseAbove) / 2));
  EXPECT_TRUE(choose_path(false, kSparseBelow / 2));
  EXPECT_TRUE(choose_path(true, (kSparseBelow + kDenseAbove) / 2));
  EXPECT_FALSE(choose_path(true, kDenseAbove * 1.1));
}

TEST(Transpose, ListsTheTokensOfEachFeature) {
  SparseRows rows;
  rows.feature_count = 1000;
  Rng rng(3);
  for (int t = 0; t < 70; ++t) {
    for (int32_t j = 0; j < 1000; ++j) {
      if (t % 7 != 0 && rng.uniform() < 0.03) {
        rows.features.push_back(j);
        rows.values.push_back(static_cast<float>(t));
      }
    }
    rows.row_offsets.push_back(rows.active());
  }
  ActiveSlots columns;
  transpose(rows, columns);
  ASSERT_EQ(columns.offsets.back(), rows.active());
  for (size_t j = 0; j < 1000; ++j) {
    for (auto e = static_cast<size_t>(columns.offsets[j]);
         e < static_cast<size_t>(columns.offsets[j + 1]); ++e) {
      const auto slot = static_cast<size_t>(columns.slots[e]);
      EXPECT_EQ(rows.features[slot], static_cast<int32_t>(j));
      EXPECT_EQ(rows.values[slot], static_cast<float>(columns.tokens[e]));
      if (e > static_cast<size_t>(columns.offsets[j])) {
        EXPECT_LT(columns.tokens[e - 1], columns.tokens[e]);
      }
    }
  }
}

}  // namespace
}  // namespace featflow
