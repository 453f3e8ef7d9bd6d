#pragma once

#include <memory>
#include <string>

#include "autoencoder/activation_source.hpp"
#include "model/model.hpp"
#include "tokens/block_mixture.hpp"

namespace featflow {

/// Throws Error, naming the model, unless its config knows BOS: such positions give no row.
void require_bos(const Model& model, const std::string& name);

/// An autoencoder's training rows, produced on the spot (definitions 5): batch k is `batch_blocks`
/// blocks of the mixture, each run through the model alone; BOS positions give no row.
class ModelActivationSource : public ActivationSource {
 public:
  ModelActivationSource(std::shared_ptr<const Model> model, std::string tap,
                        std::shared_ptr<const BlockMixture> blocks, int64_t batch_blocks);

  int64_t width() const override;
  int64_t batch_count() const override;
  int64_t batch(int64_t step, std::vector<float>& rows) override;

 private:
  std::shared_ptr<const Model> model_;
  std::string tap_;
  std::shared_ptr<const BlockMixture> blocks_;
  int64_t batch_blocks_;
};

/// rows becomes the tap's values [count, width] of ids [batch, time] at positions that are not
/// `bos`; returns count.
int64_t tap_rows(const Model& model, const std::string& tap, std::span<const int32_t> ids,
                 int64_t batch, int64_t time, std::vector<float>& rows);

}  // namespace featflow
