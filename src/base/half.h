#pragma once

#include <bit>
#include <cstdint>

namespace assay {

// IEEE 754 binary16 and bfloat16 as their bits. Conversions to the narrow type round to nearest, ties to even, and keep
// NaN a NaN; conversions to float are exact.
float HalfToFloat(uint16_t half);
uint16_t FloatToHalf(float value);

inline float Bf16ToFloat(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
uint16_t FloatToBf16(float value);

}  // namespace assay
