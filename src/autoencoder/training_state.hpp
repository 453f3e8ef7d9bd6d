#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "autoencoder/activation_source.hpp"
#include "autoencoder/autoencoder.hpp"
#include "autoencoder/trainer.hpp"

namespace featflow {

/// Everything that training carries from step to step, in units of the scaled input.
struct TrainingState {
  Autoencoder weights;
  Autoencoder moment1, moment2;       ///< Adam's moments of each weight, in the same shapes.
  std::vector<int64_t> last_active;   ///< [m] last step at which a feature was active.
  std::vector<int64_t> moment_start;  ///< [m] step at which a feature's moments were last zero.
  int64_t step = 0;                   ///< Steps done.
  double scale = 1;                   ///< s: training sees s·x.
  bool sparse = false;                ///< Path of the next step.
};

/// m = expansion · n features. Dictionary vectors are random unit vectors; encoder rows are the
/// same vectors times 2n/m, for then W_d ReLU(W_e x̄) = x̄ in expectation: each of m random d_j
/// gives E[ReLU(d_j·x̄) d_j] = x̄/2n. b_e = 0; b_d is the geometric median of the first rows of
/// `source` (at most 8,192), which also give the scale if config.normalize.
TrainingState initial_state(const AutoencoderTraining& config, ActivationSource& source);

/// The autoencoder of raw activations: scale and centring folded away (definitions 1 and 2).
/// With x' = s·x, f' = ReLU(W_e(s x − b_d) + b_e) and x̂ = (W_d f' + b_d)/s, features become
/// f = f'/s: W_e and W_d stay (‖d_j‖ = 1 too), b_e/s and b_d/s.
Autoencoder fold(const TrainingState& state, bool center_elements);

/// argmin_y Σ ‖x_t − y‖ over rows x [rows, n], by Weiszfeld's iteration.
std::vector<float> geometric_median(std::span<const float> x, int64_t rows, int64_t n);

/// `metrics_offset`: bytes of metrics.jsonl that belong to the steps done.
void save_checkpoint(const std::filesystem::path& file, const AutoencoderTraining& config,
                     const TrainingState& state, int64_t metrics_offset);
/// Throws Error if the file is damaged or of another configuration.
TrainingState load_checkpoint(const std::filesystem::path& file, const AutoencoderTraining& config,
                              int64_t input_size, int64_t& metrics_offset);

}  // namespace featflow
