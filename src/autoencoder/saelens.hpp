#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "autoencoder/autoencoder.hpp"

namespace featflow {

/// What cfg.json says about where an autoencoder belongs.
struct SaelensInfo {
  std::string model_name;
  std::string hook_name;  ///< "blocks.0.mlp.hook_post"
  int64_t context_size = 0;
  bool prepend_bos = false;
};

struct SaelensAutoencoder {
  Autoencoder autoencoder;
  SaelensInfo info;
};

/// Writes a SAELens v6 folder: cfg.json and sae_weights.safetensors (W_enc [n, m], W_dec [m, n],
/// b_enc [m], b_dec [n]; apply_b_dec_to_input).
void save_saelens(const std::filesystem::path& folder, const Autoencoder& autoencoder,
                  const SaelensInfo& info);

/// Reads a SAELens folder of architecture "standard" (v6, or older and flat) without input
/// normalisation. apply_b_dec_to_input = false is folded into b_e. Dictionary vectors that are
/// not of unit norm are folded: with c = ‖row j‖, d_j = row/c and feature j, its encoder weights
/// and bias are multiplied by c; a zero row is kept as it is. Throws Error naming the folder,
/// what was found and what is supported.
SaelensAutoencoder load_saelens(const std::filesystem::path& folder);

}  // namespace featflow
