#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace featflow {

/// exp(x) as a polynomial that the compiler vectorises (Cephes' expf; relative error below 2e-7).
/// Results below 1.2e-38 and above 2.2e38 saturate there; NaN stays NaN.
inline float vector_exp(float x) {
  x = std::min(std::max(x, -87.3f), 88.3f);
  const float n = std::rint(x * 1.44269504f);
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // x − n ln 2, in two parts
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const float fraction = p * r * r + r + 1.0f;
  return fraction * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}

}  // namespace featflow
