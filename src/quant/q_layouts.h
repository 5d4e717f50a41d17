#pragma once

#include <array>
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

constexpr std::array<int8_t, 16> kIq4NlLevels = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                 1,    13,   25,  38,  53,  69,  89,  113};

}  // namespace assay
