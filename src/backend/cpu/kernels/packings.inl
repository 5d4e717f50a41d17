// How each quantised format unpacks: a policy tells the product kernel the codes, scales and minima of a block.

namespace assay::cpu::ASSAY_ISA {

// ---- Bit planes: Codes<quad>(p) are the codes of a quad of the block at p.

struct EightBits {
  static constexpr int kVectors = kPlane8;
  template <int kQuad>
  static Bytes Codes(const uint8_t* p) {
    return LoadBytes(p + kVectorStride * kQuad);
  }
};

struct FourBits {
  static constexpr int kVectors = kPlane4;
  template <int kQuad>
  static Bytes Codes(const uint8_t* p) {
    const Bytes packed = LoadBytes(p + kVectorStride * (kQuad % 4));
    return AndBytes(kQuad < 4 ? packed : MoveBit<4, 0>(packed), 0x0F);
  }
};

// The codebook of IQ4_NL plus 128.
struct FourBitsTable {
  static constexpr int kVectors = kPlane4;
  static constexpr uint8_t kTable[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};
  template <int kQuad>
  static Bytes Codes(const uint8_t* p) {
    return LookUp16(kTable, FourBits::Codes<kQuad>(p));
  }
};

struct FiveBits {
  static constexpr int kVectors = kPlane1 + kPlane4;
  template <int kQuad>
  static Bytes Codes(const uint8_t* p) {
    return Insert(FourBits::Codes<kQuad>(p + kVectorStride), MoveBit<kQuad, 4>(LoadBytes(p)), 0x10);
  }
};

struct SixBits {
  static constexpr int kVectors = kPlane2 + kPlane4;
  template <int kQuad>
  static Bytes Codes(const uint8_t* p) {
    const Bytes high = LoadBytes(p + (kQuad < 4 ? 0 : kVectorStride * (1 + kPlane4)));
    return Insert(FourBits::Codes<kQuad>(p + kVectorStride), MoveBit<2 * (kQuad % 4), 4>(high), 0x30);
  }
};

struct TwoBits {
  static constexpr int kVectors = kPlane2;
  template <int kQuad>
  static Bytes Codes(const uint8_t* p) {
    return AndBytes(MoveBit<2 * (kQuad % 4), 0>(LoadBytes(p + kVectorStride * (kQuad / 4))), 0x03);
  }
};

struct ThreeBits {
  static constexpr int kVectors = kPlane1 + kPlane2;
  template <int kQuad>
  static Bytes Codes(const uint8_t* p) {
    return Insert(TwoBits::Codes<kQuad>(p + kVectorStride), MoveBit<kQuad, 2>(LoadBytes(p)), 0x04);
  }
};

// ---- Scales: a weight is Scale * (code - offset) + Minimum.

template <bool kHasMinima>
struct HalfScales {
  static constexpr int kBlocks = kSmallBlocks, kSubs = 1;
  static constexpr bool kMinima = kHasMinima;
  HalfScales() = default;
  explicit HalfScales(const uint8_t* record) : record_(record) {}
  Floats Scale(int block, int) const { return LoadHalf(record_ + 32 * block); }
  Floats Minimum(int block, int) const { return LoadHalf(record_ + kVectorStride + 32 * block); }

  static constexpr int Vectors(int block_vectors) { return BlockAt(kBlocks, block_vectors); }
  static constexpr int BlockAt(int block, int block_vectors) { return (kMinima ? 2 : 1) + block * block_vectors; }

 private:
  const uint8_t* record_ = nullptr;
};

// What the K formats share. Products of an 11-bit d and a scale of at most 8 bits are exact.
template <int kBlockVectors>
struct SuperScales {
  static constexpr int kBlocks = kSuperBlocks;
  SuperScales() = default;
  explicit SuperScales(const uint8_t* record) : record_(record), d_(LoadHalf(record)) {}

  static constexpr int Vectors(int block_vectors) { return SuperVectors(block_vectors); }
  static constexpr int BlockAt(int block, int block_vectors) { return SuperBlockAt(block, block_vectors); }

 protected:
  const uint8_t* BytesOf(int block, int sub) const {
    return record_ + kVectorStride * SuperScalesAt(block, kBlockVectors) + 32 * (block % 2) + 16 * sub;
  }
  Floats Times(Ints scale) const { return Mul(d_, ToFloats(scale)); }
  // dmin is taken away.
  Floats MinusDmin() const { return Sub(Zero(), LoadHalf(record_ + 32)); }

 private:
  const uint8_t* record_ = nullptr;
  Floats d_;
};

template <int kBlockVectors>
struct SuperScales32 : SuperScales<kBlockVectors> {
  static constexpr int kSubs = 1;
  static constexpr bool kMinima = true;
  SuperScales32() = default;
  explicit SuperScales32(const uint8_t* record) : SuperScales<kBlockVectors>(record), minus_dmin_(this->MinusDmin()) {}
  Floats Scale(int block, int) const { return this->Times(LoadUnsignedBytes(this->BytesOf(block, 0))); }
  Floats Minimum(int block, int) const {
    return Mul(minus_dmin_, ToFloats(LoadUnsignedBytes(this->BytesOf(block, 1))));
  }

