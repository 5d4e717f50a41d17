#pragma once

#include <cstdint>

// The decoders and encoders that the rows of the format table name; contracts as in FormatTraits.

namespace assay {

#define ASSAY_CODEC(name)                                           \
  void Decode##name(const uint8_t* src, float* dst, int64_t count); \
  void Encode##name(const float* src, uint8_t* dst, int64_t count, const float* importance)

ASSAY_CODEC(F32);
ASSAY_CODEC(F16);
ASSAY_CODEC(BF16);
ASSAY_CODEC(Q8_0);
ASSAY_CODEC(Q4_0);
ASSAY_CODEC(Q4_1);
ASSAY_CODEC(Q5_0);
ASSAY_CODEC(Q5_1);
ASSAY_CODEC(IQ4_NL);
ASSAY_CODEC(IQ4_XS);
ASSAY_CODEC(MXFP4);
ASSAY_CODEC(Q2_K);
ASSAY_CODEC(Q3_K);
ASSAY_CODEC(Q4_K);
ASSAY_CODEC(Q5_K);
ASSAY_CODEC(Q6_K);

#undef ASSAY_CODEC

}  // namespace assay
