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

/// bfloat16 → binary32: the upper half of its bits.
inline float float_from_bfloat16(uint16_t value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value) << 16);
}

}  // namespace featflow
