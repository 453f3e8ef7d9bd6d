#pragma once

#include <cstdint>
#include <vector>

namespace featflow {

/// Where an autoencoder's training rows come from: a model run over text (layer activations), a
/// file, or a planted generator in tests.
class ActivationSource {
 public:
  virtual ~ActivationSource() = default;
  virtual int64_t width() const = 0;        ///< n
  virtual int64_t batch_count() const = 0;  ///< Steps available.
  /// rows becomes [count, n] for batch `step`, the same for the same step on every call; returns
  /// count, which may vary a little (BOS positions are left out).
  virtual int64_t batch(int64_t step, std::vector<float>& rows) = 0;
};

}  // namespace featflow
