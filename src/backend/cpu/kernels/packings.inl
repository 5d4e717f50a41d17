// How each quantised format unpacks: a policy tells the product kernel the codes, scales and minima of a block.

namespace assay::cpu::ASSAY_ISA {

// ---- Bit planes: Codes<quad>(p) are the codes of a quad of the block at p.

struct EightBits {
  static constexpr int kBytes = kPlane8;
  template <int kQuad>
  static Bytes Codes(const uint8_t* p) {
    return LoadBytes(p + 64 * kQuad);
  }
};

struct FourBits {
  static constexpr int kBytes = kPlane4;
  template <int kQuad>
  static Bytes Codes(const uint8_t* p) {
    const Bytes packed = LoadBytes(p + 64 * (kQuad % 4));
    return AndBytes(kQuad < 4 ? packed : MoveBit<4, 0>(packed), 0x0F);
  }
};

// The codebook of IQ4_NL plus 128.
struct FourBitsTable {
  static constexpr int kBytes = kPlane4;
  static constexpr uint8_t kTable[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};
  template <int kQuad>
  static Bytes Codes(const uint8_t* p) {
    return LookUp16(kTable, FourBits::Codes<kQuad>(p));
  }
};

struct FiveBits {
  static constexpr int kBytes = kPlane4 + kPlane1;
  template <int kQuad>
  static Bytes Codes(const uint8_t* p) {
    const Bytes high = LoadBytes(p + kPlane4);
    return Insert(FourBits::Codes<kQuad>(p), MoveBit<kQuad, 4>(high), 0x10);
  }
};

struct SixBits {
  static constexpr int kBytes = kPlane4 + kPlane2;
  template <int kQuad>
  static Bytes Codes(const uint8_t* p) {
    const Bytes high = LoadBytes(p + kPlane4 + 64 * (kQuad / 4));
    return Insert(FourBits::Codes<kQuad>(p), MoveBit<2 * (kQuad % 4), 4>(high), 0x30);
  }
};

struct TwoBits {
  static constexpr int kBytes = kPlane2;
  template <int kQuad>
  static Bytes Codes(const uint8_t* p) {
    return AndBytes(MoveBit<2 * (kQuad % 4), 0>(LoadBytes(p + 64 * (kQuad / 4))), 0x03);
  }
};

struct ThreeBits {
  static constexpr int kBytes = kPlane2 + kPlane1;
  template <int kQuad>
  static Bytes Codes(const uint8_t* p) {
    return Insert(TwoBits::Codes<kQuad>(p), MoveBit<kQuad, 2>(LoadBytes(p + kPlane2)), 0x04);
  }
};

// ---- Scales: a weight is Scale * (code - offset) + Minimum.

template <bool kHasMinima>
struct HalfScales {
  static constexpr int kBlocks = kSmallBlocks;
  static constexpr int kHeader = kHasMinima ? 2 * kHalfHeader : kHalfHeader;
  static constexpr int kSubs = 1;
  static constexpr bool kMinima = kHasMinima;
  HalfScales() = default;
  explicit HalfScales(const uint8_t* header) : header_(header) {}
  Floats Scale(int block, int) const { return LoadHalf(header_ + 32 * block); }
  Floats Minimum(int block, int) const { return LoadHalf(header_ + kHalfHeader + 32 * block); }

 private:
  const uint8_t* header_;
};

// Products of an 11-bit d and a scale of at most 8 bits are exact.
struct SuperScales32 {
  static constexpr int kBlocks = kSuperBlocks, kHeader = kSuperHeader, kSubs = 1;
  static constexpr bool kMinima = true;
  SuperScales32() = default;
  explicit SuperScales32(const uint8_t* header)
      : header_(header), d_(LoadHalf(header)), minus_dmin_(Sub(Zero(), LoadHalf(header + 32))) {}
  Floats Scale(int block, int) const { return Mul(d_, ToFloats(LoadUnsignedBytes(header_ + 64 + 16 * block))); }
  Floats Minimum(int block, int) const {
    return Mul(minus_dmin_, ToFloats(LoadUnsignedBytes(header_ + 192 + 16 * block)));
  }

 private:
  const uint8_t* header_;
  Floats d_, minus_dmin_;
};

struct SuperScales16 {
  static constexpr int kBlocks = kSuperBlocks, kHeader = kSuperHeader, kSubs = 2;
  static constexpr bool kMinima = false;
  SuperScales16() = default;
  explicit SuperScales16(const uint8_t* header) : header_(header), d_(LoadHalf(header)) {}
  Floats Scale(int block, int sub) const {
    return Mul(d_, ToFloats(LoadSignedBytes(header_ + 64 + 16 * (2 * block + sub))));
  }
  Floats Minimum(int, int) const { return Zero(); }

