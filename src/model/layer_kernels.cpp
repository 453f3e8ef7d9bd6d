#include "model/layer_kernels.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "core/blas.hpp"
#include "model/transformer_kernels.hpp"

namespace featflow {
namespace {

// Elements below which waking other threads costs more than they save.
constexpr int64_t kParallelWork = 1 << 15;

bool worth_threads(const AttentionShape& shape) {
  return shape.batch * shape.time * shape.row_width() > kParallelWork;
}

}  // namespace

void rms_norm(const float* x, const float* weight, int64_t rows, int64_t width, float epsilon,
              float* y) {
  const TransformerKernels& kernels = transformer_kernels();
#pragma omp parallel for schedule(static) if (rows * width > kParallelWork)
  for (int64_t row = 0; row < rows; ++row) {
    kernels.rms_norm(x + row * width, weight, width, epsilon, y + row * width);
  }
}

void rms_norm_backward(const float* x, const float* weight, const float* dy, int64_t rows,
                       int64_t width, float epsilon, float* dx, float* d_weight) {
  const TransformerKernels& kernels = transformer_kernels();
  constexpr int64_t kParts = 32;  // fixed, so that d_weight does not depend on the threads
  std::vector<float> partial(static_cast<size_t>(kParts * width), 0.0f);
#pragma omp parallel for schedule(static) if (rows * width > kParallelWork)
  for (int64_t part = 0; part < kParts; ++part) {
    float* dw = partial.data() + part * width;
    for (int64_t row = rows * part / kParts; row < rows * (part + 1) / kParts; ++row) {
      kernels.rms_norm_backward(x + row * width, weight, dy + row * width, width, epsilon,
                                dx + row * width, dw);
    }
  }
  std::fill(d_weight, d_weight + width, 0.0f);
  for (int64_t part = 0; part < kParts; ++part) {
    for (int64_t i = 0; i < width; ++i) {
      d_weight[i] += partial[static_cast<size_t>(part * width + i)];
    }
  }
}

void swiglu(const float* gate_up, int64_t rows, int64_t width, float* y) {
  const TransformerKernels& kernels = transformer_kernels();
#pragma omp parallel for schedule(static) if (rows * width > kParallelWork)
  for (int64_t row = 0; row < rows; ++row) {
    const float* gate = gate_up + row * 2 * width;
    kernels.swiglu(gate, gate + width, width, y + row * width);
  }
}

void swiglu_backward(const float* gate_up, const float* dy, int64_t rows, int64_t width,
                     float* d_gate_up) {
  const TransformerKernels& kernels = transformer_kernels();
#pragma omp parallel for schedule(static) if (rows * width > kParallelWork)
  for (int64_t row = 0; row < rows; ++row) {
    const float* gate = gate_up + row * 2 * width;
    float* d_gate = d_gate_up + row * 2 * width;
    kernels.swiglu_backward(gate, gate + width, dy + row * width, width, d_gate, d_gate + width);
  }
}

void fill_rope_table(int64_t time, int64_t head_dim, double theta, float* table) {
  const int64_t half = head_dim / 2;
  for (int64_t i = 0; i < half; ++i) {
    const double frequency =
        std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    for (int64_t t = 0; t < time; ++t) {
      const double angle = static_cast<double>(t) * frequency;
      table[t * head_dim + i] = static_cast<float>(std::cos(angle));
      table[t * head_dim + half + i] = static_cast<float>(std::sin(angle));
    }
  }
}

void rotate_heads(const AttentionShape& shape, const float* rope_table, bool inverse, float* qkv) {
  const int64_t half = shape.head_dim / 2;
  const float sign = inverse ? -1.0f : 1.0f;
#pragma omp parallel for schedule(static) if (worth_threads(shape))
  for (int64_t row = 0; row < shape.batch * shape.time; ++row) {
    const float* cosine = rope_table + (row % shape.time) * shape.head_dim;
    const float* sine = cosine + half;
    for (int64_t head = 0; head < shape.heads + shape.kv_heads; ++head) {  // q heads, then k heads
      float* first = qkv + row * shape.row_width() + head * shape.head_dim;
      float* second = first + half;
#pragma omp simd
      for (int64_t i = 0; i < half; ++i) {
        const float a = first[i], b = second[i], s = sign * sine[i];
        first[i] = a * cosine[i] - b * s;
        second[i] = b * cosine[i] + a * s;
      }
    }
  }
}

namespace {

// Queries go through in tiles: what lies above a tile's diagonal, or left of its window, is never
// computed, and a tile's probabilities stay in cache.
constexpr int64_t kTile = 64;

struct Tile {
  int64_t begin, end;  // query positions
  int64_t first_key;   // keys [first_key, end)
  int64_t rows() const { return end - begin; }
  int64_t keys() const { return end - first_key; }
};

Tile tile_at(const AttentionShape& shape, int64_t begin) {
  const int64_t first_key = shape.window > 0 ? std::max<int64_t>(0, begin - shape.window + 1) : 0;
  return {begin, std::min(begin + kTile, shape.time), first_key};
}

// p [tile rows, tile keys] = softmax(q kᵀ / sqrt(head_dim)) within mask and window, 0 elsewhere.
void probabilities(const AttentionShape& shape, const Tile& tile, const float* q, const float* k,
                   float* p) {
  const int64_t ld = shape.row_width(), keys = tile.keys();
  const float scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
  const TransformerKernels& kernels = transformer_kernels();
  sgemm(Transpose::kNo, Transpose::kYes, tile.rows(), keys, shape.head_dim, scale,
        q + tile.begin * ld, ld, k + tile.first_key * ld, ld, 0, p, keys);
  for (int64_t i = tile.begin; i < tile.end; ++i) {
    float* row = p + (i - tile.begin) * keys;
    const int64_t from =
        shape.window > 0 ? std::max<int64_t>(0, i - shape.window + 1) - tile.first_key : 0;
    const int64_t to = i + 1 - tile.first_key;
    const float maximum = kernels.maximum(row + from, to - from);
    const float sum = kernels.exponentials(row + from, maximum, to - from, row + from);
    kernels.multiply(1.0f / sum, row + from, to - from);
    std::fill(row, row + from, 0.0f);
    std::fill(row + to, row + keys, 0.0f);
  }
}

}  // namespace

void attention(const AttentionShape& shape, const float* qkv, float* out) {
  const int64_t ld = shape.row_width(), dim = shape.head_dim;
#pragma omp parallel for schedule(static) if (worth_threads(shape))
  for (int64_t task = 0; task < shape.batch * shape.heads; ++task) {
    const int64_t b = task / shape.heads, head = task % shape.heads;
    const int64_t kv_head = head / (shape.heads / shape.kv_heads);
    const float* q = qkv + b * shape.time * ld + head * dim;
    const float* k = qkv + b * shape.time * ld + shape.q_width() + kv_head * dim;
    const float* v = k + shape.kv_width();
    float* o = out + b * shape.time * shape.q_width() + head * dim;
    std::vector<float> p(static_cast<size_t>(std::min(kTile, shape.time) * shape.time));
    for (int64_t begin = 0; begin < shape.time; begin += kTile) {
      const Tile tile = tile_at(shape, begin);
      probabilities(shape, tile, q, k, p.data());
      sgemm(Transpose::kNo, Transpose::kNo, tile.rows(), dim, tile.keys(), 1, p.data(), tile.keys(),
            v + tile.first_key * ld, ld, 0, o + begin * shape.q_width(), shape.q_width());
    }
  }
}

void attention_backward(const AttentionShape& shape, const float* qkv, const float* d_out,
                        float* d_qkv) {
  const int64_t ld = shape.row_width(), dim = shape.head_dim, out_ld = shape.q_width();
  const int64_t group = shape.heads / shape.kv_heads;
  const float scale = 1.0f / std::sqrt(static_cast<float>(dim));
  // One task owns a key/value head and so all gradients that are summed into it.
#pragma omp parallel for schedule(static) if (worth_threads(shape))
  for (int64_t task = 0; task < shape.batch * shape.kv_heads; ++task) {
    const int64_t b = task / shape.kv_heads, kv_head = task % shape.kv_heads;
    const int64_t k_at = b * shape.time * ld + shape.q_width() + kv_head * dim;
    const int64_t v_at = k_at + shape.kv_width();
    for (int64_t t = 0; t < shape.time; ++t) {
      std::fill_n(d_qkv + k_at + t * ld, dim, 0.0f);
      std::fill_n(d_qkv + v_at + t * ld, dim, 0.0f);
    }
    const auto scratch = static_cast<size_t>(std::min(kTile, shape.time) * shape.time);
    std::vector<float> p(scratch), ds(scratch);
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      const int64_t q_at = b * shape.time * ld + head * dim;
      const float* d_o = d_out + b * shape.time * out_ld + head * dim;
      for (int64_t begin = 0; begin < shape.time; begin += kTile) {
        const Tile tile = tile_at(shape, begin);
        const int64_t rows = tile.rows(), keys = tile.keys(), first = tile.first_key * ld;
        const float* d_o_tile = d_o + begin * out_ld;
        probabilities(shape, tile, qkv + q_at, qkv + k_at, p.data());
        // dP = dO Vᵀ;  dS = P (dP − rowsum(P dP))
        sgemm(Transpose::kNo, Transpose::kYes, rows, keys, dim, 1, d_o_tile, out_ld,
              qkv + v_at + first, ld, 0, ds.data(), keys);
        for (int64_t i = 0; i < rows; ++i) {
          transformer_kernels().softmax_backward(p.data() + i * keys, keys, ds.data() + i * keys);
        }
        // dQ = dS K / sqrt(d);  dK += dSᵀ Q / sqrt(d);  dV += Pᵀ dO
        sgemm(Transpose::kNo, Transpose::kNo, rows, dim, keys, scale, ds.data(), keys,
              qkv + k_at + first, ld, 0, d_qkv + q_at + begin * ld, ld);
        sgemm(Transpose::kYes, Transpose::kNo, keys, dim, rows, scale, ds.data(), keys,
              qkv + q_at + begin * ld, ld, 1, d_qkv + k_at + first, ld);
        sgemm(Transpose::kYes, Transpose::kNo, keys, dim, rows, 1, p.data(), keys, d_o_tile, out_ld,
              1, d_qkv + v_at + first, ld);
      }
    }
  }
}

}  // namespace featflow
