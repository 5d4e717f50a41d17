#pragma once

// The vector types on AVX2, FMA and F16C: a group of 16 lanes is two registers. See simd_avx512.h for what may be
// included here.
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

namespace assay::cpu::avx2 {

constexpr const char* kIsaName = "avx2";
constexpr int kMaxTile = 4;
// Panels that an integer tile takes at once. With two tokens a few sums of two panels spill, which costs less than
// reading every other vector of a group, twice.
constexpr int DotPanels(int tokens) { return tokens <= 2 ? 2 : 1; }
constexpr int FloatPanels(int tokens) { return tokens == 1 ? 4 : tokens == 2 ? 2 : 1; }
constexpr int kDeltaRows = 1;
// Products of one token for each line of weights, from which on it pays to ask ahead: a product takes several
// instructions.
constexpr int kProductsWorthAsking = 1;

struct Floats {
  __m256 lo, hi;
};
struct Ints {
  __m256i lo, hi;
};
struct Bytes {
  __m256i lo, hi;
};

inline __m256i LoadRegister(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline void StoreRegister(void* p, __m256i a) { _mm256_storeu_si256(static_cast<__m256i*>(p), a); }
inline __m128i LoadHalfRegister(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }

// All bits of the lanes below `count` of eight.
inline __m256i FirstLanes(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

inline Floats Zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline Floats Set(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline Floats Load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline Floats LoadPart(const float* p, int count) {
  if (count <= 8) return {_mm256_maskload_ps(p, FirstLanes(count)), _mm256_setzero_ps()};
  return {_mm256_loadu_ps(p), _mm256_maskload_ps(p + 8, FirstLanes(count - 8))};
}
inline void Store(float* p, Floats a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
inline void StorePart(float* p, Floats a, int count) {
  _mm256_maskstore_ps(p, FirstLanes(count), a.lo);
  if (count > 8) _mm256_maskstore_ps(p + 8, FirstLanes(count - 8), a.hi);
}
inline Floats LoadHalf(const void* p) {
  const __m256i halves = LoadRegister(p);
  return {_mm256_cvtph_ps(_mm256_castsi256_si128(halves)), _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1))};
}
inline void StoreHalf(void* p, Floats a) {
  const __m128i lo = _mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m128i hi = _mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  StoreRegister(p, _mm256_set_m128i(hi, lo));
}
inline Floats LoadBf16(const void* p) {
  const __m256i bits = LoadRegister(p);
  const __m256i lo = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(bits));
  const __m256i hi = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(bits, 1));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(lo, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(hi, 16))};
}
inline Floats Add(Floats a, Floats b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline Floats Sub(Floats a, Floats b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
inline Floats Mul(Floats a, Floats b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline Floats Div(Floats a, Floats b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
inline Floats Fma(Floats a, Floats b, Floats c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
inline Floats Sqrt(Floats a) { return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
inline Floats Max(Floats a, Floats b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
inline Floats Min(Floats a, Floats b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
inline float Sum(Floats a) {
  const __m256 eight = _mm256_add_ps(a.lo, a.hi);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float Largest(Floats a) {
  const __m256 eight = _mm256_max_ps(a.lo, a.hi);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

inline Ints SetInts(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline Ints LoadInts(const int32_t* p) { return {LoadRegister(p), LoadRegister(p + 8)}; }
inline void StoreInts(int32_t* p, Ints a) {
  StoreRegister(p, a.lo);
  StoreRegister(p + 8, a.hi);
}
inline Ints LoadUnsignedBytes(const void* p) {
  const __m128i bytes = LoadHalfRegister(p);
  return {_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8))};
}
inline Ints LoadSignedBytes(const void* p) {
  const __m128i bytes = LoadHalfRegister(p);
  return {_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))};
}
inline __m128i SaturateToShorts(__m256i a) {
  return _mm_packs_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
}
inline void StoreSaturatedBytes(int8_t* p, Ints a) {
  const __m128i bytes = _mm_packs_epi16(SaturateToShorts(a.lo), SaturateToShorts(a.hi));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}
inline void StoreSaturatedShorts(int16_t* p, Ints a) {
  StoreRegister(p, _mm256_set_m128i(SaturateToShorts(a.hi), SaturateToShorts(a.lo)));
}
// Quads as 0, 2, 1, 3.
inline void StorePairedShorts(int16_t* p, Ints a) {
  const __m256i shorts = _mm256_set_m128i(SaturateToShorts(a.hi), SaturateToShorts(a.lo));
  StoreRegister(p, _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(shorts, 0xD8), 0xD8));
}
inline Ints AddInts(Ints a, Ints b) { return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)}; }
inline Ints SubInts(Ints a, Ints b) { return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)}; }
inline Ints MulInts(Ints a, Ints b) { return {_mm256_mullo_epi32(a.lo, b.lo), _mm256_mullo_epi32(a.hi, b.hi)}; }
inline Ints AndInts(Ints a, Ints b) { return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)}; }
inline Ints OrInts(Ints a, Ints b) { return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)}; }
inline Ints MaxInts(Ints a, Ints b) { return {_mm256_max_epi32(a.lo, b.lo), _mm256_max_epi32(a.hi, b.hi)}; }
template <int kBits>
Ints ShiftLeft(Ints a) {
  return {_mm256_slli_epi32(a.lo, kBits), _mm256_slli_epi32(a.hi, kBits)};
}
template <int kBits>
Ints ShiftRight(Ints a) {
  return {_mm256_srai_epi32(a.lo, kBits), _mm256_srai_epi32(a.hi, kBits)};
}
inline Ints ShiftLeftBy(Ints a, int bits) {
  const __m128i count = _mm_cvtsi32_si128(bits);
  return {_mm256_sll_epi32(a.lo, count), _mm256_sll_epi32(a.hi, count)};
}
inline int32_t SumInts(Ints a) {
  const __m256i eight = _mm256_add_epi32(a.lo, a.hi);
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xB1)));
}
inline int32_t LargestInt(Ints a) {
  const __m256i eight = _mm256_max_epi32(a.lo, a.hi);
  const __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  return _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 0xB1)));
}
inline Floats ToFloats(Ints a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
inline Ints RoundToInts(Floats a) { return {_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)}; }
inline Floats BitsToFloats(Ints a) { return {_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)}; }
inline Ints FloatBits(Floats a) { return {_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)}; }

