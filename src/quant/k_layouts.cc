#include "quant/k_layouts.h"

#include <algorithm>

#include "quant/bytes.h"

namespace assay {
namespace {

// Q4_K and Q5_K: eight pairs of a 6-bit scale and a 6-bit min in 12 bytes. Bytes 0-3 have scales 0-3 and bytes 4-7
// mins 0-3 in their low 6 bits; bytes 8-11 have the low 4 bits of scale 4-7 and min 4-7; the top 2 bits of those are
// the top 2 bits of bytes 0-3 (scales) and 4-7 (mins).
void UnpackPairs(const uint8_t* src, AffineFields& fields) {
  for (int i = 0; i < 4; ++i) {
    fields.scale[i] = src[i] & 63;
    fields.min[i] = src[i + 4] & 63;
    fields.scale[i + 4] = static_cast<uint8_t>((src[i + 8] & 15) | (src[i] >> 6) << 4);
    fields.min[i + 4] = static_cast<uint8_t>(src[i + 8] >> 4 | (src[i + 4] >> 6) << 4);
  }
}

void PackPairs(const AffineFields& fields, uint8_t* dst) {
  for (int i = 0; i < 4; ++i) {
    dst[i] = static_cast<uint8_t>(fields.scale[i] | (fields.scale[i + 4] >> 4) << 6);
    dst[i + 4] = static_cast<uint8_t>(fields.min[i] | (fields.min[i + 4] >> 4) << 6);
    dst[i + 8] = static_cast<uint8_t>((fields.scale[i + 4] & 15) | (fields.min[i + 4] & 15) << 4);
  }
}

}  // namespace

// scales[16] (low nibble scale, high nibble min), codes[64], d, dmin. Each 32 bytes of codes hold 128 values: value
// 32 * k + l of them is bits 2k and 2k + 1 of byte l.
void Q2KLayout::Unpack(const uint8_t* src, Fields& fields) {
  for (int i = 0; i < 16; ++i) {
    fields.scale[i] = src[i] & 15;
    fields.min[i] = src[i] >> 4;
  }
  const uint8_t* codes = src + 16;
  for (int row = 0; row < 8; ++row) {
    const uint8_t* bytes = codes + row / 4 * 32;
    for (int l = 0; l < 32; ++l) fields.code[row * 32 + l] = (bytes[l] >> (row % 4 * 2)) & 3;
  }
  fields.d = LoadU16(src + 80);
  fields.dmin = LoadU16(src + 82);
}

void Q2KLayout::Pack(const Fields& fields, uint8_t* dst) {
  for (int i = 0; i < 16; ++i) dst[i] = static_cast<uint8_t>(fields.scale[i] | fields.min[i] << 4);
  for (int half = 0; half < 2; ++half) {
    const uint8_t* code = fields.code + half * 128;
    for (int l = 0; l < 32; ++l) {
      dst[16 + half * 32 + l] =
          static_cast<uint8_t>(code[l] | code[l + 32] << 2 | code[l + 64] << 4 | code[l + 96] << 6);
    }
  }
  Store(fields.d, dst + 80);
  Store(fields.dmin, dst + 82);
}

// d, dmin, pairs[12], codes[128]. Each 32 bytes of codes hold 64 values: the low nibbles, then the high ones.
void Q4KLayout::Unpack(const uint8_t* src, Fields& fields) {
  fields.d = LoadU16(src);
  fields.dmin = LoadU16(src + 2);
  UnpackPairs(src + 4, fields);
  for (int row = 0; row < 4; ++row) {
    const uint8_t* bytes = src + 16 + row * 32;
    for (int l = 0; l < 32; ++l) fields.code[row * 64 + l] = bytes[l] & 15;
    for (int l = 0; l < 32; ++l) fields.code[row * 64 + 32 + l] = bytes[l] >> 4;
  }
}

void Q4KLayout::Pack(const Fields& fields, uint8_t* dst) {
  Store(fields.d, dst);
  Store(fields.dmin, dst + 2);
  PackPairs(fields, dst + 4);
  for (int row = 0; row < 4; ++row) {
    const uint8_t* code = fields.code + row * 64;
    for (int l = 0; l < 32; ++l) dst[16 + row * 32 + l] = static_cast<uint8_t>(code[l] | code[l + 32] << 4);
  }
}

// As Q4_K, with high[32] before the codes: bit k of byte l is the fifth bit of value 32 * k + l.
void Q5KLayout::Unpack(const uint8_t* src, Fields& fields) {
  fields.d = LoadU16(src);
  fields.dmin = LoadU16(src + 2);
  UnpackPairs(src + 4, fields);
  const uint8_t* high = src + 16;
  for (int row = 0; row < 8; ++row) {
    const uint8_t* bytes = src + 48 + row / 2 * 32;
    for (int l = 0; l < 32; ++l) {
      const int low = (bytes[l] >> (row % 2 * 4)) & 15;
      fields.code[row * 32 + l] = static_cast<uint8_t>(low | ((high[l] >> row) & 1) << 4);
    }
  }
}

void Q5KLayout::Pack(const Fields& fields, uint8_t* dst) {
  Store(fields.d, dst);
  Store(fields.dmin, dst + 2);
  PackPairs(fields, dst + 4);
  uint8_t* high = dst + 16;
  std::fill_n(high, 32, uint8_t{0});
  for (int row = 0; row < 8; ++row) {
    for (int l = 0; l < 32; ++l) {
      high[l] = static_cast<uint8_t>(high[l] | (fields.code[row * 32 + l] >> 4) << row);
    }
  }
  for (int row = 0; row < 4; ++row) {
    const uint8_t* code = fields.code + row * 64;
    for (int l = 0; l < 32; ++l)
      dst[48 + row * 32 + l] = static_cast<uint8_t>((code[l] & 15) | (code[l + 32] & 15) << 4);
  }
}

// high[32], codes[64], scales[12], d. Code + 4 has its low 2 bits laid out as Q2_K's codes and its third bit as
// Q5_K's high bits. Scale + 32 has 6 bits: the low 4 of scale i are a nibble of byte i % 8 (low for i < 8), the top 2
// are bits 2 * (i / 4) and up of byte 8 + i % 4.
void Q3KLayout::Unpack(const uint8_t* src, Fields& fields) {
  const uint8_t* scales = src + 96;
  for (int i = 0; i < 16; ++i) {
    const int low = (scales[i % 8] >> (i / 8 * 4)) & 15;
    const int top = (scales[8 + i % 4] >> (i / 4 * 2)) & 3;
    fields.scale[i] = static_cast<int8_t>((low | top << 4) - 32);
  }
  for (int row = 0; row < 8; ++row) {
    const uint8_t* bytes = src + 32 + row / 4 * 32;
    for (int l = 0; l < 32; ++l) {
      const int low = (bytes[l] >> (row % 4 * 2)) & 3;
      fields.code[row * 32 + l] = static_cast<int8_t>((low | ((src[l] >> row) & 1) << 2) - 4);
    }
  }
  fields.d = LoadU16(src + 108);
}

void Q3KLayout::Pack(const Fields& fields, uint8_t* dst) {
  std::fill_n(dst, 108, uint8_t{0});
  for (int row = 0; row < 8; ++row) {
    uint8_t* bytes = dst + 32 + row / 4 * 32;
    for (int l = 0; l < 32; ++l) {
      const int code = fields.code[row * 32 + l] + 4;
      bytes[l] = static_cast<uint8_t>(bytes[l] | (code & 3) << (row % 4 * 2));
      dst[l] = static_cast<uint8_t>(dst[l] | (code >> 2) << row);
    }
  }
  uint8_t* scales = dst + 96;
  for (int i = 0; i < 16; ++i) {
    const int scale = fields.scale[i] + 32;
    scales[i % 8] = static_cast<uint8_t>(scales[i % 8] | (scale & 15) << (i / 8 * 4));
    scales[8 + i % 4] = static_cast<uint8_t>(scales[8 + i % 4] | (scale >> 4) << (i / 4 * 2));
  }
  Store(fields.d, dst + 108);
}

// d, the top 2 bits of each scale (16 bits, from the lowest up), the low 4 bits (nibbles, from the lowest up),
// codes[128]. Scale + 32 has 6 bits. Each 16 bytes of codes hold 32 values: the low nibbles, then the high ones.
void Iq4XsLayout::Unpack(const uint8_t* src, Fields& fields) {
  fields.d = LoadU16(src);
  const uint16_t top = LoadU16(src + 2);
  for (int g = 0; g < kGroups; ++g) {
    const int low = (src[4 + g / 2] >> (g % 2 * 4)) & 15;
    fields.scale[g] = static_cast<int8_t>((low | ((top >> (2 * g)) & 3) << 4) - 32);
    const uint8_t* bytes = src + 8 + g * 16;
    for (int l = 0; l < 16; ++l) {
      fields.code[g * 32 + l] = static_cast<int8_t>(bytes[l] & 15);
      fields.code[g * 32 + 16 + l] = static_cast<int8_t>(bytes[l] >> 4);
    }
  }
}

void Iq4XsLayout::Pack(const Fields& fields, uint8_t* dst) {
  Store(fields.d, dst);
  unsigned top = 0;
  std::fill_n(dst + 4, 4, uint8_t{0});
  for (int g = 0; g < kGroups; ++g) {
    const int scale = fields.scale[g] + 32;
    top |= static_cast<unsigned>(scale >> 4) << (2 * g);
    dst[4 + g / 2] = static_cast<uint8_t>(dst[4 + g / 2] | (scale & 15) << (g % 2 * 4));
    const int8_t* code = fields.code + g * 32;
    for (int l = 0; l < 16; ++l) dst[8 + g * 16 + l] = static_cast<uint8_t>(code[l] | code[16 + l] << 4);
  }
  Store(static_cast<uint16_t>(top), dst + 2);
}

// low[128], high[64], scales[16] (signed bytes), d. Code + 32 has 6 bits. Each half of 128 values has 64 low bytes and
// 32 high bytes: value 32 * k + l of it is a nibble of low byte 32 * (k % 2) + l (low nibble for k < 2) and bits 2k and
// 2k + 1 of high byte l.
void Q6KLayout::Unpack(const uint8_t* src, Fields& fields) {
  for (int row = 0; row < 8; ++row) {
    const int k = row % 4;
    const uint8_t* low = src + row / 4 * 64 + k % 2 * 32;
    const uint8_t* high = src + 128 + row / 4 * 32;
    for (int l = 0; l < 32; ++l) {
      const int code = ((low[l] >> (k / 2 * 4)) & 15) | ((high[l] >> (k * 2)) & 3) << 4;
      fields.code[row * 32 + l] = static_cast<int8_t>(code - 32);
    }
  }
  std::memcpy(fields.scale, src + 192, 16);
  fields.d = LoadU16(src + 208);
}

void Q6KLayout::Pack(const Fields& fields, uint8_t* dst) {
  std::fill_n(dst, 192, uint8_t{0});
  for (int row = 0; row < 8; ++row) {
    const int k = row % 4;
    uint8_t* low = dst + row / 4 * 64 + k % 2 * 32;
    uint8_t* high = dst + 128 + row / 4 * 32;
    for (int l = 0; l < 32; ++l) {
      const int code = fields.code[row * 32 + l] + 32;
      low[l] = static_cast<uint8_t>(low[l] | (code & 15) << (k / 2 * 4));
      high[l] = static_cast<uint8_t>(high[l] | (code >> 4) << (k * 2));
    }
  }
  std::memcpy(dst + 192, fields.scale, 16);
  Store(fields.d, dst + 208);
}

}  // namespace assay
