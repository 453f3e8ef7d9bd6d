#include "autoencoder/tiles.hpp"

#include <algorithm>

#include "autoencoder/kernels.hpp"
#include "core/blas.hpp"
#include "core/error.hpp"
#include "core/parallel.hpp"

namespace featflow {
namespace {

// product [tile rows, tile features] = input W_eᵀ of one tile.
void tile_product(const Autoencoder& autoencoder, const float* input, int64_t rows,
                  int64_t first_feature, int64_t features, float* product, int64_t stride) {
  const int64_t n = autoencoder.input_size;
  sgemm(Transpose::kNo, Transpose::kYes, rows, features, n, 1, input, n,
        autoencoder.encoder_weight.data() + first_feature * n, n, 0, product, stride);
}

// A tile, or a band of one: tokens [begin, end) × block of features.
struct TilePart {
  int64_t begin = 0, end = 0, block = 0;
};

// In the order in which workers take them.
std::vector<TilePart> parts_in_order(int64_t rows, int64_t blocks) {
  std::vector<TilePart> parts;
  const int64_t tiles = chunk_count(rows, kTileTokens) * blocks;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t begin = tile / blocks * kTileTokens, end = std::min(begin + kTileTokens, rows);
    const int64_t step = tile < tiles - kBandedTiles ? kTileTokens : kBandTokens;
    for (int64_t row = begin; row < end; row += step) {
      parts.push_back({row, std::min(row + step, end), tile % blocks});
    }
  }
  return parts;
}

}  // namespace

void for_each_chunk(
    int64_t count, int64_t chunk,
    const std::function<void(int64_t chunk, int64_t begin, int64_t end, int worker)>& body) {
  parallel_for(chunk_count(count, chunk), 1, [&](int64_t first, int64_t last, int worker) {
    for (int64_t c = first; c < last; ++c) {
      body(c, c * chunk, std::min((c + 1) * chunk, count), worker);
    }
  });
}

void TiledEncoder::compact_band(const float* product, const float* bias, int64_t rows,
                                int64_t first_feature, int64_t features, Band& band) {
  band.row_offsets.assign(1, 0);
  int64_t used = 0;
  for (int64_t t = 0; t < rows; ++t) {
    const auto needed = static_cast<size_t>(used + features);
    if (band.features.size() < needed) {
      band.features.resize(2 * needed);
      band.values.resize(2 * needed);
    }
    used += compact(product + t * features, bias + first_feature, features,
                    static_cast<int32_t>(first_feature), band.features.data() + used,
                    band.values.data() + used);
    band.row_offsets.push_back(used);
  }
}

void TiledEncoder::encode(const Autoencoder& autoencoder, const float* input, int64_t rows,
                          SparseRows& out) {
  const int64_t n = autoencoder.input_size, m = autoencoder.feature_count;
  const int64_t blocks = chunk_count(m, kTileFeatures);
  const std::vector<TilePart> parts = parts_in_order(rows, blocks);
  bands_.resize(static_cast<size_t>(chunk_count(rows, kBandTokens) * blocks));
  products_.resize(static_cast<size_t>(thread_count()));

  for_each_chunk(std::ssize(parts), 1, [&](int64_t index, int64_t, int64_t, int worker) {
    const TilePart& part = parts[static_cast<size_t>(index)];
    const int64_t feature = part.block * kTileFeatures;
    const int64_t features = std::min(kTileFeatures, m - feature);
    std::vector<float>& product = products_[static_cast<size_t>(worker)];
    product.resize(static_cast<size_t>(std::min(kTileTokens, rows) * std::min(kTileFeatures, m)));
    tile_product(autoencoder, input + part.begin * n, part.end - part.begin, feature, features,
                 product.data(), features);
    for (int64_t row = part.begin; row < part.end; row += kBandTokens) {
      compact_band(product.data() + (row - part.begin) * features, autoencoder.encoder_bias.data(),
                   std::min(kBandTokens, part.end - row), feature, features,
                   bands_[static_cast<size_t>(row / kBandTokens * blocks + part.block)]);
    }
  });

  out.feature_count = m;
  out.row_offsets.assign(static_cast<size_t>(rows + 1), 0);
  const auto band_of = [&](int64_t row, int64_t block) -> const Band& {
    return bands_[static_cast<size_t>(row / kBandTokens * blocks + block)];
  };
  for (int64_t row = 0; row < rows; ++row) {
    int64_t count = 0;
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t* ends = band_of(row, block).row_offsets.data() + row % kBandTokens;
      count += ends[1] - ends[0];
    }
    out.row_offsets[static_cast<size_t>(row + 1)] =
        out.row_offsets[static_cast<size_t>(row)] + count;
  }
  out.features.resize(static_cast<size_t>(out.row_offsets.back()));
  out.values.resize(out.features.size());
  for_each_chunk(rows, 64, [&](int64_t, int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      int64_t to = out.row_offsets[static_cast<size_t>(row)];
      for (int64_t block = 0; block < blocks; ++block) {
        const Band& band = band_of(row, block);
        const int64_t* ends = band.row_offsets.data() + row % kBandTokens;
        std::copy(band.features.data() + ends[0], band.features.data() + ends[1],
                  out.features.data() + to);
        std::copy(band.values.data() + ends[0], band.values.data() + ends[1],
                  out.values.data() + to);
        to += ends[1] - ends[0];
      }
    }
  });
}

