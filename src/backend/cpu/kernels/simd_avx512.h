#pragma once

// The vector types of simd.md's contract on AVX-512: a group of 16 lanes is one register. No header of the standard
// library with inline functions may be included here: compiled with this file's flags, the linker could give their
// code to everyone.
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

namespace assay::cpu::avx512 {

constexpr const char* kIsaName = "avx512_vnni";
// Tokens per tile of the integer and the float kernels: what 32 registers hold.
constexpr int kMaxTile = 6;
// Panels that an integer tile takes at once.
constexpr int DotPanels(int) { return 2; }
// Panels that a float tile takes at once.
constexpr int FloatPanels(int) { return 4; }
constexpr int kDeltaRows = 3;
// Products of one token for each line of weights, from which on it pays to ask ahead.
constexpr int kProductsWorthAsking = 2;

struct Floats {
  __m512 v;
};
struct Ints {
  __m512i v;
};
struct Bytes {
  __m512i v;
};

inline __mmask16 FirstLanes(int count) { return static_cast<__mmask16>((1U << count) - 1U); }

inline Floats Zero() { return {_mm512_setzero_ps()}; }
inline Floats Set(float x) { return {_mm512_set1_ps(x)}; }
inline Floats Load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline Floats LoadPart(const float* p, int count) { return {_mm512_maskz_loadu_ps(FirstLanes(count), p)}; }
inline void Store(float* p, Floats a) { _mm512_storeu_ps(p, a.v); }
inline void StorePart(float* p, Floats a, int count) { _mm512_mask_storeu_ps(p, FirstLanes(count), a.v); }
inline Floats LoadHalf(const void* p) { return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))}; }
inline void StoreHalf(void* p, Floats a) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline Floats LoadBf16(const void* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
inline Floats Add(Floats a, Floats b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Floats Sub(Floats a, Floats b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Floats Mul(Floats a, Floats b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Floats Div(Floats a, Floats b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Floats Fma(Floats a, Floats b, Floats c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Floats Sqrt(Floats a) { return {_mm512_sqrt_ps(a.v)}; }
inline Floats Max(Floats a, Floats b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Floats Min(Floats a, Floats b) { return {_mm512_min_ps(a.v, b.v)}; }
inline float Sum(Floats a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float Largest(Floats a) { return _mm512_reduce_max_ps(a.v); }

inline Ints SetInts(int32_t x) { return {_mm512_set1_epi32(x)}; }
inline Ints LoadInts(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
inline void StoreInts(int32_t* p, Ints a) { _mm512_storeu_si512(p, a.v); }
inline Ints LoadUnsignedBytes(const void* p) {
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)))};
}
inline Ints LoadSignedBytes(const void* p) {
  return {_mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)))};
}
inline void StoreSaturatedBytes(int8_t* p, Ints a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(a.v));
}
inline void StoreSaturatedShorts(int16_t* p, Ints a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtsepi32_epi16(a.v));
}
// Quads as 0, 2, 1, 3.
inline void StorePairedShorts(int16_t* p, Ints a) {
  const __m256i shorts = _mm512_cvtsepi32_epi16(a.v);
  const __m256i paired = _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(shorts, 0xD8), 0xD8);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), paired);
}
inline Ints AddInts(Ints a, Ints b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline Ints SubInts(Ints a, Ints b) { return {_mm512_sub_epi32(a.v, b.v)}; }
inline Ints MulInts(Ints a, Ints b) { return {_mm512_mullo_epi32(a.v, b.v)}; }
inline Ints AndInts(Ints a, Ints b) { return {_mm512_and_si512(a.v, b.v)}; }
inline Ints OrInts(Ints a, Ints b) { return {_mm512_or_si512(a.v, b.v)}; }
inline Ints MaxInts(Ints a, Ints b) { return {_mm512_max_epi32(a.v, b.v)}; }
template <int kBits>
Ints ShiftLeft(Ints a) {
  return {_mm512_slli_epi32(a.v, kBits)};
}
template <int kBits>
Ints ShiftRight(Ints a) {
  return {_mm512_srai_epi32(a.v, kBits)};
}
inline Ints ShiftLeftBy(Ints a, int bits) { return {_mm512_sll_epi32(a.v, _mm_cvtsi32_si128(bits))}; }
inline int32_t SumInts(Ints a) { return _mm512_reduce_add_epi32(a.v); }
inline int32_t LargestInt(Ints a) { return _mm512_reduce_max_epi32(a.v); }
inline Floats ToFloats(Ints a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline Ints RoundToInts(Floats a) { return {_mm512_cvtps_epi32(a.v)}; }
inline Floats BitsToFloats(Ints a) { return {_mm512_castsi512_ps(a.v)}; }
inline Ints FloatBits(Floats a) { return {_mm512_castps_si512(a.v)}; }

inline Floats LoadFloats(const uint8_t* p) { return {_mm512_loadu_ps(p)}; }
inline void StoreFloats(uint8_t* p, Floats a) { _mm512_storeu_ps(p, a.v); }
inline void StoreShorts(uint8_t* p, Ints a) { _mm512_storeu_si512(p, a.v); }
inline Bytes LoadBytes(const void* p) { return {_mm512_loadu_si512(p)}; }
inline void StoreBytes(void* p, Bytes a) { _mm512_storeu_si512(p, a.v); }
inline Bytes AndBytes(Bytes a, uint8_t mask) {
  return {_mm512_and_si512(a.v, _mm512_set1_epi8(static_cast<char>(mask)))};
}
// base | (bits & mask)
inline Bytes Insert(Bytes base, Bytes bits, uint8_t mask) {
  return {_mm512_ternarylogic_epi32(base.v, bits.v, _mm512_set1_epi8(static_cast<char>(mask)), 0xF8)};
}
// Moves bit kFrom of each byte to bit kTo; other bits are rubbish.
template <int kFrom, int kTo>
Bytes MoveBit(Bytes a) {
  if constexpr (kFrom > kTo) return {_mm512_srli_epi16(a.v, kFrom - kTo)};
  if constexpr (kFrom < kTo) return {_mm512_slli_epi16(a.v, kTo - kFrom)};
  return a;
}
inline Bytes LookUp16(const uint8_t* table, Bytes index) {
  const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return {_mm512_shuffle_epi8(_mm512_broadcast_i32x4(entries), index.v)};
}
// Four bytes to all lanes.
inline Bytes Quad(const void* p) {
  int32_t four = 0;
  __builtin_memcpy(&four, p, 4);
  return {_mm512_set1_epi32(four)};
}

// The even and the odd bytes, each as 16 bits.
inline Bytes EvenBytes(Bytes a) { return {_mm512_and_si512(a.v, _mm512_set1_epi16(0xFF))}; }
inline Bytes OddBytes(Bytes a) { return {_mm512_srli_epi16(a.v, 8)}; }
// The low halves of both, as pairs of 16 bits.
inline Bytes Pairs(Ints first, Ints second) { return {_mm512_or_si512(first.v, _mm512_slli_epi32(second.v, 16))}; }

// Codes below 64 times signed bytes.
inline Ints Dot(Ints sum, Bytes codes, Bytes x) { return {_mm512_dpbusd_epi32(sum.v, codes.v, x.v)}; }
// Codes up to 255 that stand for code - 128; `minus_sum` is minus the sum of the x that will follow.
inline Ints StartSigned(int32_t minus_sum) { return {_mm512_slli_epi32(_mm512_set1_epi32(minus_sum), 7)}; }
inline Ints DotSigned(Ints sum, Bytes codes, Bytes x) { return Dot(sum, codes, x); }
// Levels plus kLevelOffset; the same here.
constexpr int kLevelOffset = 128;
inline Ints DotLevels(Ints sum, Bytes levels, Bytes x) { return DotSigned(sum, levels, x); }
// Two 16-bit products per lane, modulo 2^32.
inline Ints DotShorts(Ints sum, Bytes a, Bytes b) { return {_mm512_dpwssd_epi32(sum.v, a.v, b.v)}; }

}  // namespace assay::cpu::avx512