 private:
  Floats minus_dmin_;
};

template <int kBlockVectors>
struct SuperScales16 : SuperScales<kBlockVectors> {
  static constexpr int kSubs = 2;
  static constexpr bool kMinima = false;
  using SuperScales<kBlockVectors>::SuperScales;
  Floats Scale(int block, int sub) const { return this->Times(LoadSignedBytes(this->BytesOf(block, sub))); }
  Floats Minimum(int, int) const { return Zero(); }
};

template <int kBlockVectors>
struct SuperScales16Minima : SuperScales<kBlockVectors> {
  static constexpr int kSubs = 2;
  static constexpr bool kMinima = true;
  SuperScales16Minima() = default;
  explicit SuperScales16Minima(const uint8_t* record)
      : SuperScales<kBlockVectors>(record), minus_dmin_(this->MinusDmin()) {}
  Floats Scale(int block, int sub) const {
    return this->Times(AndInts(LoadUnsignedBytes(this->BytesOf(block, sub)), SetInts(15)));
  }
  Floats Minimum(int block, int sub) const {
    return Mul(minus_dmin_, ToFloats(ShiftRight<4>(LoadUnsignedBytes(this->BytesOf(block, sub)))));
  }

 private:
  Floats minus_dmin_;
};

// ---- The formats. kSigned: codes are 0 to 255 and stand for code - 128.

template <typename ScalesType, typename PlaneType, int kOffset>
struct Packed {
  using Scales = ScalesType;
  static constexpr int kBlocks = Scales::kBlocks, kSubs = Scales::kSubs, kOffsetBits = kOffset;
  static constexpr bool kMinima = Scales::kMinima, kSigned = kOffset == 7;
  static constexpr int64_t kRecordStride = kVectorStride * Scales::Vectors(PlaneType::kVectors);
  static int OffsetBits(const DotArgs&) { return kOffsetBits; }
  static const uint8_t* Block(const uint8_t* record, int block) {
    return record + kVectorStride * Scales::BlockAt(block, PlaneType::kVectors);
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
using Q4_K = Packed<SuperScales32<FourBits::kVectors>, FourBits, 0>;
using Q5_K = Packed<SuperScales32<FiveBits::kVectors>, FiveBits, 0>;
using Q6_K = Packed<SuperScales16<SixBits::kVectors>, SixBits, 5>;
using Q3_K = Packed<SuperScales16<ThreeBits::kVectors>, ThreeBits, 2>;
using Q2_K = Packed<SuperScales16Minima<TwoBits::kVectors>, TwoBits, 0>;

// Any of them, unpacked: records of one block: codes, then [sub-blocks] scales, then as many minima, in float32.
// Formats that differ in their offset alone share one.
template <int kSubBlocks, bool kHasMinima, bool kIsSigned>
struct Expanded {
  static constexpr int kBlocks = 1, kSubs = kSubBlocks;
  static constexpr bool kMinima = kHasMinima, kSigned = kIsSigned;
  static constexpr int64_t kRecordStride = kVectorStride * (kPlane8 + kSubs * (kMinima ? 2 : 1));
  static int OffsetBits(const DotArgs& args) { return args.offset_bits; }
  struct Scales {
    Scales() = default;
    explicit Scales(const uint8_t* record) : floats_(record + kVectorStride * kPlane8) {}
    Floats Scale(int, int sub) const { return LoadFloats(floats_ + kVectorStride * sub); }
    Floats Minimum(int, int sub) const { return LoadFloats(floats_ + kVectorStride * (kSubs + sub)); }

   private:
    const uint8_t* floats_;
  };
  static const uint8_t* Block(const uint8_t* record, int) { return record; }
  template <int kQuad>
  static Bytes Codes(const uint8_t* block) {
    return LoadBytes(block + kVectorStride * kQuad);
  }
};

template <typename Format>
using ExpandedOf = Expanded<Format::kSubs, Format::kMinima, Format::kSigned>;

template <typename Format>
void Expand(const uint8_t* panel, int64_t records, uint8_t* out) {
  using Out = ExpandedOf<Format>;
  for (int64_t i = 0; i < records; ++i, panel += Format::kRecordStride) {
    const typename Format::Scales scales(panel);
    for (int b = 0; b < Format::kBlocks; ++b, out += Out::kRecordStride) {
      const uint8_t* block = Format::Block(panel, b);
      Unroll<8>([&](auto quad) {
        StoreBytes(out + kVectorStride * quad.value, Format::template Codes<decltype(quad)::value>(block));
      });
      for (int s = 0; s < Format::kSubs; ++s) {
        StoreFloats(out + kVectorStride * (kPlane8 + s), scales.Scale(b, s));
        if (Format::kMinima) StoreFloats(out + kVectorStride * (kPlane8 + Format::kSubs + s), scales.Minimum(b, s));
      }
    }
  }
}

}  // namespace assay::cpu::ASSAY_ISA
