// Compiled once for each instruction set, see docs/decisions/0006-run-time-dispatch.md: nothing of
// the standard library but C's headers may be used here.
#include <math.h>

#include "model/transformer_kernels.hpp"

namespace featflow::FEATFLOW_INSTRUCTION_SET {
namespace {

// Where exp saturates. The compiler must not know the numbers: else g++ computes all that follows
// for each of them, too, and chooses at the end, which takes twice as long.
struct Range {
  float lowest = -87.3f, highest = 88.3f;
};
inline Range range_of_exponential() {
  Range range;
  __asm__("" : "+m"(range));
  return range;
}

// A polynomial that the compiler vectorises (Cephes' expf).
inline float exponential(float x, const Range& range) {
  x = x < range.lowest ? range.lowest : x;
  x = x > range.highest ? range.highest : x;
  // The nearest integer to x / ln 2, as the last bits of a sum: rint takes SSE 4.1, and n must be
  // a whole number, whatever an FMA makes of the product.
  const float n = (x * 1.44269504f + 12582912.0f) - 12582912.0f;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // x − n ln 2, in two parts
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const float fraction = p * r * r + r + 1.0f;
  return fraction * __builtin_bit_cast(float, (static_cast<int32_t>(n) + 127) << 23);
}

inline float dot(const float* a, const float* b, int64_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

inline float inverse_rms(const float* x, int64_t width, float epsilon) {
  return 1.0f / sqrtf(dot(x, x, width) / static_cast<float>(width) + epsilon);
}

float exponentials(const float* x, float shift, int64_t count, float* y) {
  const Range range = range_of_exponential();
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) {
    y[i] = exponential(x[i] - shift, range);
    sum += y[i];
  }
  return sum;
}

float sum_of_exponentials(const float* x, float shift, int64_t count) {
  const Range range = range_of_exponential();
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += exponential(x[i] - shift, range);
  return sum;
}

float maximum(const float* x, int64_t count) {
  float largest = x[0];
#pragma omp simd reduction(max : largest)
  for (int64_t i = 0; i < count; ++i) largest = largest < x[i] ? x[i] : largest;
  return largest;
}

void multiply(float factor, float* x, int64_t count) {
  for (int64_t i = 0; i < count; ++i) x[i] *= factor;
}

void softmax_backward(const float* __restrict p, int64_t count, float* __restrict ds) {
  const float mean = dot(p, ds, count);
  for (int64_t i = 0; i < count; ++i) ds[i] = p[i] * (ds[i] - mean);
}

void rms_norm(const float* __restrict x, const float* __restrict weight, int64_t width,
              float epsilon, float* __restrict y) {
  const float scale = inverse_rms(x, width, epsilon);
  for (int64_t i = 0; i < width; ++i) y[i] = x[i] * scale * weight[i];
}

// With s = 1/sqrt(mean(x²) + ε) and g = dy · weight: dx = s g − x s³ (g·x)/width.
void rms_norm_backward(const float* __restrict x, const float* __restrict weight,
                       const float* __restrict dy, int64_t width, float epsilon,
                       float* __restrict dx, float* __restrict d_weight) {
  const float scale = inverse_rms(x, width, epsilon);
  float projection = 0;
#pragma omp simd reduction(+ : projection)
  for (int64_t i = 0; i < width; ++i) projection += dy[i] * weight[i] * x[i];
  const float pull = scale * scale * scale * projection / static_cast<float>(width);
  for (int64_t i = 0; i < width; ++i) {
    dx[i] = scale * dy[i] * weight[i] - pull * x[i];
    d_weight[i] += dy[i] * x[i] * scale;
  }
}

void swiglu(const float* __restrict gate, const float* __restrict up, int64_t width,
            float* __restrict y) {
  const Range range = range_of_exponential();
  for (int64_t i = 0; i < width; ++i)
    y[i] = gate[i] / (1.0f + exponential(-gate[i], range)) * up[i];
}

void swiglu_backward(const float* __restrict gate, const float* __restrict up,
                     const float* __restrict dy, int64_t width, float* __restrict d_gate,
                     float* __restrict d_up) {
  const Range range = range_of_exponential();
  for (int64_t i = 0; i < width; ++i) {
    const float sigmoid = 1.0f / (1.0f + exponential(-gate[i], range));
    const float silu = gate[i] * sigmoid;
    d_gate[i] = dy[i] * up[i] * (sigmoid + silu * (1.0f - sigmoid));
    d_up[i] = dy[i] * silu;
  }
}

}  // namespace

const TransformerKernels transformer_kernels = {
    exponentials, sum_of_exponentials, maximum, multiply,       softmax_backward,
    rms_norm,     rms_norm_backward,   swiglu,  swiglu_backward};

}  // namespace featflow::FEATFLOW_INSTRUCTION_SET
