#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace featflow {

/// Sparse autoencoder, definitions 1: x̄ = x − b_d; f = ReLU(W_e x̄ + b_e); x̂ = W_d f + b_d.
struct Autoencoder {
  int64_t input_size = 0;             ///< n
  int64_t feature_count = 0;          ///< m
  std::vector<float> encoder_weight;  ///< W_e [m, n]
  std::vector<float> encoder_bias;    ///< b_e [m]
  std::vector<float>
      decoder_weight;  ///< W_dᵀ [m, n]: row j is the dictionary vector d_j, ‖d_j‖ = 1
  std::vector<float> decoder_bias;  ///< b_d [n]
};

/// Feature activations of some rows: row r has features[row_offsets[r] … row_offsets[r+1]),
/// ascending, with positive values.
struct SparseRows {
  int64_t feature_count = 0;
  std::vector<int64_t> row_offsets = {0};  ///< [rows + 1]
  std::vector<int32_t> features;           ///< [nnz]
  std::vector<float> values;               ///< [nnz]

  int64_t rows() const { return static_cast<int64_t>(row_offsets.size()) - 1; }
  int64_t active() const { return static_cast<int64_t>(features.size()); }
};

/// x [rows, n] → features. Independent of the thread count.
SparseRows encode(const Autoencoder& autoencoder, std::span<const float> x, int64_t rows);
/// x̂ [rows, n].
void decode(const Autoencoder& autoencoder, const SparseRows& features, std::span<float> x_hat);

}  // namespace featflow
