#include "quant/q_layouts.h"

#include "quant/bytes.h"

namespace assay {
namespace {

// 16 bytes: the low nibbles are values 0-15, the high ones values 16-31.
void UnpackNibbles(const uint8_t* src, int offset, int8_t* code) {
  for (int l = 0; l < 16; ++l) {
    code[l] = static_cast<int8_t>((src[l] & 15) - offset);
    code[l + 16] = static_cast<int8_t>((src[l] >> 4) - offset);
  }
}

void PackNibbles(const int8_t* code, int offset, uint8_t* dst) {
  for (int l = 0; l < 16; ++l) {
    dst[l] = static_cast<uint8_t>(((code[l] + offset) & 15) | ((code[l + 16] + offset) & 15) << 4);
  }
}

// 20 bytes: a 32-bit word whose bit l is the fifth bit of value l, then the nibbles.
void UnpackFiveBits(const uint8_t* src, int offset, int8_t* code) {
  const uint32_t high = LoadU32(src);
  UnpackNibbles(src + 4, offset, code);
  for (int l = 0; l < kBlock; ++l) code[l] = static_cast<int8_t>(code[l] + static_cast<int>((high >> l) & 1U) * 16);
}

void PackFiveBits(const int8_t* code, int offset, uint8_t* dst) {
  uint32_t high = 0;
  for (int l = 0; l < kBlock; ++l) high |= static_cast<uint32_t>((code[l] + offset) >> 4) << l;
  Store(high, dst);
  PackNibbles(code, offset, dst + 4);
}

}  // namespace

void Q80Layout::Unpack(const uint8_t* src, BlockFields& fields) {
  fields.d = LoadU16(src);
  std::memcpy(fields.code, src + 2, kBlock);
}

void Q80Layout::Pack(const BlockFields& fields, uint8_t* dst) {
  Store(fields.d, dst);
  std::memcpy(dst + 2, fields.code, kBlock);
}

void Q40Layout::Unpack(const uint8_t* src, BlockFields& fields) {
  fields.d = LoadU16(src);
  UnpackNibbles(src + 2, 8, fields.code);
}

void Q40Layout::Pack(const BlockFields& fields, uint8_t* dst) {
  Store(fields.d, dst);
  PackNibbles(fields.code, 8, dst + 2);
}

void Q41Layout::Unpack(const uint8_t* src, BlockFields& fields) {
  fields.d = LoadU16(src);
  fields.min = LoadU16(src + 2);
  UnpackNibbles(src + 4, 0, fields.code);
}

void Q41Layout::Pack(const BlockFields& fields, uint8_t* dst) {
  Store(fields.d, dst);
  Store(fields.min, dst + 2);
  PackNibbles(fields.code, 0, dst + 4);
}

void Q50Layout::Unpack(const uint8_t* src, BlockFields& fields) {
  fields.d = LoadU16(src);
  UnpackFiveBits(src + 2, 16, fields.code);
}

void Q50Layout::Pack(const BlockFields& fields, uint8_t* dst) {
  Store(fields.d, dst);
  PackFiveBits(fields.code, 16, dst + 2);
}

void Q51Layout::Unpack(const uint8_t* src, BlockFields& fields) {
  fields.d = LoadU16(src);
  fields.min = LoadU16(src + 2);
  UnpackFiveBits(src + 4, 0, fields.code);
}

void Q51Layout::Pack(const BlockFields& fields, uint8_t* dst) {
  Store(fields.d, dst);
  Store(fields.min, dst + 2);
  PackFiveBits(fields.code, 0, dst + 4);
}

void Iq4NlLayout::Unpack(const uint8_t* src, BlockFields& fields) {
  fields.d = LoadU16(src);
  UnpackNibbles(src + 2, 0, fields.code);
}

void Iq4NlLayout::Pack(const BlockFields& fields, uint8_t* dst) {
  Store(fields.d, dst);
  PackNibbles(fields.code, 0, dst + 2);
}

void Mxfp4Layout::Unpack(const uint8_t* src, Mxfp4Fields& fields) {
  fields.exponent = src[0];
  UnpackNibbles(src + 1, 0, fields.code);
}

void Mxfp4Layout::Pack(const Mxfp4Fields& fields, uint8_t* dst) {
  dst[0] = fields.exponent;
  PackNibbles(fields.code, 0, dst + 1);
}

}  // namespace assay
