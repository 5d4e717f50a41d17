#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/half.h"

namespace assay {

// Little-endian fields of a block at any alignment (the project builds for little-endian machines alone).
inline uint16_t LoadU16(const uint8_t* src) {
  uint16_t value = 0;
  std::memcpy(&value, src, sizeof value);
  return value;
}

inline uint32_t LoadU32(const uint8_t* src) {
  uint32_t value = 0;
  std::memcpy(&value, src, sizeof value);
  return value;
}

inline void Store(uint16_t value, uint8_t* dst) { std::memcpy(dst, &value, sizeof value); }
inline void Store(uint32_t value, uint8_t* dst) { std::memcpy(dst, &value, sizeof value); }

inline float LoadHalf(const uint8_t* src) { return HalfToFloat(LoadU16(src)); }

constexpr float kMaxHalf = 65504.0F;

// The nearest finite half: what overflows becomes the largest one.
inline uint16_t FloatToFiniteHalf(float value) { return FloatToHalf(std::clamp(value, -kMaxHalf, kMaxHalf)); }

}  // namespace assay
