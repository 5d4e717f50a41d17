#pragma once

#include <array>
#include <bit>
#include <cstdint>

// The blocks of 32 values as their fields, and the layouts of the fields in bytes. Sources: as k_layouts.h.

namespace assay {

constexpr int kBlock = 32;

// value = d * code, or d * code + min. The halves d and min are kept as their bits.
struct BlockFields {
  uint16_t d;
  uint16_t min;
  int8_t code[kBlock];
};

struct Q80Layout {
  static constexpr int kBytes = 34, kMinCode = -128, kMaxCode = 127;
  static constexpr bool kHasMin = false;
  static void Unpack(const uint8_t* src, BlockFields& fields);
  static void Pack(const BlockFields& fields, uint8_t* dst);
};

struct Q40Layout {
  static constexpr int kBytes = 18, kMinCode = -8, kMaxCode = 7;
  static constexpr bool kHasMin = false;
  static void Unpack(const uint8_t* src, BlockFields& fields);
  static void Pack(const BlockFields& fields, uint8_t* dst);
};

struct Q41Layout {
  static constexpr int kBytes = 20, kMinCode = 0, kMaxCode = 15;
  static constexpr bool kHasMin = true;
  static void Unpack(const uint8_t* src, BlockFields& fields);
  static void Pack(const BlockFields& fields, uint8_t* dst);
};

struct Q50Layout {
  static constexpr int kBytes = 22, kMinCode = -16, kMaxCode = 15;
  static constexpr bool kHasMin = false;
  static void Unpack(const uint8_t* src, BlockFields& fields);
  static void Pack(const BlockFields& fields, uint8_t* dst);
};

struct Q51Layout {
  static constexpr int kBytes = 24, kMinCode = 0, kMaxCode = 31;
  static constexpr bool kHasMin = true;
  static void Unpack(const uint8_t* src, BlockFields& fields);
  static void Pack(const BlockFields& fields, uint8_t* dst);
};

// The code is an index of kIq4NlLevels; value = d * level.
struct Iq4NlLayout {
  static constexpr int kBytes = 18;
  static void Unpack(const uint8_t* src, BlockFields& fields);
  static void Pack(const BlockFields& fields, uint8_t* dst);
};

// The levels of IQ4_NL and IQ4_XS.
constexpr std::array<int8_t, 16> kIq4NlLevels = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                 1,    13,   25,  38,  53,  69,  89,  113};

// value = d * level, with d the power of two that the byte `exponent` says (ExponentScale) and the code an index of
// kMxfp4Levels: a sign and the three bits of E2M1, whose values are doubled here and halved in d.
struct Mxfp4Fields {
  uint8_t exponent;
  int8_t code[kBlock];
};

struct Mxfp4Layout {
  static constexpr int kBytes = 17;
  static void Unpack(const uint8_t* src, Mxfp4Fields& fields);
  static void Pack(const Mxfp4Fields& fields, uint8_t* dst);
};

constexpr std::array<int8_t, 16> kMxfp4Levels = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// 2^(exponent - 128): for 0 and 1 a subnormal float.
constexpr float ExponentScale(uint8_t exponent) {
  return std::bit_cast<float>(exponent < 2 ? 0x00200000U << exponent : (exponent - 1U) << 23);
}

}  // namespace assay
