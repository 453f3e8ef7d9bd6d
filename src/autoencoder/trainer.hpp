#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "autoencoder/activation_source.hpp"
#include "autoencoder/autoencoder.hpp"

namespace featflow {

/// Keys of a study's [autoencoder] that concern training itself; defaults are the paper's.
struct AutoencoderTraining {
  int64_t expansion = 16;        ///< m = expansion · n
  double l1_coefficient = 3e-4;  ///< λ of definitions 2 (mean over elements); λ_sum = n λ.
  double learning_rate = 1e-4;
  double beta1 = 0.9;
  double beta2 = 0.9999;
  double epsilon = 1e-8;
  int64_t warmup_steps = 0;    ///< Linear warm-up of the learning rate.
  double decay_share = 0;      ///< Last share of the steps in which the rate falls linearly to 0.
  double l1_warmup_share = 0;  ///< First share of the steps in which λ rises linearly.
  bool normalize = false;  ///< Scale activations so that E‖x‖² = n; folded back at the end.
  bool center_elements = false;  ///< Subtract each vector's own mean; folded (definitions 1).
  bool resample = true;          ///< Definitions 6.
  int64_t steps = 0;             ///< = batches drawn
  uint64_t seed = 0;
  int64_t checkpoint_every = 200;  ///< Steps; no influence on results.
};

struct StepMetrics {
  int64_t step = 0;
  double loss = 0, mse = 0, l1 = 0, l0 = 0;  ///< mse: ‖x−x̂‖²/n per token; l1: Σf per token.
  int64_t dead = 0;                          ///< Features silent in the current window.
  bool sparse_path = false;
};

/// Throws Error naming the setting if one makes no sense. Steps depend on the source and are left
/// out.
void check_autoencoder_training(const AutoencoderTraining& config);

/// Trains on batches 0 … steps-1 of `source`. State is checkpointed in `work_folder`
/// (kCheckpointFile, metrics.jsonl); a call that finds a checkpoint goes on from it and ends with
/// the same bytes. The last one stays, so that nothing is lost before the caller has stored the
/// result (ArtifactBuilder::commit deletes it). On Ctrl-C saves and throws Interrupted.
Autoencoder train_autoencoder(const AutoencoderTraining& config, ActivationSource& source,
                              const std::filesystem::path& work_folder,
                              const std::string& progress_label);

}  // namespace featflow
