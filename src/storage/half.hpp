#pragma once

#include <bit>
#include <cstdint>

namespace featflow {

/// IEEE 754 binary16 → binary32, exact for every value, subnormals and NaN payloads included.
inline float float_from_half(uint16_t half) {
  const uint32_t magnitude = half & 0x7fffu;
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  // With the fields moved into place the exponent is short of 127 − 15; the product supplies it
  // and normalises subnormals.
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  const uint32_t infinity_or_nan = magnitude >= 0x7c00u ? 0x7f800000u : 0u;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(scaled) | infinity_or_nan | sign);
}

/// binary32 → binary16, to the nearest, ties to even; beyond 65,504 + 16 to infinity.
inline uint16_t half_from_float(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t half = 0;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u;                       // quiet NaN
  } else if (magnitude >= 0x38800000u) {  // 2^-14, the smallest normal number
    const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    half = rounded >= 0x47800000u ? 0x7c00u : (rounded - 0x38000000u) >> 13;
  } else {
    // The sum's last bit is worth 2^-24, a subnormal half's unit: the addition rounds.
    half = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) -
           std::bit_cast<uint32_t>(0.5f);
  }
  return static_cast<uint16_t>(sign | half);
}

/// bfloat16 → binary32: the upper half of its bits.
inline float float_from_bfloat16(uint16_t value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value) << 16);
}

}  // namespace featflow
