// Skipped where there is no GPU.

#include "autoencoder/cuda/cuda_training_step.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "autoencoder/random_state.hpp"
#include "autoencoder/training_step.hpp"
#include "core/rng.hpp"

namespace featflow {
namespace {

class OnGpu : public testing::Test {
 protected:
  void SetUp() override {
    const std::string reason = cuda_unavailable();
    if (!reason.empty()) GTEST_SKIP() << reason;
  }
};

void expect_near(const Autoencoder& a, const Autoencoder& b, double tolerance) {
  EXPECT_LT(relative_difference(a.encoder_weight, b.encoder_weight), tolerance);
  EXPECT_LT(relative_difference(a.encoder_bias, b.encoder_bias), tolerance);
  EXPECT_LT(relative_difference(a.decoder_weight, b.decoder_weight), tolerance);
  EXPECT_LT(relative_difference(a.decoder_bias, b.decoder_bias), tolerance);
}

struct Case {
  const char* what;
  int64_t rows, n, m;
  double bias;
  bool center_elements;
  double scale;
};

const Case kCases[] = {{"one token, one feature", 1, 8, 1, 5, false, 1},
                       {"few", 5, 12, 24, 0, false, 1},
                       {"centred and scaled", 70, 33, 90, 0, true, 2.5},
                       {"wider than a block", 65, 300, 520, -1.5, false, 1},
                       {"mostly empty rows", 200, 32, 64, -3.5, false, 1},
                       {"nothing active", 65, 16, 40, -50, true, 1},
                       {"all active", 130, 16, 300, 50, false, 1}};

// With β₁ = 0 the first moment after a step is the (projected) gradient itself.
TEST_F(OnGpu, GradientsAreThoseOfTheCpu) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.what);
    Rng rng(7);
    const std::vector<float> x = random_values(c.rows * c.n, 1 / c.scale, rng);
    AutoencoderTraining config;
    config.beta1 = 0;
    config.l1_coefficient = 0.02;
    config.center_elements = c.center_elements;
    config.steps = 10;
    TrainingState expected = random_state(c.n, c.m, c.bias, 3);
    expected.scale = c.scale;
    TrainingState state = expected;

    CudaTrainingStep step(config);
    step.upload(state);
    const StepMetrics metrics = step.run(x, c.rows);
    step.download(state);
    const StepMetrics of_cpu = TrainingStep(config).run(expected, x, c.rows, /*sparse=*/true);

    EXPECT_NEAR(metrics.loss, of_cpu.loss, 1e-5 * of_cpu.loss);
    EXPECT_NEAR(metrics.l1, of_cpu.l1, 1e-5 * of_cpu.l1);
    EXPECT_EQ(metrics.l0, of_cpu.l0);
    EXPECT_EQ(state.step, 1);
    EXPECT_EQ(state.last_active, expected.last_active);
    expect_near(state.moment1, expected.moment1, 1e-5);
    expect_near(state.moment2, expected.moment2, 2e-5);
  }
}

TEST_F(OnGpu, FollowsTheCpuForManySteps) {
  constexpr int64_t kRows = 90, kWidth = 24, kFeatures = 70;
  AutoencoderTraining config;
  config.learning_rate = 1e-3;
  config.l1_coefficient = 0.01;
  config.beta2 = 0.999;
  config.warmup_steps = 5;
  config.steps = 40;
  TrainingState expected = random_state(kWidth, kFeatures, -0.5, 2);
  expected.step = 3;  // As after a resampling: moments of different age.
  expected.moment_start[7] = 3;
  TrainingState state = expected;
  TrainingStep cpu(config);
  CudaTrainingStep gpu(config);
  gpu.upload(state);
  Rng rng(1);
  for (int k = 0; k < 30; ++k) {
    const std::vector<float> x = random_values(kRows * kWidth, 1, rng);
    const double loss = cpu.run(expected, x, kRows, /*sparse=*/true).loss;
    EXPECT_NEAR(gpu.run(x, kRows).loss, loss, 1e-5 * loss) << k;
  }
  gpu.download(state);
  EXPECT_EQ(state.step, 33);
  expect_near(state.weights, expected.weights, 1e-4);
  expect_near(state.moment2, expected.moment2, 1e-4);
  for (int64_t j = 0; j < kFeatures; ++j) {
    const float* row = state.weights.decoder_weight.data() + j * kWidth;
    EXPECT_NEAR(dot(row, row, kWidth), 1, 1e-6);
  }
}

TEST_F(OnGpu, IsTheSameBitsTwice) {
  AutoencoderTraining config;
  config.steps = 10;
  Rng rng(9);
  const std::vector<float> x = random_values(700 * 48, 1, rng);
  std::vector<TrainingState> results;
  for (int repeat = 0; repeat < 2; ++repeat) {
    TrainingState state = random_state(48, 600, -1, 6);
    CudaTrainingStep step(config);
    step.upload(state);
    for (int k = 0; k < 3; ++k) step.run(x, 700);
    step.download(state);
    results.push_back(state);
  }
  EXPECT_EQ(results[0].weights.encoder_weight, results[1].weights.encoder_weight);
  EXPECT_EQ(results[0].weights.decoder_weight, results[1].weights.decoder_weight);
  EXPECT_EQ(results[0].weights.decoder_bias, results[1].weights.decoder_bias);
}

TEST(CudaTrainingStep, SaysWhyWithoutADevice) {
  if (cuda_unavailable().empty()) GTEST_SKIP() << "there is a device";
  try {
    CudaTrainingStep step(AutoencoderTraining{});
    FAIL() << "no device, and no error";
  } catch (const std::exception& error) {
    EXPECT_NE(std::string(error.what()).find("expected a GPU"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace featflow
