#include "autoencoder/file_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.hpp"
#include "core/rng.hpp"
#include "storage/safetensors.hpp"

namespace featflow {

FileActivationSource::FileActivationSource(const std::filesystem::path& file,
                                           const std::string& tensor, int64_t batch_rows,
                                           int64_t tokens, uint64_t seed)
    : batch_rows_(batch_rows), seed_(seed) {
  const SafetensorsFile stored(file);
  const TensorInfo& info = stored.info(tensor);
  if (info.shape.size() != 2 || info.shape[0] < batch_rows || info.shape[1] < 1) {
    throw Error(
        fmt::format("{}: tensor {} has the shape [{}], expected [rows, n] with at least "
                    "one batch of {} rows",
                    file.string(), in_quotes(tensor), fmt::join(info.shape, ", "), batch_rows));
  }
  row_count_ = info.shape[0];
  width_ = info.shape[1];
  values_ = stored.read_float(tensor);
  if (const auto bad = std::ranges::find_if(values_, [](float v) { return !std::isfinite(v); });
      bad != values_.end()) {
    throw Error(fmt::format("{}: tensor {} has {} in row {}, expected finite activations",
                            file.string(), in_quotes(tensor), *bad,
                            (bad - values_.begin()) / width_));
  }
  batch_count_ = (tokens + batch_rows - 1) / batch_rows;
}

int64_t FileActivationSource::batch(int64_t step, std::vector<float>& rows) {
  const int64_t per_epoch = row_count_ / batch_rows_;
  if (epoch_ != step / per_epoch) {
    epoch_ = step / per_epoch;
    order_.resize(static_cast<size_t>(row_count_));
    std::iota(order_.begin(), order_.end(), 0);
    Rng(seed_, fmt::format("epoch {}", epoch_)).shuffle(order_);
  }
  rows.resize(static_cast<size_t>(batch_rows_ * width_));
  for (int64_t r = 0; r < batch_rows_; ++r) {
    const int64_t from = order_[static_cast<size_t>(step % per_epoch * batch_rows_ + r)];
    std::copy_n(values_.begin() + from * width_, width_, rows.begin() + r * width_);
  }
  return batch_rows_;
}

}  // namespace featflow
