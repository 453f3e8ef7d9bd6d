#pragma once

#include <filesystem>
#include <string>

#include "autoencoder/trainer.hpp"

namespace featflow {

/// Which way a training step goes. Both give the same numbers (relative 1e-5); kAutomatic chooses
/// by the active share of the previous step.
enum class StepPath { kAutomatic, kDense, kSparse };

/// train_autoencoder with the path forced, for tests and benchmarks.
Autoencoder train_autoencoder_on(StepPath path, const AutoencoderTraining& config,
                                 ActivationSource& source, const std::filesystem::path& work_folder,
                                 const std::string& progress_label);

}  // namespace featflow
