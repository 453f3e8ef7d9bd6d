// Compiled once for each instruction set, see docs/decisions/0006-run-time-dispatch.md: nothing of
// the standard library but C's headers may be used here.
#include <math.h>
#include <string.h>

#include "autoencoder/kernels.hpp"

namespace featflow::FEATFLOW_INSTRUCTION_SET {
namespace {

// The floats of one register; without AVX the compiler splits it in two.
#if defined(__AVX512F__)
constexpr int kLanes = 16;
#else
constexpr int kLanes = 8;
#endif
typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float))));

Lanes load(const float* p) {
  Lanes value;
  memcpy(&value, p, sizeof value);
  return value;
}

// A sum of floats does not vectorise by itself, so the lanes are spelled out.
struct LaneSums {
  static constexpr int kStep = 4 * kLanes;
  Lanes sums[4] = {};

  float total() const {
    const Lanes lanes = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    float parts[kLanes];
    memcpy(parts, &lanes, sizeof parts);
    for (int half = kLanes / 2; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) parts[i] += parts[i + half];
    }
    return parts[0];
  }
};

float dot(const float* a, const float* b, int64_t n) {
  LaneSums lanes;
  int64_t i = 0;
  for (; i + lanes.kStep <= n; i += lanes.kStep) {
    for (int k = 0; k < 4; ++k)
      lanes.sums[k] += load(a + i + kLanes * k) * load(b + i + kLanes * k);
  }
  float total = lanes.total();
  for (; i < n; ++i) total += a[i] * b[i];
  return total;
}

float sum(const float* x, int64_t n) {
  LaneSums lanes;
  int64_t i = 0;
  for (; i + lanes.kStep <= n; i += lanes.kStep) {
    for (int k = 0; k < 4; ++k) lanes.sums[k] += load(x + i + kLanes * k);
  }
  float total = lanes.total();
  for (; i < n; ++i) total += x[i];
  return total;
}

void add_scaled(float alpha, const float* __restrict x, float* __restrict y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += alpha * x[i];
}

// Four rows at a time, so that y is loaded and stored once for four.
void add_rows(const float* factors, const int32_t* rows, int64_t count, const float* matrix,
              float* __restrict y, int64_t n) {
  const auto row = [&](int64_t k) { return matrix + rows[k] * n; };
  int64_t k = 0;
  for (; k + 4 <= count; k += 4) {
    const float f0 = factors[k], f1 = factors[k + 1], f2 = factors[k + 2], f3 = factors[k + 3];
    const float *r0 = row(k), *r1 = row(k + 1), *r2 = row(k + 2), *r3 = row(k + 3);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) {
      y[i] = (((y[i] + f0 * r0[i]) + f1 * r1[i]) + f2 * r2[i]) + f3 * r3[i];
    }
  }
  for (; k < count; ++k) add_scaled(factors[k], row(k), y, n);
}

// Two rows at a time, so that the second is on its way while the first is waited for.
void dot_rows(const int32_t* rows, int64_t count, const float* matrix, const float* x,
              float* products, int64_t n) {
  int64_t k = 0;
  for (; k + 2 <= count; k += 2) {
    const float *a = matrix + rows[k] * n, *b = matrix + rows[k + 1] * n;
    LaneSums of_a, of_b;
    int64_t i = 0;
    for (; i + LaneSums::kStep <= n; i += LaneSums::kStep) {
      for (int s = 0; s < 4; ++s) {
        const Lanes lanes = load(x + i + kLanes * s);
        of_a.sums[s] += load(a + i + kLanes * s) * lanes;
        of_b.sums[s] += load(b + i + kLanes * s) * lanes;
      }
    }
    float total_a = of_a.total(), total_b = of_b.total();
    for (; i < n; ++i) {
      total_a += a[i] * x[i];
      total_b += b[i] * x[i];
    }
    products[k] = total_a;
    products[k + 1] = total_b;
  }
  if (k < count) products[k] = dot(matrix + rows[k] * n, x, n);
}

void multiply(float factor, float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] *= factor;
}

// Whether any of 16 sums a_i + b_i is positive.
bool any_positive16(const float* a, const float* b) {
  uint64_t any = 0;
  for (int i = 0; i < 16; i += kLanes) {
    const auto positive = load(a + i) + load(b + i) > 0;
    uint64_t parts[kLanes / 2];
    memcpy(parts, &positive, sizeof parts);
    for (const uint64_t part : parts) any |= part;
  }
  return any != 0;
}

int64_t compact(const float* product, const float* bias, int64_t count, int32_t first_feature,
                int32_t* features, float* values) {
  constexpr int64_t kGroup = 16;  // nearly all groups have no active feature
  int64_t found = 0;
  const auto scan = [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; ++j) {
      const float value = product[j] + bias[j];
      features[found] = first_feature + static_cast<int32_t>(j);
      values[found] = value;
      found += value > 0;
    }
  };
  int64_t j = 0;
  for (; j + kGroup <= count; j += kGroup) {
    if (any_positive16(product + j, bias + j)) scan(j, j + kGroup);
  }
  scan(j, count);
  return found;
}

void adam(const AdamStep& step, const float* __restrict gradient, float* __restrict weight,
          float* __restrict moment1, float* __restrict moment2, int64_t n) {
  constexpr float kTiny = 1e-30f;
  const AdamStep s = step;  // nothing that is written can be part of it
  for (int64_t i = 0; i < n; ++i) {
    const float g = gradient[i];
    const float m = s.beta1 * moment1[i] + s.new1 * g;
    const float v = s.beta2 * moment2[i] + s.new2 * g * g;
    moment1[i] = fabsf(m) < kTiny ? 0.0f : m;
    moment2[i] = v;
    weight[i] -= s.rate * m / (sqrtf(v) * s.root_scale + s.epsilon);
  }
}

}  // namespace

const AutoencoderKernels autoencoder_kernels = {dot,      sum,      add_scaled, add_rows,
                                                dot_rows, multiply, compact,    adam};

}  // namespace featflow::FEATFLOW_INSTRUCTION_SET
