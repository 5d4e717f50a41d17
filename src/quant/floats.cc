#include "quant/bytes.h"
#include "quant/codecs.h"

// Formats of one value per block. Values beyond the range of F16 are stored as its largest number, so that whatever is
// encoded decodes to something finite.

namespace assay {

void DecodeF32(const uint8_t* src, float* dst, int64_t count) {
  std::memcpy(dst, src, static_cast<size_t>(count) * sizeof(float));
}

void EncodeF32(const float* src, uint8_t* dst, int64_t count, const float* /*importance*/) {
  std::memcpy(dst, src, static_cast<size_t>(count) * sizeof(float));
}

void DecodeF16(const uint8_t* src, float* dst, int64_t count) {
  for (int64_t i = 0; i < count; ++i) dst[i] = LoadHalf(src + 2 * i);
}

void EncodeF16(const float* src, uint8_t* dst, int64_t count, const float* /*importance*/) {
  for (int64_t i = 0; i < count; ++i) Store(FloatToFiniteHalf(src[i]), dst + 2 * i);
}

void DecodeBF16(const uint8_t* src, float* dst, int64_t count) {
  for (int64_t i = 0; i < count; ++i) dst[i] = Bf16ToFloat(LoadU16(src + 2 * i));
}

void EncodeBF16(const float* src, uint8_t* dst, int64_t count, const float* /*importance*/) {
  constexpr uint16_t kLargest = 0x7F7F;
  for (int64_t i = 0; i < count; ++i) {
    const uint16_t bits = FloatToBf16(src[i]);
    const bool infinite = (bits & 0x7FFFU) == 0x7F80U;
    Store(infinite ? static_cast<uint16_t>((bits & 0x8000U) | kLargest) : bits, dst + 2 * i);
  }
}

}  // namespace assay
