#include "autoencoder/autoencoder.hpp"

#include <algorithm>
#include <string>

#include "autoencoder/kernels.hpp"
#include "autoencoder/tiles.hpp"
#include "core/error.hpp"

namespace featflow {

SparseRows encode(const Autoencoder& autoencoder, std::span<const float> x, int64_t rows) {
  const int64_t n = autoencoder.input_size;
  FEATFLOW_CHECK(std::ssize(x) == rows * n, "x must be [rows, n]");
  SparseRows result;
  result.feature_count = autoencoder.feature_count;

  constexpr int64_t kRowsAtOnce = 4 * kTileTokens;  // bounds the memory of the centred copy
  TiledEncoder encoder;
  SparseRows part;
  std::vector<float> input;
  for (int64_t begin = 0; begin < rows; begin += kRowsAtOnce) {
    const int64_t count = std::min(kRowsAtOnce, rows - begin);
    input.resize(static_cast<size_t>(count * n));
    for_each_chunk(count, 64, [&](int64_t, int64_t first, int64_t last, int) {
      for (int64_t t = first; t < last; ++t) {
        const float* from = x.data() + (begin + t) * n;
        float* to = input.data() + t * n;
        for (int64_t i = 0; i < n; ++i) {
          to[i] = from[i] - autoencoder.decoder_bias[static_cast<size_t>(i)];
        }
      }
    });
    encoder.encode(autoencoder, input.data(), count, part);
    const int64_t before = result.active();
    result.features.insert(result.features.end(), part.features.begin(), part.features.end());
    result.values.insert(result.values.end(), part.values.begin(), part.values.end());
    for (size_t t = 1; t < part.row_offsets.size(); ++t) {
      result.row_offsets.push_back(before + part.row_offsets[t]);
    }
  }
  return result;
}

void decode(const Autoencoder& autoencoder, const SparseRows& features, std::span<float> x_hat) {
  const int64_t n = autoencoder.input_size;
  FEATFLOW_CHECK(std::ssize(x_hat) == features.rows() * n, "x_hat must be [rows, n]");
  FEATFLOW_CHECK(features.feature_count == autoencoder.feature_count,
                 "features of another autoencoder");
  for_each_chunk(features.rows(), 64, [&](int64_t, int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      float* out = x_hat.data() + t * n;
      std::copy(autoencoder.decoder_bias.begin(), autoencoder.decoder_bias.end(), out);
      const int64_t first = features.row_offsets[static_cast<size_t>(t)];
      const int64_t last = features.row_offsets[static_cast<size_t>(t) + 1];
      add_rows(features.values.data() + first, features.features.data() + first, last - first,
               autoencoder.decoder_weight.data(), out, n);
    }
  });
}

}  // namespace featflow
