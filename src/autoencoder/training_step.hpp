#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "autoencoder/autoencoder.hpp"
#include "autoencoder/kernels.hpp"
#include "autoencoder/step_rates.hpp"
#include "autoencoder/tiles.hpp"
#include "autoencoder/trainer.hpp"
#include "autoencoder/training_state.hpp"

namespace featflow {

/// A sparse step grows with the share of features that is active per token, a dense one does not:
/// they cost the same near a share of 0.14 (n = 1024, m = 16,384) to 0.19 (n = 512, m = 2048).
/// Counts decide, never clocks; two thresholds keep the choice from flickering.
inline constexpr double kSparseBelow = 0.12;
inline constexpr double kDenseAbove = 0.16;
/// Whether the next step is sparse, from the active share of the last one.
bool choose_path(bool was_sparse, double active_share);

/// A batch as training sees it.
struct PreparedBatch {
  int64_t rows = 0;
  std::vector<float> target;  ///< s·x [B, n], what is reconstructed.
  std::vector<float> input;   ///< x̄ [B, n] = s·x (minus each row's own mean) − b_d.
};
void prepare_batch(const TrainingState& state, bool center_elements, std::span<const float> x,
                   int64_t rows, PreparedBatch& batch);

/// One exact training step: loss of definitions 2, its gradient, Adam, unit dictionary vectors.
///
/// With G = 2(x̂ − x)/(nB) and active features only (f > 0):
///   ∂f = G·d_j + λ/B,  ∂d_j = Σ f G,  ∂W_e = Σ ∂f x̄,  ∂b_e = Σ ∂f,  ∂b_d = Σ G − W_eᵀ ∂b_e.
/// An inactive feature has no gradient, so after the encoder product the sparse path touches only
/// what is active. Either way a feature's gradients live in cache from their sum to Adam, its
/// projection and the new norm: they are never written to memory as a whole. No sum depends on
/// the number of threads.
class TrainingStep {
 public:
  explicit TrainingStep(const AutoencoderTraining& config) : config_(config) {}

  /// x [rows, n] unscaled. Advances `state` by one step (not its `sparse`).
  StepMetrics run(TrainingState& state, std::span<const float> x, int64_t rows, bool sparse);

 private:
  void sparse_step(TrainingState& state);
  void dense_step(TrainingState& state);
  // x̂ − x of token t, in residual_, becomes G; its squared norm is kept.
  void differentiate_residual(int64_t token, int64_t n, float* column_sum);
  // Adam, projection and norm for feature j, whose gradients are given (and used up).
  void update_feature(TrainingState& state, int64_t feature, const float* encoder_gradient,
                      float* decoder_gradient, double bias_gradient);
  void update_decoder_bias(TrainingState& state);

  AutoencoderTraining config_;
  StepRates rates_;
  PreparedBatch batch_;
  TiledEncoder encoder_;
  SparseRows active_;                             // f
  ActiveSlots columns_;                           // its transpose
  std::vector<float> df_;                         // ∂f at the same entries
  std::vector<float> dense_;                      // f [B, m], on the dense path only
  std::vector<float> residual_;                   // x̂, then G [B, n]
  std::vector<double> squared_error_, l1_;        // [B]
  std::vector<int64_t> active_tokens_;            // [m]
  std::vector<float> token_sums_, feature_sums_;  // parts of ∂b_d [chunks, n]
};

}  // namespace featflow
