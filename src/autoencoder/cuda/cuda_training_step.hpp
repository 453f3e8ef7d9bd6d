#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "autoencoder/trainer.hpp"
#include "autoencoder/training_state.hpp"

namespace featflow {

/// Why no CUDA device can be used, or "" if one can.
std::string cuda_unavailable();

/// TrainingStep on a GPU: the same loss, gradients, Adam and unit dictionary vectors (definitions
/// 1-3) in float32, without TF32, sums in another order. Only the encoder's product is dense;
/// everything behind it runs over active entries, in lists of fixed order, so that the same device
/// and libraries give the same bits.
///
/// The state stays on the device from step to step: download it before it is read or saved, and
/// upload it after it was changed (resampling). Device memory: 4·rows·m bytes for the product, 24 n
/// m for weights and moments, 12·rows·n for the batch, and 20 for each active entry.
class CudaTrainingStep {
 public:
  /// Throws Error if there is no device, or its memory does not suffice.
  explicit CudaTrainingStep(const AutoencoderTraining& config);
  ~CudaTrainingStep();
  CudaTrainingStep(const CudaTrainingStep&) = delete;
  CudaTrainingStep& operator=(const CudaTrainingStep&) = delete;

  void upload(const TrainingState& state);
  /// Everything but `sparse`, which is left as it is: there is one path only.
  void download(TrainingState& state) const;

  /// x [rows, n] unscaled, rows·m < 2³¹. Advances the state on the device by one step.
  StepMetrics run(std::span<const float> x, int64_t rows);

 private:
  struct Device;
  std::unique_ptr<Device> device_;
};

}  // namespace featflow
