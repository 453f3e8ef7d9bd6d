#pragma once

#include <cstdint>

namespace featflow {

// The parts of a transformer layer that are not matrix products with weights, forward and
// backward, each in one visit to memory. Plain float32 on row-major arrays; rows are
// batch · time + position. Parallel over OpenMP's threads, as LibTorch's own operations are;
// results do not depend on their number.

/// y = x / sqrt(mean(x²) + epsilon) · weight, row by row. x, y [rows, width]; weight [width].
void rms_norm(const float* x, const float* weight, int64_t rows, int64_t width, float epsilon,
              float* y);
/// dx [rows, width] and d_weight [width] are overwritten.
void rms_norm_backward(const float* x, const float* weight, const float* dy, int64_t rows,
                       int64_t width, float epsilon, float* dx, float* d_weight);

/// y = silu(gate) · up, with gate_up [rows, 2·width] = [gate | up]; y [rows, width].
void swiglu(const float* gate_up, int64_t rows, int64_t width, float* y);
void swiglu_backward(const float* gate_up, const float* dy, int64_t rows, int64_t width,
                     float* d_gate_up);

/// Causal attention of grouped heads over rows [q | k | v] of (heads + 2·kv_heads)·head_dim.
struct AttentionShape {
  int64_t batch = 0, time = 0;
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  int64_t window = 0;  ///< Position i sees j with i − window < j ≤ i; 0: all j ≤ i.

  int64_t q_width() const { return heads * head_dim; }
  int64_t kv_width() const { return kv_heads * head_dim; }
  int64_t row_width() const { return q_width() + 2 * kv_width(); }
};

/// The rotary table [time, head_dim]: head_dim/2 cosines, then as many sines, of
/// position · theta^(−2i/head_dim).
void fill_rope_table(int64_t time, int64_t head_dim, double theta, float* table);
/// Rotates every q and k head in place (half-split form: element i with i + head_dim/2) by its
/// position's angles, or back (`inverse`, which is also the gradient's way).
void rotate_heads(const AttentionShape& shape, const float* rope_table, bool inverse, float* qkv);

/// out [rows, heads·head_dim] = softmax(q kᵀ / sqrt(head_dim) + mask) v; qkv already rotated.
void attention(const AttentionShape& shape, const float* qkv, float* out);
/// d_qkv [rows, row_width] is overwritten. Probabilities are computed again rather than kept.
void attention_backward(const AttentionShape& shape, const float* qkv, const float* d_out,
                        float* d_qkv);

}  // namespace featflow
