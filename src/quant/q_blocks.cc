#include "quant/bytes.h"
#include "quant/codecs.h"
#include "quant/q_layouts.h"

// Decoders of the formats with blocks of 32 values.

namespace assay {
namespace {

template <typename Layout>
void DecodeBlocks(const uint8_t* src, float* dst, int64_t count) {
  BlockFields fields{};
  for (int64_t i = 0; i < count; i += kBlock, src += Layout::kBytes, dst += kBlock) {
    Layout::Unpack(src, fields);
    const float d = HalfToFloat(fields.d);
    if constexpr (Layout::kHasMin) {
      const float min = HalfToFloat(fields.min);
      for (int l = 0; l < kBlock; ++l) dst[l] = d * static_cast<float>(fields.code[l]) + min;
    } else {
      for (int l = 0; l < kBlock; ++l) dst[l] = d * static_cast<float>(fields.code[l]);
    }
  }
}

}  // namespace

void DecodeQ8_0(const uint8_t* src, float* dst, int64_t count) { DecodeBlocks<Q80Layout>(src, dst, count); }
void DecodeQ4_0(const uint8_t* src, float* dst, int64_t count) { DecodeBlocks<Q40Layout>(src, dst, count); }
void DecodeQ4_1(const uint8_t* src, float* dst, int64_t count) { DecodeBlocks<Q41Layout>(src, dst, count); }
void DecodeQ5_0(const uint8_t* src, float* dst, int64_t count) { DecodeBlocks<Q50Layout>(src, dst, count); }
void DecodeQ5_1(const uint8_t* src, float* dst, int64_t count) { DecodeBlocks<Q51Layout>(src, dst, count); }

void DecodeIQ4_NL(const uint8_t* src, float* dst, int64_t count) {
  BlockFields fields{};
  for (int64_t i = 0; i < count; i += kBlock, src += Iq4NlLayout::kBytes, dst += kBlock) {
    Iq4NlLayout::Unpack(src, fields);
    const float d = HalfToFloat(fields.d);
    for (int l = 0; l < kBlock; ++l) dst[l] = d * static_cast<float>(kIq4NlLevels[fields.code[l]]);
  }
}

void DecodeMXFP4(const uint8_t* src, float* dst, int64_t count) {
  Mxfp4Fields fields{};
  for (int64_t i = 0; i < count; i += kBlock, src += Mxfp4Layout::kBytes, dst += kBlock) {
    Mxfp4Layout::Unpack(src, fields);
    const float d = ExponentScale(fields.exponent);
    for (int l = 0; l < kBlock; ++l) dst[l] = d * static_cast<float>(kMxfp4Levels[fields.code[l]]);
  }
}

}  // namespace assay
