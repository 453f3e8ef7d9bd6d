#pragma once

#include <filesystem>
#include <string>

#include "autoencoder/activation_source.hpp"

namespace featflow {

/// Training rows from a tensor [rows, n] (float32, float16 or bfloat16) of a safetensors file.
/// Batch k is `batch_rows` rows of a seeded order; each epoch is a new permutation of all rows, of
/// which the incomplete last batch is left out.
class FileActivationSource : public ActivationSource {
 public:
  /// Enough batches for `tokens` rows in all. Throws Error if the tensor is missing, is not a
  /// matrix, has fewer rows than a batch, or has values that are not finite.
  FileActivationSource(const std::filesystem::path& file, const std::string& tensor,
                       int64_t batch_rows, int64_t tokens, uint64_t seed);

  int64_t width() const override { return width_; }
  int64_t batch_count() const override { return batch_count_; }
  int64_t batch(int64_t step, std::vector<float>& rows) override;

 private:
  std::vector<float> values_;  // [rows, width]
  int64_t row_count_ = 0, width_ = 0, batch_rows_ = 0, batch_count_ = 0;
  uint64_t seed_ = 0;
  int64_t epoch_ = -1;
  std::vector<int64_t> order_;  // of epoch_
};

}  // namespace featflow
