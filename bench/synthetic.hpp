#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "autoencoder/feature_activations.hpp"
#include "autoencoder/training_state.hpp"
#include "checkpoint/checkpoint.hpp"

namespace featflow::bench {

/// x [rows, n] ~ N(0, 1).
std::vector<float> normal_rows(int64_t rows, int64_t n, uint64_t seed);

/// A state in training whose mean L0 on normal_rows is `l0` ≤ m/2. Dictionary vectors are random
/// and of unit norm, encoder rows the same; every bias is the quantile of N(0, 1) above which l0/m
/// lies.
TrainingState state_with_l0(int64_t n, int64_t m, double l0);

/// Configuration for it, with a rate so small that the mean L0 stays while steps are timed. What a
/// step computes does not depend on the rate.
AutoencoderTraining steady_training(int64_t n, int64_t m);

/// Activations of two models on the same text, written as folders of shards, as a harvest does:
/// features active with Zipf's frequencies (∝ (rank + 10)^−0.8, at most 0.5; ranks in random
/// order), `mean_active` on average. Every third feature of B follows one of A where that is
/// active, with probability 0.9; the others are independent.
void write_planted_pair(int64_t rows, int64_t m_a, int64_t m_b, double mean_active,
                        const std::filesystem::path& a, const std::filesystem::path& b);

/// The paper's model: hidden 512, intermediate 1024, one layer.
ModelConfig paper_shape(int64_t vocab_size);
/// With random weights; takes as long as a training step, so no timed work may call it.
Checkpoint paper_model(int64_t vocab_size);
std::vector<int32_t> random_ids(int64_t count, int64_t vocab_size, uint64_t seed);

}  // namespace featflow::bench