void TiledEncoder::encode_dense(const Autoencoder& autoencoder, const float* input, int64_t rows,
                                float* out) {
  const int64_t n = autoencoder.input_size, m = autoencoder.feature_count;
  const std::vector<TilePart> parts = parts_in_order(rows, chunk_count(m, kTileFeatures));
  for_each_chunk(std::ssize(parts), 1, [&](int64_t index, int64_t, int64_t, int) {
    const TilePart& part = parts[static_cast<size_t>(index)];
    const int64_t feature = part.block * kTileFeatures, count = part.end - part.begin;
    const int64_t features = std::min(kTileFeatures, m - feature);
    float* product = out + part.begin * m + feature;
    tile_product(autoencoder, input + part.begin * n, count, feature, features, product, m);
    const float* bias = autoencoder.encoder_bias.data() + feature;
    for (int64_t t = 0; t < count; ++t) {
      float* values = product + t * m;
      for (int64_t j = 0; j < features; ++j) {
        const float value = values[j] + bias[j];
        values[j] = value > 0 ? value : 0;
      }
    }
  });
}

void transpose(const SparseRows& rows, ActiveSlots& columns) {
  const int64_t m = rows.feature_count;
  columns.offsets.assign(static_cast<size_t>(m + 1), 0);
  columns.tokens.resize(rows.features.size());
  columns.slots.resize(rows.features.size());
  // Each block of features finds its own stretch in every row, so blocks never meet.
  const auto for_each_entry = [&](int64_t first, int64_t last, const auto& visit) {
    for (int64_t row = 0; row < rows.rows(); ++row) {
      const int32_t* begin = rows.features.data() + rows.row_offsets[static_cast<size_t>(row)];
      const int32_t* end = rows.features.data() + rows.row_offsets[static_cast<size_t>(row + 1)];
      for (const int32_t* at = std::lower_bound(begin, end, static_cast<int32_t>(first));
           at != end && *at < last; ++at) {
        visit(*at, row, at - rows.features.data());
      }
    }
  };
  for_each_chunk(m, kTileFeatures, [&](int64_t, int64_t first, int64_t last, int) {
    for_each_entry(first, last, [&](int32_t feature, int64_t, int64_t) {
      ++columns.offsets[static_cast<size_t>(feature) + 1];
    });
  });
  for (size_t j = 0; j < static_cast<size_t>(m); ++j) columns.offsets[j + 1] += columns.offsets[j];
  for_each_chunk(m, kTileFeatures, [&](int64_t, int64_t first, int64_t last, int) {
    std::vector<int64_t> next(columns.offsets.begin() + first, columns.offsets.begin() + last);
    for_each_entry(first, last, [&](int32_t feature, int64_t row, int64_t slot) {
      const auto to = static_cast<size_t>(next[static_cast<size_t>(feature - first)]++);
      columns.tokens[to] = static_cast<int32_t>(row);
      columns.slots[to] = slot;
    });
  });
}

}  // namespace featflow
