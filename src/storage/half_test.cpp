#include "storage/half.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace featflow {
namespace {

/// A binary floating-point number by its definition: `exponent_bits`, `mantissa_bits`, and a sign.
double decode(uint32_t bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = static_cast<int>(bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const double fraction =
      std::ldexp(static_cast<double>(bits & ((1u << mantissa_bits) - 1)), -mantissa_bits);
  const double sign = (bits >> (exponent_bits + mantissa_bits)) & 1 ? -1.0 : 1.0;
  if (exponent == (1 << exponent_bits) - 1) {
    return fraction == 0 ? sign * std::numeric_limits<double>::infinity()
                         : std::numeric_limits<double>::quiet_NaN();
  }
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias);
  return sign * std::ldexp(1 + fraction, exponent - bias);
}

void expect_same(float converted, double expected, uint32_t bits) {
  if (std::isnan(expected)) {
    EXPECT_TRUE(std::isnan(converted)) << bits;
  } else {
    EXPECT_EQ(static_cast<double>(converted), expected) << bits;
    EXPECT_EQ(std::signbit(converted), std::signbit(expected)) << bits;
  }
}

TEST(Half, EveryValueIsExact) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    expect_same(float_from_half(static_cast<uint16_t>(bits)), decode(bits, 5, 10), bits);
  }
}

TEST(Half, EveryBfloat16IsExact) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    expect_same(float_from_bfloat16(static_cast<uint16_t>(bits)), decode(bits, 8, 7), bits);
  }
}

TEST(Half, KnownValues) {
  EXPECT_EQ(float_from_half(0x3c00), 1.0f);
  EXPECT_EQ(float_from_half(0xc000), -2.0f);
  EXPECT_EQ(float_from_half(0x7bff), 65504.0f);
  EXPECT_EQ(float_from_half(0x0001), 0x1p-24f);
  EXPECT_EQ(float_from_half(0x3555), 0.333251953125f);
  EXPECT_EQ(std::bit_cast<uint32_t>(float_from_half(0xfe01)), 0xffc02000u);  // the NaN's payload
  EXPECT_EQ(float_from_bfloat16(0x3f80), 1.0f);
  EXPECT_EQ(float_from_bfloat16(0x4049), 3.140625f);
}

TEST(Half, GoesToTheNearestAndToTheEvenOneInBetween) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = float_from_half(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(float_from_half(half_from_float(value)))) << bits;
    } else {
      EXPECT_EQ(half_from_float(value), bits);
    }
  }
  for (uint32_t bits = 0; bits < 0x7bff; ++bits) {  // between each finite half and the next
    const double low = decode(bits, 5, 10), high = decode(bits + 1, 5, 10);
    const auto middle = static_cast<float>((low + high) / 2);
    EXPECT_EQ(half_from_float(middle), bits % 2 == 0 ? bits : bits + 1) << bits;
    EXPECT_EQ(half_from_float(std::nextafter(middle, 0.0f)), bits);
    EXPECT_EQ(half_from_float(std::nextafter(middle, 1e9f)), bits + 1);
    EXPECT_EQ(half_from_float(-std::nextafter(middle, 0.0f)), 0x8000u | bits);
  }
  EXPECT_EQ(half_from_float(65519.0f), 0x7bff);
  EXPECT_EQ(half_from_float(65520.0f), 0x7c00);
  EXPECT_EQ(half_from_float(-1e30f), 0xfc00);
}

}  // namespace
}  // namespace featflow