 private:
  const uint8_t* header_;
  Floats d_;
};

struct SuperScales16Minima {
  static constexpr int kBlocks = kSuperBlocks, kHeader = kSuperHeader, kSubs = 2;
  static constexpr bool kMinima = true;
  SuperScales16Minima() = default;
  explicit SuperScales16Minima(const uint8_t* header)
      : header_(header), d_(LoadHalf(header)), minus_dmin_(Sub(Zero(), LoadHalf(header + 32))) {}
  Floats Scale(int block, int sub) const {
    return Mul(d_, ToFloats(AndInts(LoadUnsignedBytes(header_ + 64 + 16 * (2 * block + sub)), SetInts(15))));
  }
  Floats Minimum(int block, int sub) const {
    return Mul(minus_dmin_, ToFloats(ShiftRight<4>(LoadUnsignedBytes(header_ + 64 + 16 * (2 * block + sub)))));
  }

 private:
  const uint8_t* header_;
  Floats d_, minus_dmin_;
};

// ---- The formats. kSigned: codes are 0 to 255 and stand for code - 128.

template <typename ScalesType, typename PlaneType, int kOffset>
struct Packed {
  using Scales = ScalesType;
  static constexpr int kBlocks = Scales::kBlocks, kSubs = Scales::kSubs, kOffsetBits = kOffset;
  static constexpr bool kMinima = Scales::kMinima, kSigned = kOffset == 7;
  static constexpr int64_t kRecordBytes = Scales::kHeader + kBlocks * PlaneType::kBytes;
  static int OffsetBits(const DotArgs&) { return kOffsetBits; }
  static const uint8_t* Block(const uint8_t* record, int block) {
    return record + Scales::kHeader + block * PlaneType::kBytes;
  }
  template <int kQuad>
  static Bytes Codes(const uint8_t* block) {
    return PlaneType::template Codes<kQuad>(block);
  }
};

using Q8_0 = Packed<HalfScales<false>, EightBits, 7>;
using Q4_0 = Packed<HalfScales<false>, FourBits, 3>;
using Q4_1 = Packed<HalfScales<true>, FourBits, 0>;
using Q5_0 = Packed<HalfScales<false>, FiveBits, 4>;
using Q5_1 = Packed<HalfScales<true>, FiveBits, 0>;
using IQ4_NL = Packed<HalfScales<false>, FourBitsTable, 7>;
using Q4_K = Packed<SuperScales32, FourBits, 0>;
using Q5_K = Packed<SuperScales32, FiveBits, 0>;
using Q6_K = Packed<SuperScales16, SixBits, 5>;
using Q3_K = Packed<SuperScales16, ThreeBits, 2>;
using Q2_K = Packed<SuperScales16Minima, TwoBits, 0>;

// Any of them, unpacked: records of one block: codes, then [sub-blocks] scales, then as many minima, in float32.
// Formats that differ in their offset alone share one.
template <int kSubBlocks, bool kHasMinima, bool kIsSigned>
struct Expanded {
  static constexpr int kBlocks = 1, kSubs = kSubBlocks;
  static constexpr bool kMinima = kHasMinima, kSigned = kIsSigned;
  static constexpr int64_t kRecordBytes = kPlane8 + 64 * kSubs * (kMinima ? 2 : 1);
  static int OffsetBits(const DotArgs& args) { return args.offset_bits; }
  struct Scales {
    Scales() = default;
    explicit Scales(const uint8_t* record) : floats_(record + kPlane8) {}
    Floats Scale(int, int sub) const { return LoadFloats(floats_ + 64 * sub); }
    Floats Minimum(int, int sub) const { return LoadFloats(floats_ + 64 * (kSubs + sub)); }

   private:
    const uint8_t* floats_;
  };
  static const uint8_t* Block(const uint8_t* record, int) { return record; }
  template <int kQuad>
  static Bytes Codes(const uint8_t* block) {
    return LoadBytes(block + 64 * kQuad);
  }
};

template <typename Format>
using ExpandedOf = Expanded<Format::kSubs, Format::kMinima, Format::kSigned>;

template <typename Format>
void Expand(const uint8_t* panel, int64_t records, uint8_t* out) {
  using Out = ExpandedOf<Format>;
  for (int64_t i = 0; i < records; ++i, panel += Format::kRecordBytes) {
    const typename Format::Scales scales(panel);
    for (int b = 0; b < Format::kBlocks; ++b, out += Out::kRecordBytes) {
      const uint8_t* block = Format::Block(panel, b);
      Unroll<8>(
          [&](auto quad) { StoreBytes(out + 64 * quad.value, Format::template Codes<decltype(quad)::value>(block)); });
      for (int s = 0; s < Format::kSubs; ++s) {
        StoreFloats(out + kPlane8 + 64 * s, scales.Scale(b, s));
        if (Format::kMinima) StoreFloats(out + kPlane8 + 64 * (Format::kSubs + s), scales.Minimum(b, s));
      }
    }
  }
}

}  // namespace assay::cpu::ASSAY_ISA
