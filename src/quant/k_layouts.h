#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/q_layouts.h"

// The super-blocks of 256 values as their fields, and the layouts of the fields in bytes. Sources: the block structures
// and dequantize_row_* functions of ggml (ggml-common.h, ggml-quants.c); docs/formats.md has them in words.

namespace assay {

constexpr int kSuperBlock = 256;

// value = (d * scale[group]) * code - dmin * min[group]. The halves d and dmin are kept as their bits.
struct AffineFields {
  uint16_t d;
  uint16_t dmin;
  uint8_t scale[16];
  uint8_t min[16];
  uint8_t code[kSuperBlock];
};

// value = (d * scale[group]) * code.
struct SymmetricFields {
  uint16_t d;
  int8_t scale[16];
  int8_t code[kSuperBlock];
};

// A layout: how many groups of how many codes, the largest fields, and the conversions.
struct Q2KLayout {
  using Fields = AffineFields;
  static constexpr int kBytes = 84, kGroups = 16, kMaxCode = 3, kMaxScale = 15;
  static void Unpack(const uint8_t* src, Fields& fields);
  static void Pack(const Fields& fields, uint8_t* dst);
};

struct Q4KLayout {
  using Fields = AffineFields;
  static constexpr int kBytes = 144, kGroups = 8, kMaxCode = 15, kMaxScale = 63;
  static void Unpack(const uint8_t* src, Fields& fields);
  static void Pack(const Fields& fields, uint8_t* dst);
};

struct Q5KLayout {
  using Fields = AffineFields;
  static constexpr int kBytes = 176, kGroups = 8, kMaxCode = 31, kMaxScale = 63;
  static void Unpack(const uint8_t* src, Fields& fields);
  static void Pack(const Fields& fields, uint8_t* dst);
};

struct Q3KLayout {
  using Fields = SymmetricFields;
  static constexpr int kBytes = 110, kGroups = 16, kMinCode = -4, kMaxCode = 3, kMinScale = -32, kMaxScale = 31;
  static void Unpack(const uint8_t* src, Fields& fields);
  static void Pack(const Fields& fields, uint8_t* dst);
};

// The code is an index of kIq4NlLevels; value = (d * scale[group]) * level.
struct Iq4XsLayout {
  using Fields = SymmetricFields;
  static constexpr int kBytes = 136, kGroups = 8, kMinScale = -32, kMaxScale = 31;
  static void Unpack(const uint8_t* src, Fields& fields);
  static void Pack(const Fields& fields, uint8_t* dst);
};

struct Q6KLayout {
  using Fields = SymmetricFields;
  static constexpr int kBytes = 210, kGroups = 16, kMinCode = -32, kMaxCode = 31, kMinScale = -128, kMaxScale = 127;
  static void Unpack(const uint8_t* src, Fields& fields);
  static void Pack(const Fields& fields, uint8_t* dst);
};

// What a code of SymmetricFields stands for: itself, or a level.
struct PlainCodes {
  static int Value(int8_t code) { return code; }
};
struct LevelCodes {
  static int Value(int8_t code) { return kIq4NlLevels[static_cast<uint8_t>(code)]; }
};

}  // namespace assay
