#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "autoencoder/autoencoder.hpp"

namespace featflow {

/// The encoder product is cut into tiles of kTileTokens × kTileFeatures, one single-threaded sgemm
/// each, whatever the number of threads: so pre-activations are the same bits on every path.
inline constexpr int64_t kTileTokens = 1536;
inline constexpr int64_t kTileFeatures = 512;
/// The last tiles are cut into bands of so many tokens, so that no worker waits a whole tile (17 ms
/// at the paper's size) for the others at the end. Always the same ones, for the same reason.
inline constexpr int64_t kBandTokens = 384;
inline constexpr int64_t kBandedTiles = 4;
static_assert(kTileTokens % kBandTokens == 0);

inline int64_t chunk_count(int64_t count, int64_t chunk) { return (count + chunk - 1) / chunk; }

/// Calls body(chunk, begin, end, worker) for [0, count) in chunks of exactly `chunk` (the last
/// may be shorter), in parallel. Sums kept per chunk do not depend on the workers.
void for_each_chunk(
    int64_t count, int64_t chunk,
    const std::function<void(int64_t chunk, int64_t begin, int64_t end, int worker)>& body);

/// Reused between batches; not shared between threads that call encode.
class TiledEncoder {
 public:
  /// ReLU(input W_eᵀ + b_e) for input [rows, n] (b_d already subtracted): every tile is
  /// compacted to (feature, value) lists while it is in cache.
  void encode(const Autoencoder& autoencoder, const float* input, int64_t rows, SparseRows& out);
  /// The same numbers as a dense array out [rows, m].
  static void encode_dense(const Autoencoder& autoencoder, const float* input, int64_t rows,
                           float* out);

 private:
  struct Band {                        // of one tile
    std::vector<int64_t> row_offsets;  // [band tokens + 1]
    std::vector<int32_t> features;
    std::vector<float> values;
  };
  static void compact_band(const float* product, const float* bias, int64_t rows,
                           int64_t first_feature, int64_t features, Band& band);

  std::vector<Band> bands_;                   // [bands of tokens, blocks of features]
  std::vector<std::vector<float>> products_;  // one per worker
};

/// The transpose of SparseRows: feature j is active at entries offsets[j] … offsets[j+1].
struct ActiveSlots {
  std::vector<int64_t> offsets;  ///< [m + 1]
  std::vector<int32_t> tokens;   ///< [nnz] ascending within a feature
  std::vector<int64_t> slots;    ///< [nnz] index of the entry in SparseRows::features and ::values
};
void transpose(const SparseRows& rows, ActiveSlots& columns);

}  // namespace featflow
