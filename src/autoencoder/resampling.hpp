#pragma once

#include <cstdint>

#include "autoencoder/activation_source.hpp"
#include "autoencoder/training_state.hpp"

namespace featflow {

/// Steps in which a feature must have been silent to count as dead: 10% of all.
int64_t resampling_window(const AutoencoderTraining& config);
/// True at 20, 40 and 60% of the steps (definitions 6): before that step is made.
bool resamples_at(const AutoencoderTraining& config, int64_t step);
/// Features silent in the last resampling_window() steps.
int64_t count_dead(const TrainingState& state, const AutoencoderTraining& config);

/// Bricken et al. 2023: each dead feature is given an input on which the autoencoder does badly
/// (drawn without replacement with p ∝ loss², from kResampleBatches batches at random places).
/// Its dictionary vector becomes that input's unit x̄, its encoder row the same direction with
/// 0.2 × the mean norm of alive encoder rows, its bias 0, and its Adam moments start anew, their
/// bias correction too (with the old count a fresh second moment would be divided by 1, and the
/// first steps be 20 times too long). Random numbers come from (seed, step): no state.
/// Returns the number of features given a new start.
int64_t resample_dead_features(TrainingState& state, const AutoencoderTraining& config,
                               ActivationSource& source);

inline constexpr int64_t kResampleBatches = 16;

}  // namespace featflow
