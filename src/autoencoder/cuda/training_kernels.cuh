#pragma once

#include <cstdint>

// The kernels of cuda_training_step.cu, which alone includes this, in the order in which a step
// runs them. B rows, n inputs, m features; sums run in a fixed order, and nothing is added
// atomically.
namespace featflow {
namespace {

constexpr int kThreads = 256;  // of a block
constexpr int kWarp = 32;
constexpr int kWarps = kThreads / kWarp;
constexpr unsigned kAllLanes = 0xffffffffu;

// ---- inside kernels

// Σ over a block, in a fixed order; every thread gets it.
__device__ double block_sum(double value) {
  __shared__ double parts[kThreads];
  const int thread = static_cast<int>(threadIdx.x);
  parts[thread] = value;
  __syncthreads();
  for (int width = kThreads / 2; width > 0; width /= 2) {
    if (thread < width) parts[thread] += parts[thread + width];
    __syncthreads();
  }
  const double total = parts[0];
  __syncthreads();  // before the next call writes
  return total;
}

// Σ over a warp, in its first lane.
template <typename T>
__device__ T warp_sum(T value) {
  for (int width = kWarp / 2; width > 0; width /= 2) {
    value += __shfl_down_sync(kAllLanes, value, width);
  }
  return value;
}

__device__ int lane() { return static_cast<int>(threadIdx.x) % kWarp; }
// The row, entry or feature of a warp, where each has one.
__device__ int warp_index() {
  return static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
}

// What a weight [.., n] and its two moments are updated by: AdamStep of kernels.hpp.
struct Adam {
  double learning_rate, beta1, beta2, epsilon;
};
struct Weight {
  float *value, *moment1, *moment2;
};

struct AdamAt {
  float beta1, new1, beta2, new2, rate, root_scale, epsilon;

  // `age`: steps that these moments have seen, this one included.
  __device__ AdamAt(const Adam& adam, int64_t age)
      : beta1(static_cast<float>(adam.beta1)),
        new1(static_cast<float>(1 - adam.beta1)),
        beta2(static_cast<float>(adam.beta2)),
        new2(static_cast<float>(1 - adam.beta2)),
        rate(static_cast<float>(adam.learning_rate /
                                (1 - pow(adam.beta1, static_cast<double>(age))))),
        root_scale(static_cast<float>(1 / sqrt(1 - pow(adam.beta2, static_cast<double>(age))))),
        epsilon(static_cast<float>(adam.epsilon)) {}

