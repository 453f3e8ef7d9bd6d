#include "activations/model_source.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"

namespace featflow {

ModelActivationSource::ModelActivationSource(std::shared_ptr<const Model> model, std::string tap,
                                             std::shared_ptr<const BlockMixture> blocks,
                                             int64_t batch_blocks)
    : model_(std::move(model)),
      tap_(std::move(tap)),
      blocks_(std::move(blocks)),
      batch_blocks_(batch_blocks) {
  FEATFLOW_CHECK(batch_blocks_ > 0, "a batch needs a block");
  tap_width(model_->config(), tap_);  // refuses an unknown tap now, not at the first batch
  require_bos(*model_, "the model");
}

int64_t ModelActivationSource::width() const { return tap_width(model_->config(), tap_); }

int64_t ModelActivationSource::batch_count() const {
  return blocks_->block_count() / batch_blocks_;
}

int64_t ModelActivationSource::batch(int64_t step, std::vector<float>& rows) {
  const std::vector<int32_t> ids = blocks_->tokens(step * batch_blocks_, batch_blocks_);
  return tap_rows(*model_, tap_, ids, batch_blocks_, blocks_->block_size(), rows);
}

void require_bos(const Model& model, const std::string& name) {
  if (model.config().bos_token_id >= 0) return;
  throw Error(
      fmt::format("activations of {}: its config.json has no bos_token_id, expected that of its "
                  "tokenizer: BOS positions are left out",
                  name));
}

int64_t tap_rows(const Model& model, const std::string& tap, std::span<const int32_t> ids,
                 int64_t batch, int64_t time, std::vector<float>& rows) {
  const auto bos = static_cast<int32_t>(model.config().bos_token_id);
  int64_t count = 0;
  const Tap collect{tap, [&](TapValues values) {
                      rows.resize(static_cast<size_t>(values.rows * values.width));
                      for (int64_t r = 0; r < values.rows; ++r) {
                        if (ids[static_cast<size_t>(r)] == bos) continue;
                        std::ranges::copy(values.row(r), rows.begin() + count * values.width);
                        ++count;
                      }
                      rows.resize(static_cast<size_t>(count * values.width));
                    }};
  model.run_to_taps(ids, batch, time, {&collect, 1});
  return count;
}

}  // namespace featflow
