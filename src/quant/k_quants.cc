#include "quant/bytes.h"
#include "quant/codecs.h"
#include "quant/k_layouts.h"

// Decoders of the super-block formats. The order of the single-precision operations is part of the formats.

namespace assay {
namespace {

template <typename Layout>
void DecodeAffine(const uint8_t* src, float* dst, int64_t count) {
  constexpr int kSize = kSuperBlock / Layout::kGroups;
  AffineFields fields{};
  for (int64_t i = 0; i < count; i += kSuperBlock, src += Layout::kBytes) {
    Layout::Unpack(src, fields);
    const float d = HalfToFloat(fields.d), dmin = HalfToFloat(fields.dmin);
    for (int g = 0; g < Layout::kGroups; ++g) {
      const float scale = d * static_cast<float>(fields.scale[g]), min = dmin * static_cast<float>(fields.min[g]);
      const uint8_t* code = fields.code + g * kSize;
      float* out = dst + i + g * kSize;
      for (int l = 0; l < kSize; ++l) out[l] = scale * static_cast<float>(code[l]) - min;
    }
  }
}

template <typename Layout, typename Codes = PlainCodes>
void DecodeSymmetric(const uint8_t* src, float* dst, int64_t count) {
  constexpr int kSize = kSuperBlock / Layout::kGroups;
  SymmetricFields fields{};
  for (int64_t i = 0; i < count; i += kSuperBlock, src += Layout::kBytes) {
    Layout::Unpack(src, fields);
    const float d = HalfToFloat(fields.d);
    for (int g = 0; g < Layout::kGroups; ++g) {
      const float scale = d * static_cast<float>(fields.scale[g]);
      const int8_t* code = fields.code + g * kSize;
      float* out = dst + i + g * kSize;
      for (int l = 0; l < kSize; ++l) out[l] = scale * static_cast<float>(Codes::Value(code[l]));
    }
  }
}

}  // namespace

void DecodeQ2_K(const uint8_t* src, float* dst, int64_t count) { DecodeAffine<Q2KLayout>(src, dst, count); }
void DecodeQ4_K(const uint8_t* src, float* dst, int64_t count) { DecodeAffine<Q4KLayout>(src, dst, count); }
void DecodeQ5_K(const uint8_t* src, float* dst, int64_t count) { DecodeAffine<Q5KLayout>(src, dst, count); }
void DecodeQ3_K(const uint8_t* src, float* dst, int64_t count) { DecodeSymmetric<Q3KLayout>(src, dst, count); }
void DecodeQ6_K(const uint8_t* src, float* dst, int64_t count) { DecodeSymmetric<Q6KLayout>(src, dst, count); }
void DecodeIQ4_XS(const uint8_t* src, float* dst, int64_t count) {
  DecodeSymmetric<Iq4XsLayout, LevelCodes>(src, dst, count);
}

}  // namespace assay