inline Floats LoadFloats(const uint8_t* p) {
  return {_mm256_castsi256_ps(LoadRegister(p)), _mm256_castsi256_ps(LoadRegister(p + 32))};
}
inline void StoreFloats(uint8_t* p, Floats a) {
  StoreRegister(p, _mm256_castps_si256(a.lo));
  StoreRegister(p + 32, _mm256_castps_si256(a.hi));
}
inline void StoreShorts(uint8_t* p, Ints a) {
  StoreRegister(p, a.lo);
  StoreRegister(p + 32, a.hi);
}
inline Bytes LoadBytes(const void* p) {
  const auto* bytes = static_cast<const uint8_t*>(p);
  return {LoadRegister(bytes), LoadRegister(bytes + 32)};
}
inline void StoreBytes(void* p, Bytes a) {
  auto* bytes = static_cast<uint8_t*>(p);
  StoreRegister(bytes, a.lo);
  StoreRegister(bytes + 32, a.hi);
}
inline Bytes AndBytes(Bytes a, uint8_t mask) {
  const __m256i bits = _mm256_set1_epi8(static_cast<char>(mask));
  return {_mm256_and_si256(a.lo, bits), _mm256_and_si256(a.hi, bits)};
}
inline Bytes Insert(Bytes base, Bytes bits, uint8_t mask) {
  const Bytes kept = AndBytes(bits, mask);
  return {_mm256_or_si256(base.lo, kept.lo), _mm256_or_si256(base.hi, kept.hi)};
}
template <int kFrom, int kTo>
Bytes MoveBit(Bytes a) {
  if constexpr (kFrom > kTo) return {_mm256_srli_epi16(a.lo, kFrom - kTo), _mm256_srli_epi16(a.hi, kFrom - kTo)};
  if constexpr (kFrom < kTo) return {_mm256_slli_epi16(a.lo, kTo - kFrom), _mm256_slli_epi16(a.hi, kTo - kFrom)};
  return a;
}
inline Bytes LookUp16(const uint8_t* table, Bytes index) {
  const __m256i entries = _mm256_broadcastsi128_si256(LoadHalfRegister(table));
  return {_mm256_shuffle_epi8(entries, index.lo), _mm256_shuffle_epi8(entries, index.hi)};
}
inline Bytes Quad(const void* p) {
  int32_t four = 0;
  __builtin_memcpy(&four, p, 4);
  const __m256i all = _mm256_set1_epi32(four);
  return {all, all};
}