  __device__ void update(float gradient, const Weight& weight, int64_t at) const {
    const float m = beta1 * weight.moment1[at] + new1 * gradient;
    const float v = beta2 * weight.moment2[at] + new2 * gradient * gradient;
    weight.moment1[at] = fabsf(m) < 1e-30f ? 0.0f : m;  // as on the CPU
    weight.moment2[at] = v;
    weight.value[at] -= rate * m / (sqrtf(v) * root_scale + epsilon);
  }
};

// ---- the step, kernel by kernel

// Block per row: target = s·x [B, n]; input = x̄ = s·x (minus the row's own mean) − b_d [B, n].
__global__ void prepare(const float* x, float scale, bool center_elements, const float* bias, int n,
                        float* target, float* input) {
  const int64_t row = int64_t{blockIdx.x} * n;
  float mean = 0;
  if (center_elements) {
    double sum = 0;
    for (int i = threadIdx.x; i < n; i += kThreads) sum += static_cast<double>(scale * x[row + i]);
    mean = static_cast<float>(block_sum(sum) / n);
  }
  for (int i = threadIdx.x; i < n; i += kThreads) {
    target[row + i] = scale * x[row + i];
    input[row + i] = target[row + i] - mean - bias[i];
  }
}

// products [B, m] = x̄ W_eᵀ. Warp per row: how many features are active in it.
__global__ void count_in_rows(const float* products, const float* bias, int rows, int m,
                              int* counts) {
  const int row = warp_index();
  if (row >= rows) return;
  int count = 0;
  for (int j = lane(); j < m; j += kWarp) count += products[int64_t{row} * m + j] + bias[j] > 0;
  count = warp_sum(count);
  if (lane() == 0) counts[row] = count;
}

// Thread per feature: in how many rows it is active.
__global__ void count_in_columns(const float* products, const float* bias, int rows, int m,
                                 int* counts) {
  const int j = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (j >= m) return;
  int count = 0;
  for (int row = 0; row < rows; ++row) count += products[int64_t{row} * m + j] + bias[j] > 0;
  counts[j] = count;
}

// Warp per row: f as (feature, value) from offsets[row] on, features ascending. In the place of
// each product comes the number of its entry, or −1, for the transpose.
__global__ void compact(float* products, const float* bias, int rows, int m, const int* offsets,
                        int* features, float* values) {
  const int row = warp_index();
  if (row >= rows) return;
  int next = offsets[row];
  for (int base = 0; base < m; base += kWarp) {
    const int j = base + lane();
    float* product = products + int64_t{row} * m + j;
    const float value = j < m ? *product + bias[j] : 0;
    const unsigned active = __ballot_sync(kAllLanes, value > 0);
    const int entry = next + __popc(active & ((1u << lane()) - 1));
    if (value > 0) {
      features[entry] = j;
      values[entry] = value;
    }
    if (j < m) *product = __int_as_float(value > 0 ? entry : -1);
    next += __popc(active);
  }
}

// Thread per feature: its rows, ascending, and their entries, from offsets[j] on.
__global__ void transpose_entries(const float* entries, int rows, int m, const int* offsets,
                                  int* row_of, int* entry_of) {
  const int j = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (j >= m) return;
  int next = offsets[j];
  for (int row = 0; row < rows; ++row) {
    const int entry = __float_as_int(entries[int64_t{row} * m + j]);
    if (entry < 0) continue;
    row_of[next] = row;
    entry_of[next] = entry;
    ++next;
  }
}

// Block per row: x̂ = Σ f_j d_j + b_d, ‖x̂ − x‖², Σ f; G = 2(x̂ − x)/(nB) [B, n]; then, a warp per
// entry, ∂f = G·d_j + λ/B.
__global__ void decode_and_differentiate(const int* offsets, const int* features,
                                         const float* values, const float* decoder,
                                         const float* bias, const float* target, int n,
                                         float residual_scale, float l1_gradient, float* gradient,
                                         float* df, double* squared_error, double* l1) {
  const int64_t row = int64_t{blockIdx.x} * n;
  const int first = offsets[blockIdx.x], last = offsets[blockIdx.x + 1];
  double square = 0;
  for (int i = threadIdx.x; i < n; i += kThreads) {
    float x_hat = bias[i];
    for (int e = first; e < last; ++e) x_hat += values[e] * decoder[int64_t{features[e]} * n + i];
    const float residual = x_hat - target[row + i];
    square += static_cast<double>(residual) * static_cast<double>(residual);
    gradient[row + i] = residual_scale * residual;
  }
  double sum = 0;
  for (int e = first + static_cast<int>(threadIdx.x); e < last; e += kThreads) {
    sum += static_cast<double>(values[e]);
  }
  square = block_sum(square);  // a barrier too: the whole row of G is there behind it
  sum = block_sum(sum);
  if (threadIdx.x == 0) {
    squared_error[blockIdx.x] = square;
    l1[blockIdx.x] = sum;
  }
  for (int e = first + static_cast<int>(threadIdx.x) / kWarp; e < last; e += kWarps) {
    const float* direction = decoder + int64_t{features[e]} * n;
    float dot = 0;
    for (int i = lane(); i < n; i += kWarp) dot += direction[i] * gradient[row + i];
    dot = warp_sum(dot);
    if (lane() == 0) df[e] = dot + l1_gradient;
  }
}

// Warp per feature: ∂b_e = Σ ∂f, and the last step at which it was active.
__global__ void differentiate_bias(const int* offsets, const int* entry_of, const float* df, int m,
                                   int64_t step, float* bias_gradient, int64_t* last_active) {
  const int j = warp_index();
  if (j >= m) return;
  double sum = 0;
  for (int c = offsets[j] + lane(); c < offsets[j + 1]; c += kWarp) {
    sum += static_cast<double>(df[entry_of[c]]);
  }
  sum = warp_sum(sum);
  if (lane() != 0) return;
  bias_gradient[j] = static_cast<float>(sum);
  if (offsets[j + 1] > offsets[j]) last_active[j] = step;
}

// Block per feature: ∂W_e = Σ ∂f x̄ and ∂d_j = Σ f G over the rows in which it is active, at once
// followed by Adam; of ∂d_j without its part along d_j (definitions 3), and d_j back to unit norm.
__global__ void update_feature(const int* offsets, const int* row_of, const int* entry_of,
                               const float* values, const float* df, const float* input,
                               const float* gradient, const float* bias_gradient,
                               const int64_t* moment_start, int64_t step, Adam adam, int n,
                               Weight encoder, Weight encoder_bias, Weight decoder) {
  extern __shared__ float decoder_gradient[];  // [n]
  const int j = static_cast<int>(blockIdx.x);
  const int64_t at = int64_t{j} * n;
  const AdamAt now(adam, step - moment_start[j] + 1);
  double along = 0;
  for (int i = threadIdx.x; i < n; i += kThreads) {
    float of_encoder = 0, of_decoder = 0;
    for (int c = offsets[j]; c < offsets[j + 1]; ++c) {
      const int64_t from = int64_t{row_of[c]} * n + i;
      of_encoder += df[entry_of[c]] * input[from];
      of_decoder += values[entry_of[c]] * gradient[from];
    }
    decoder_gradient[i] = of_decoder;
    along += static_cast<double>(of_decoder) * static_cast<double>(decoder.value[at + i]);
    now.update(of_encoder, encoder, at + i);
  }
  const auto projection = static_cast<float>(block_sum(along));
  double square = 0;
  for (int i = threadIdx.x; i < n; i += kThreads) {
    now.update(decoder_gradient[i] - projection * decoder.value[at + i], decoder, at + i);
    square +=
        static_cast<double>(decoder.value[at + i]) * static_cast<double>(decoder.value[at + i]);
  }
  const auto inverse_norm = static_cast<float>(1 / sqrt(block_sum(square)));
  for (int i = threadIdx.x; i < n; i += kThreads) decoder.value[at + i] *= inverse_norm;
  if (threadIdx.x == 0) now.update(bias_gradient[j], encoder_bias, j);
}

__global__ void update_decoder_bias(const float* gradient, int64_t step, Adam adam, int n,
                                    Weight bias) {
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (i < n) AdamAt(adam, step + 1).update(gradient[i], bias, i);
}

}  // namespace
}  // namespace featflow
