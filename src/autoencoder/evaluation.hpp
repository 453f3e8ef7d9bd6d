#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "autoencoder/activation_source.hpp"
#include "autoencoder/autoencoder.hpp"

namespace featflow {

/// Bins of log10(density): [-8, 0] in steps of 1/4; the ends take what lies beyond.
inline constexpr int kDensityBins = 32;
inline constexpr double kDensityBinWidth = 0.25;
inline constexpr double kLowestLog10Density = -8;

/// Definitions 6 and 7, on some rows of activations.
struct AutoencoderStatistics {
  int64_t rows = 0;
  double mean_l0 = 0;                ///< Active features per row.
  double mse = 0;                    ///< Σ‖x − x̂‖² / (rows · n)
  double variance = 0;               ///< Σ‖x − mean(x)‖² / (rows · n)
  double explained_variance = 0;     ///< 1 − mse / variance; NaN if the rows are all equal.
  std::vector<int64_t> active_rows;  ///< [m] rows on which each feature is active.

  int64_t dead() const;  ///< Features active on no row.
  double dead_share() const;
  /// Of the features that are alive.
  std::array<int64_t, kDensityBins> density_histogram() const;
};

/// Adds up batches in float64; variance sums are shifted by the first batch's mean, so that a
/// large common mean costs no digits.
class AutoencoderEvaluator {
 public:
  explicit AutoencoderEvaluator(const Autoencoder& autoencoder);  ///< Borrowed.
  void add(std::span<const float> x, int64_t rows);               ///< x [rows, n]
  /// Throws Error if no rows were added or a sum is not finite.
  AutoencoderStatistics result() const;

 private:
  const Autoencoder& autoencoder_;
  std::vector<double> shift_;        // [n]
  std::vector<double> shifted_sum_;  // [n]
  double shifted_square_ = 0, squared_error_ = 0;
  int64_t rows_ = 0;
  std::vector<int64_t> active_rows_;
};

/// Batches 0 … batches-1 of the source.
AutoencoderStatistics evaluate_autoencoder(const Autoencoder& autoencoder, ActivationSource& source,
                                           int64_t batches);

}  // namespace featflow
