#include "base/half.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/rng.h"

namespace assay {
namespace {

// A binary floating-point format with an implicit leading bit, computed in double straight from the definition in
// IEEE 754: (-1)^s 2^(e-bias) (1 + m/2^mantissa_bits). Independent of the bit tricks under test.
struct Format {
  int mantissa_bits;
  int bias;
  int top_exponent;  // all ones: infinity and NaN
};

constexpr Format kHalf{10, 15, 31};
constexpr Format kBf16{7, 127, 255};

double Decode(const Format& format, uint16_t bits) {
  const int mantissa = bits & ((1 << format.mantissa_bits) - 1);
  const int exponent = (bits >> format.mantissa_bits) & format.top_exponent;
  const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == format.top_exponent) {
    return mantissa != 0 ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
  }
  const double fraction = std::ldexp(mantissa, -format.mantissa_bits);
  return exponent == 0 ? sign * std::ldexp(fraction, 1 - format.bias)
                       : sign * std::ldexp(1.0 + fraction, exponent - format.bias);
}

// The nearest value of the format, ties to even. In double nothing is lost: a float scaled by a power of two, and
// nearbyint, are exact.
double RoundTo(const Format& format, double value) {
  if (std::isnan(value) || std::isinf(value) || value == 0.0) return value;
  const int exponent = std::max(std::ilogb(value), 1 - format.bias);
  const double step = std::ldexp(1.0, exponent - format.mantissa_bits);
  const double rounded = std::nearbyint(value / step) * step;
  const double limit = std::ldexp(1.0, format.top_exponent - format.bias);
  return std::abs(rounded) >= limit ? std::copysign(std::numeric_limits<double>::infinity(), value) : rounded;
}

void ExpectRounded(const Format& format, float value, uint16_t bits) {
  const double expected = RoundTo(format, value);
  const double got = Decode(format, bits);
  if (std::isnan(expected)) {
    EXPECT_TRUE(std::isnan(got)) << value << " became 0x" << std::hex << bits;
    return;
  }
  EXPECT_EQ(got, expected) << std::hexfloat << value << " became 0x" << std::hex << bits;
  EXPECT_EQ(std::signbit(got), std::signbit(expected)) << std::hexfloat << value;
}

// Each value of the format, the point half-way to its neighbour (a tie), and the floats on either side of both.
template <typename Narrow>
void ExpectRoundedAroundEachValue(const Format& format, Narrow narrow) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const double value = Decode(format, static_cast<uint16_t>(bits));
    if (!std::isfinite(value)) continue;
    const int exponent = value == 0.0 ? 1 - format.bias : std::max(std::ilogb(value), 1 - format.bias);
    const double half_step = std::copysign(std::ldexp(0.5, exponent - format.mantissa_bits), value);
    for (const double point : {value, value + half_step}) {
      const auto x = static_cast<float>(point);
      for (const float near : {x, std::nextafter(x, kInfinity), std::nextafter(x, -kInfinity)}) {
        ExpectRounded(format, near, narrow(near));
        if (::testing::Test::HasFailure()) return;
      }
    }
  }
}

TEST(HalfTest, EveryHalfWidensToItsExactValue) {
  for (uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const double expected = Decode(kHalf, half);
    const float got = HalfToFloat(half);
    ASSERT_EQ(std::isnan(got), std::isnan(expected)) << "0x" << std::hex << bits;
    if (std::isnan(expected)) continue;
    ASSERT_EQ(static_cast<double>(got), expected) << "0x" << std::hex << bits;
    ASSERT_EQ(std::signbit(got), (bits & 0x8000) != 0) << "0x" << std::hex << bits;
  }
}

TEST(HalfTest, EveryHalfSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const uint16_t back = FloatToHalf(HalfToFloat(half));
    if (std::isnan(Decode(kHalf, half))) {
      // A signalling NaN comes back quiet; sign and payload stay.
      ASSERT_EQ(back, half | 0x0200) << "0x" << std::hex << bits;
    } else {
      ASSERT_EQ(back, half) << "0x" << std::hex << bits;
    }
  }
}

TEST(HalfTest, NarrowingRoundsToNearestEvenAroundEveryHalf) { ExpectRoundedAroundEachValue(kHalf, FloatToHalf); }

TEST(HalfTest, NarrowingRoundsAnyFloatAsTheDefinitionSays) {
  Rng rng(7);
  for (int i = 0; i < 1'000'000 && !HasFailure(); ++i) {
    const auto value = std::bit_cast<float>(static_cast<uint32_t>(rng.Next() >> 32));
    ExpectRounded(kHalf, value, FloatToHalf(value));
  }
}

TEST(HalfTest, NarrowingOverflowsToInfinityFromTheMidpointOn) {
  EXPECT_EQ(FloatToHalf(65519.996F), 0x7BFF);
  EXPECT_EQ(FloatToHalf(65520.0F), 0x7C00);
  EXPECT_EQ(FloatToHalf(-65520.0F), 0xFC00);
  EXPECT_EQ(FloatToHalf(std::numeric_limits<float>::infinity()), 0x7C00);
}

TEST(Bf16Test, EveryBf16SurvivesTheRoundTripAtItsExactValue) {
  for (uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const auto narrow = static_cast<uint16_t>(bits);
    const double expected = Decode(kBf16, narrow);
    const float wide = Bf16ToFloat(narrow);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(wide)) << "0x" << std::hex << bits;
      ASSERT_EQ(FloatToBf16(wide), narrow | 0x0040) << "0x" << std::hex << bits;
    } else {
      ASSERT_EQ(static_cast<double>(wide), expected) << "0x" << std::hex << bits;
      ASSERT_EQ(FloatToBf16(wide), narrow) << "0x" << std::hex << bits;
    }
  }
}

TEST(Bf16Test, NarrowingRoundsToNearestEvenAroundEveryValue) { ExpectRoundedAroundEachValue(kBf16, FloatToBf16); }

TEST(Bf16Test, NarrowingRoundsAnyFloatAsTheDefinitionSays) {
  Rng rng(8);
  for (int i = 0; i < 1'000'000 && !HasFailure(); ++i) {
    const auto value = std::bit_cast<float>(static_cast<uint32_t>(rng.Next() >> 32));
    ExpectRounded(kBf16, value, FloatToBf16(value));
  }
}

}  // namespace
}  // namespace assay
