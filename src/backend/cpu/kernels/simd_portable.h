#pragma once

// The vector types in plain C++: a group of 16 lanes is an array. Every function gives the bits that the instruction
// sets give; a fused multiply-add is the C library's where the processor has none.
#include <stddef.h>
#include <stdint.h>

#include "base/half.h"

namespace assay::cpu::portable {

constexpr const char* kIsaName = "portable";
constexpr int kMaxTile = 1;
// Panels that an integer tile takes at once.
constexpr int DotPanels(int) { return 1; }
constexpr int FloatPanels(int) { return 1; }
constexpr int kDeltaRows = 1;
// Products of one token for each line of weights, from which on it pays to ask ahead.
constexpr int kProductsWorthAsking = 2;

struct Floats {
  float v[16];
};
struct Ints {
  int32_t v[16];
};
struct Bytes {
  uint8_t v[64];
};

template <typename Function>
Floats MapFloats(const Function& function) {
  Floats out = {};
  for (int i = 0; i < 16; ++i) out.v[i] = function(i);
  return out;
}
template <typename Function>
Ints MapInts(const Function& function) {
  Ints out = {};
  for (int i = 0; i < 16; ++i) out.v[i] = function(i);
  return out;
}
template <typename Function>
Bytes MapBytes(const Function& function) {
  Bytes out = {};
  for (int i = 0; i < 64; ++i) out.v[i] = static_cast<uint8_t>(function(i));
  return out;
}
template <typename T>
T LoadAs(const void* p, int index) {
  T value = {};
  __builtin_memcpy(&value, static_cast<const uint8_t*>(p) + static_cast<size_t>(index) * sizeof(T), sizeof(T));
  return value;
}

inline Floats Zero() { return {}; }
inline Floats Set(float x) {
  return MapFloats([x](int) { return x; });
}
inline Floats Load(const float* p) {
  return MapFloats([p](int i) { return p[i]; });
}
inline Floats LoadPart(const float* p, int count) {
  return MapFloats([=](int i) { return i < count ? p[i] : 0.0F; });
}
inline void Store(float* p, Floats a) { __builtin_memcpy(p, a.v, sizeof(a.v)); }
inline void StorePart(float* p, Floats a, int count) {
  for (int i = 0; i < count; ++i) p[i] = a.v[i];
}
inline Floats LoadHalf(const void* p) {
  return MapFloats([p](int i) { return HalfToFloat(LoadAs<uint16_t>(p, i)); });
}
inline void StoreHalf(void* p, Floats a) {
  uint16_t halves[16] = {};
  for (int i = 0; i < 16; ++i) halves[i] = FloatToHalf(a.v[i]);
  __builtin_memcpy(p, halves, sizeof(halves));
}
inline Floats LoadBf16(const void* p) {
  return MapFloats([p](int i) { return Bf16ToFloat(LoadAs<uint16_t>(p, i)); });
}
inline Floats Add(Floats a, Floats b) {
  return MapFloats([&](int i) { return a.v[i] + b.v[i]; });
}
inline Floats Sub(Floats a, Floats b) {
  return MapFloats([&](int i) { return a.v[i] - b.v[i]; });
}
inline Floats Mul(Floats a, Floats b) {
  return MapFloats([&](int i) { return a.v[i] * b.v[i]; });
}
inline Floats Div(Floats a, Floats b) {
  return MapFloats([&](int i) { return a.v[i] / b.v[i]; });
}
inline Floats Fma(Floats a, Floats b, Floats c) {
  return MapFloats([&](int i) { return __builtin_fmaf(a.v[i], b.v[i], c.v[i]); });
}
inline Floats Sqrt(Floats a) {
  return MapFloats([&](int i) { return __builtin_sqrtf(a.v[i]); });
}
// As the processors do it: the second operand unless the first is strictly greater (less), NaN included.
inline Floats Max(Floats a, Floats b) {
  return MapFloats([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline Floats Min(Floats a, Floats b) {
  return MapFloats([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline float Sum(Floats a) {
  for (int width = 8; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) a.v[i] += a.v[i + width];
  }
  return a.v[0];
}
inline float Largest(Floats a) {
  for (int i = 1; i < 16; ++i) a.v[0] = a.v[0] > a.v[i] ? a.v[0] : a.v[i];
  return a.v[0];
}

inline Ints SetInts(int32_t x) {
  return MapInts([x](int) { return x; });
}
inline Ints LoadInts(const int32_t* p) {
  return MapInts([p](int i) { return p[i]; });
}
inline void StoreInts(int32_t* p, Ints a) { __builtin_memcpy(p, a.v, sizeof(a.v)); }
inline Ints LoadUnsignedBytes(const void* p) {
  return MapInts([p](int i) { return LoadAs<uint8_t>(p, i); });
}
inline Ints LoadSignedBytes(const void* p) {
  return MapInts([p](int i) { return int32_t{LoadAs<int8_t>(p, i)}; });
}
inline int32_t Clamp(int32_t x, int32_t low, int32_t high) { return x < low ? low : x > high ? high : x; }
inline void StoreSaturatedBytes(int8_t* p, Ints a) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(Clamp(a.v[i], -128, 127));
}
inline void StoreSaturatedShorts(int16_t* p, Ints a) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<int16_t>(Clamp(a.v[i], -32768, 32767));
}
// Quads as 0, 2, 1, 3.
inline void StorePairedShorts(int16_t* p, Ints a) {
  int16_t shorts[16] = {};
  StoreSaturatedShorts(shorts, a);
  for (int i = 0; i < 16; ++i) p[i] = shorts[i / 4 * 4 + i % 2 * 2 + i / 2 % 2];
}
// Sums are modulo 2^32, as in the registers.
inline int32_t WrapAdd(int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
}
inline Ints AddInts(Ints a, Ints b) {
  return MapInts([&](int i) { return WrapAdd(a.v[i], b.v[i]); });
}
inline Ints SubInts(Ints a, Ints b) {
  return MapInts([&](int i) { return WrapAdd(a.v[i], -b.v[i]); });
}
inline Ints MulInts(Ints a, Ints b) {
  return MapInts([&](int i) { return static_cast<int32_t>(int64_t{a.v[i]} * b.v[i]); });
}
inline Ints AndInts(Ints a, Ints b) {
  return MapInts([&](int i) { return a.v[i] & b.v[i]; });
}
inline Ints OrInts(Ints a, Ints b) {
  return MapInts([&](int i) { return a.v[i] | b.v[i]; });
}
inline Ints MaxInts(Ints a, Ints b) {
  return MapInts([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
template <int kBits>
Ints ShiftLeft(Ints a) {
  return MapInts([&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) << kBits); });
}
template <int kBits>
Ints ShiftRight(Ints a) {
  return MapInts([&](int i) { return a.v[i] >> kBits; });
}
inline Ints ShiftLeftBy(Ints a, int bits) {
  return MapInts([&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) << bits); });
}
inline int32_t SumInts(Ints a) {
  for (int i = 1; i < 16; ++i) a.v[0] = WrapAdd(a.v[0], a.v[i]);
  return a.v[0];
}
inline int32_t LargestInt(Ints a) {
  for (int i = 1; i < 16; ++i) a.v[0] = a.v[0] > a.v[i] ? a.v[0] : a.v[i];
  return a.v[0];
}
inline Floats ToFloats(Ints a) {
  return MapFloats([&](int i) { return static_cast<float>(a.v[i]); });
}
inline Ints RoundToInts(Floats a) {
  return MapInts([&](int i) {
    const bool fits = a.v[i] >= -0x1p31F && a.v[i] < 0x1p31F;
    return fits ? static_cast<int32_t>(__builtin_rintf(a.v[i])) : INT32_MIN;
  });
}
inline Floats BitsToFloats(Ints a) {
  Floats out = {};
  __builtin_memcpy(&out, &a, sizeof(out));
  return out;
}
inline Ints FloatBits(Floats a) {
  Ints out = {};
  __builtin_memcpy(&out, &a, sizeof(out));
  return out;
}

inline Floats LoadFloats(const uint8_t* p) {
  return MapFloats([p](int i) { return LoadAs<float>(p, i); });
}
inline void StoreFloats(uint8_t* p, Floats a) { __builtin_memcpy(p, a.v, sizeof(a.v)); }
inline void StoreShorts(uint8_t* p, Ints a) { __builtin_memcpy(p, a.v, sizeof(a.v)); }
inline Bytes LoadBytes(const void* p) {
  Bytes out = {};
  __builtin_memcpy(out.v, p, sizeof(out.v));
  return out;
}
inline void StoreBytes(void* p, Bytes a) { __builtin_memcpy(p, a.v, sizeof(a.v)); }
inline Bytes AndBytes(Bytes a, uint8_t mask) {
  return MapBytes([&](int i) { return a.v[i] & mask; });
}
inline Bytes Insert(Bytes base, Bytes bits, uint8_t mask) {
  return MapBytes([&](int i) { return base.v[i] | (bits.v[i] & mask); });
}
template <int kFrom, int kTo>
Bytes MoveBit(Bytes a) {
  if constexpr (kFrom >= kTo) {
    return MapBytes([&](int i) { return a.v[i] >> (kFrom - kTo); });
  } else {
    return MapBytes([&](int i) { return a.v[i] << (kTo - kFrom); });
  }
}
inline Bytes LookUp16(const uint8_t* table, Bytes index) {
  return MapBytes([&](int i) { return table[index.v[i]]; });
}
inline Bytes Quad(const void* p) {
  return MapBytes([p](int i) { return LoadAs<uint8_t>(p, i % 4); });
}

// The even and the odd bytes, each as 16 bits.
inline Bytes EvenBytes(Bytes a) {
  return MapBytes([&](int i) { return i % 2 == 0 ? a.v[i] : 0; });
}
inline Bytes OddBytes(Bytes a) {
  return MapBytes([&](int i) { return i % 2 == 0 ? a.v[i + 1] : 0; });
}
inline Bytes Pairs(Ints first, Ints second) {
  const Ints both = OrInts(first, ShiftLeft<16>(second));
  Bytes out = {};
  __builtin_memcpy(&out, &both, sizeof(out));
  return out;
}

inline Ints Dot(Ints sum, Bytes codes, Bytes x) {
  for (int i = 0; i < 64; ++i) sum.v[i / 4] += codes.v[i] * static_cast<int8_t>(x.v[i]);
  return sum;
}
inline Ints StartSigned(int32_t minus_sum) { return SetInts(minus_sum * 128); }
inline Ints DotSigned(Ints sum, Bytes codes, Bytes x) { return Dot(sum, codes, x); }
// Levels plus kLevelOffset; the same here.
constexpr int kLevelOffset = 128;
inline Ints DotLevels(Ints sum, Bytes levels, Bytes x) { return DotSigned(sum, levels, x); }
inline Ints DotShorts(Ints sum, Bytes a, Bytes b) {
  for (int i = 0; i < 32; ++i) {
    sum.v[i / 2] = WrapAdd(sum.v[i / 2], LoadAs<int16_t>(a.v, i) * LoadAs<int16_t>(b.v, i));
  }
  return sum;
}

}  // namespace assay::cpu::portable