// The even and the odd bytes, each as 16 bits.
inline Bytes EvenBytes(Bytes a) {
  const __m256i mask = _mm256_set1_epi16(0xFF);
  return {_mm256_and_si256(a.lo, mask), _mm256_and_si256(a.hi, mask)};
}
inline Bytes OddBytes(Bytes a) { return {_mm256_srli_epi16(a.lo, 8), _mm256_srli_epi16(a.hi, 8)}; }
inline Bytes Pairs(Ints first, Ints second) {
  return {_mm256_or_si256(first.lo, _mm256_slli_epi32(second.lo, 16)),
          _mm256_or_si256(first.hi, _mm256_slli_epi32(second.hi, 16))};
}

// Pairs of products stay below 2^15 (codes below 64: 2 * 63 * 128), so the 16-bit step is exact.
inline __m256i DotRegister(__m256i sum, __m256i codes, __m256i x) {
  const __m256i pairs = _mm256_maddubs_epi16(codes, x);
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
inline Ints Dot(Ints sum, Bytes codes, Bytes x) {
  return {DotRegister(sum.lo, codes.lo, x.lo), DotRegister(sum.hi, codes.hi, x.hi)};
}
// Codes up to 255 would overflow 16 bits; as signed values |code - 128| <= 128 they do not (2 * 128 * 127 < 2^15).
// The offset then needs no correction.
inline Ints StartSigned(int32_t) { return SetInts(0); }
inline __m256i DotSignedRegister(__m256i sum, __m256i codes, __m256i x) {
  const __m256i w = _mm256_xor_si256(codes, _mm256_set1_epi8(static_cast<char>(0x80)));
  return DotRegister(sum, _mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
}
inline Ints DotSigned(Ints sum, Bytes codes, Bytes x) {
  return {DotSignedRegister(sum.lo, codes.lo, x.lo), DotSignedRegister(sum.hi, codes.hi, x.hi)};
}
// Levels of at most 127 in magnitude take the sign of the activation instead, whose magnitude serves many of them.
constexpr int kLevelOffset = 0;
inline __m256i DotLevelsRegister(__m256i sum, __m256i levels, __m256i x) {
  return DotRegister(sum, _mm256_abs_epi8(x), _mm256_sign_epi8(levels, x));
}
inline Ints DotLevels(Ints sum, Bytes levels, Bytes x) {
  return {DotLevelsRegister(sum.lo, levels.lo, x.lo), DotLevelsRegister(sum.hi, levels.hi, x.hi)};
}
inline Ints DotShorts(Ints sum, Bytes a, Bytes b) {
  return {_mm256_add_epi32(sum.lo, _mm256_madd_epi16(a.lo, b.lo)),
          _mm256_add_epi32(sum.hi, _mm256_madd_epi16(a.hi, b.hi))};
}

}  // namespace assay::cpu::avx2
