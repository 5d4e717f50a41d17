#pragma once

#include <cstdint>
#include <cstring>

// What packing does to the bytes of four rows at a time, on vectors that every processor has: interleaving and shifts.
namespace assay::cpu {

using Words = uint32_t __attribute__((vector_size(16)));   // a word of each of four rows
using Shorts = uint16_t __attribute__((vector_size(16)));  // of four rows, two columns each
using Octets = uint8_t __attribute__((vector_size(16)));

template <typename Vector>
Vector LoadVector(const uint8_t* p) {
  Vector v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

template <typename Vector>
void StoreVector(uint8_t* p, const Vector& v) {
  std::memcpy(p, &v, sizeof(v));
}

inline Words LowWords(Words a, Words b) { return __builtin_shufflevector(a, b, 0, 4, 1, 5); }
inline Words HighWords(Words a, Words b) { return __builtin_shufflevector(a, b, 2, 6, 3, 7); }
inline Shorts LowShorts(Shorts a, Shorts b) { return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
inline Shorts HighShorts(Shorts a, Shorts b) { return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15); }

// Four neighbouring rows of a file, from the current block on.
struct FourRows {
  const uint8_t* row[4];

  // out[i] = the word at byte `at` + 4 i, for `kCount` (a multiple of four) words.
  template <int kCount>
  void Load(int at, Words* out) const {
    for (int i = 0; i < kCount; i += 4) {
      const auto a = LoadVector<Words>(row[0] + at + 4 * i), b = LoadVector<Words>(row[1] + at + 4 * i);
      const auto c = LoadVector<Words>(row[2] + at + 4 * i), d = LoadVector<Words>(row[3] + at + 4 * i);
      const Words ac_low = LowWords(a, c), bd_low = LowWords(b, d);
      const Words ac_high = HighWords(a, c), bd_high = HighWords(b, d);
      out[i] = LowWords(ac_low, bd_low);
      out[i + 1] = HighWords(ac_low, bd_low);
      out[i + 2] = LowWords(ac_high, bd_high);
      out[i + 3] = HighWords(ac_high, bd_high);
    }
  }

  Words LoadOne(int at) const {
    uint32_t words[4];
    for (int i = 0; i < 4; ++i) std::memcpy(&words[i], row[i] + at, 4);
    return Words{words[0], words[1], words[2], words[3]};
  }

  // Eight columns of 16 bits from byte `at` on: the columns 2 i and 2 i + 1 of the four rows are out[i].
  void LoadColumns(int64_t at, Shorts* out) const {
    const auto a = LoadVector<Shorts>(row[0] + at), b = LoadVector<Shorts>(row[1] + at);
    const auto c = LoadVector<Shorts>(row[2] + at), d = LoadVector<Shorts>(row[3] + at);
    const Shorts ac_low = LowShorts(a, c), bd_low = LowShorts(b, d);
    const Shorts ac_high = HighShorts(a, c), bd_high = HighShorts(b, d);
    out[0] = LowShorts(ac_low, bd_low);
    out[1] = HighShorts(ac_low, bd_low);
    out[2] = LowShorts(ac_high, bd_high);
    out[3] = HighShorts(ac_high, bd_high);
  }
};

// Nibbles of two words side by side: the first's below the second's. Their low nibbles, or their high ones.
inline Words LowNibbles(Words a, Words b) { return (a & 0x0F0F0F0FU) | ((b & 0x0F0F0F0FU) << 4U); }
inline Words HighNibbles(Words a, Words b) { return ((a >> 4U) & 0x0F0F0F0FU) | (b & 0xF0F0F0F0U); }

// Exchanges bits of a, kShift above those of kMask, with bits of b in kMask.
template <uint32_t kShift, uint32_t kMask>
void Exchange(Words& a, Words& b) {
  const Words differ = ((a >> kShift) ^ b) & kMask;
  b ^= differ;
  a ^= differ << kShift;
}

// Each byte's pairs of bits: pair s of word i becomes pair i of word s.
inline void TransposePairs(Words (&w)[4]) {
  for (int i = 0; i < 2; ++i) Exchange<4, 0x0F0F0F0FU>(w[i], w[i + 2]);
  for (int i = 0; i < 4; i += 2) Exchange<2, 0x33333333U>(w[i], w[i + 1]);
}

// Each byte's bits: bit s of word i becomes bit i of word s.
inline void TransposeBits(Words (&w)[8]) {
  for (int i = 0; i < 4; ++i) Exchange<4, 0x0F0F0F0FU>(w[i], w[i + 4]);
  for (const int i : {0, 1, 4, 5}) Exchange<2, 0x33333333U>(w[i], w[i + 2]);
  for (int i = 0; i < 8; i += 2) Exchange<1, 0x55555555U>(w[i], w[i + 1]);
}

// Bit 4 j + c of a word becomes bit j of byte c: of the five bits of an index, two are exchanged at a time.
inline Words SpreadBits(Words w) {
  const auto exchange = [&w](uint32_t shift, uint32_t mask) {
    const Words differ = ((w >> shift) ^ w) & mask;
    w ^= differ ^ (differ << shift);
  };
  exchange(14, 0x0000CCCCU);
  exchange(7, 0x00AA00AAU);
  exchange(2, 0x0C0C0C0CU);
  exchange(1, 0x22222222U);
  return w;
}

// Byte c of the four rows becomes word c.
inline Words TransposeBytes(Words w) {
  for (int i = 0; i < 2; ++i) {  // interleaves the halves
    const Words halves[2] = {w, __builtin_shufflevector(w, w, 2, 3, 0, 1)};
    Octets low, high;
    std::memcpy(&low, &halves[0], sizeof(low));
    std::memcpy(&high, &halves[1], sizeof(high));
    low = __builtin_shufflevector(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    std::memcpy(&w, &low, sizeof(w));
  }
  return w;
}

// Six bits that stand for their value minus 32, as signed bytes.
inline Words MinusThirtyTwo(Words w) { return ((w | 0x80808080U) - 0x20202020U) ^ 0x80808080U; }

}  // namespace assay::cpu
