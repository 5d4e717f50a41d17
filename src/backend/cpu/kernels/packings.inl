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
    const Bytes packed = LoadBytes(p + kVectorStride * (kQuad / 2));
    return AndBytes(MoveBit<kQuad % 2 * 4, 0>(packed), 0x0F);
  }
};

struct Codebook {
  uint8_t codes[16];
};
// The same, with `by` added to each (modulo 256).
constexpr Codebook Moved(Codebook book, int by) {
  for (uint8_t& code : book.codes) code = static_cast<uint8_t>(code + by);
  return book;
}
// The levels of IQ4_NL and IQ4_XS plus 128.
inline constexpr Codebook kUnequalLevels = {{1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241}};
// Those of MXFP4, twice E2M1, plus 16.
inline constexpr Codebook kE2m1Levels = {{16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4}};

// Four bits that are the index of a code.
template <const Codebook& kBook>
struct FourBitsOf {
  static constexpr int kVectors = kPlane4;
  template <int kQuad>
  static Bytes Codes(const uint8_t* p) {
    return LookUp16(kBook.codes, FourBits::Codes<kQuad>(p));
  }
};

// Levels that need a sign: beside the codes, which are levels plus 128, what DotLevels() takes.
struct FourBitsOfLevels : FourBitsOf<kUnequalLevels> {
  static constexpr Codebook kLevelBook = Moved(kUnequalLevels, kLevelOffset - 128);
  template <int kQuad>
  static Bytes Levels(const uint8_t* p) {
    return LookUp16(kLevelBook.codes, FourBits::Codes<kQuad>(p));
  }
};
template <typename Plane>
constexpr bool kHasLevels = false;
template <>
constexpr bool kHasLevels<FourBitsOfLevels> = true;

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
    const uint8_t* half = p + kQuad / 4 * kVectorStride * (kVectors / 2);
    const Bytes low = FourBits::Codes<kQuad % 4>(half + kVectorStride);
    return Insert(low, MoveBit<2 * (kQuad % 4), 4>(LoadBytes(half)), 0x30);
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

// ---- Scales of small blocks: a weight is Scale * (code - offset) + Minimum.

// They are halves, or powers of two as BF16.
template <bool kHasMinima, bool kPowers = false>
struct BlockScales {
  static constexpr int kBlocks = kSmallBlocks, kSubs = 1;
  static constexpr bool kSuper = false, kMinima = kHasMinima;
  BlockScales() = default;
  explicit BlockScales(const uint8_t* record) : record_(record) {}
  Floats Scale(int block) const {
    if constexpr (kPowers) return LoadBf16(record_ + 32 * block);
    return LoadHalf(record_ + 32 * block);
  }
  Floats Minimum(int block) const { return LoadHalf(record_ + kVectorStride + 32 * block); }

  static constexpr int Vectors(int block_vectors) { return BlockAt(kBlocks, block_vectors); }
  static constexpr int BlockAt(int block, int block_vectors) { return (kMinima ? 2 : 1) + block * block_vectors; }

 private:
  const uint8_t* record_ = nullptr;
};

// ---- Scales of K formats: a weight is D * Scale * (code - offset) - Dmin * minimum, scales and minima being integers.
// Minima come in pairs of 16 bits, as SuperMeta has the sums: of two blocks, or of a block's two sub-blocks.

template <int kBlockVectors, int kTogether = kScaledTogether>
struct SuperScales {
  static constexpr int kBlocks = kSuperBlocks;
  static constexpr bool kSuper = true;
  SuperScales() = default;
  explicit SuperScales(const uint8_t* record) : record_(record) {}
  Floats D() const { return LoadHalf(record_); }
  Floats Dmin() const { return LoadHalf(record_ + 32); }

  static constexpr int Vectors(int block_vectors) { return SuperVectors(block_vectors, kTogether); }
  static constexpr int BlockAt(int block, int block_vectors) { return SuperBlockAt(block, block_vectors, kTogether); }

 protected:
  const uint8_t* BytesOf(int block, int sub) const {
    return record_ + kVectorStride * SuperScalesAt(block, kBlockVectors, kTogether) +
           kVector / kTogether * (block % kTogether) + 16 * sub;
  }

 private:
  const uint8_t* record_ = nullptr;
};

template <int kBlockVectors>
struct SuperScales32 : SuperScales<kBlockVectors> {
  static constexpr int kSubs = 1, kPairs = 4;
  static constexpr bool kMinima = true;
  using SuperScales<kBlockVectors>::SuperScales;
  Ints Scale(int block, int) const { return LoadUnsignedBytes(this->BytesOf(block, 0)); }
  Bytes Minima(int pair) const {
    return Pairs(LoadUnsignedBytes(this->BytesOf(2 * pair, 1)), LoadUnsignedBytes(this->BytesOf(2 * pair + 1, 1)));
  }
};

template <int kBlockVectors>
struct SuperScalesBare : SuperScales<kBlockVectors, kBareScaledTogether> {
  static constexpr int kSubs = 1, kPairs = 0;
  static constexpr bool kMinima = false;
  using SuperScales<kBlockVectors, kBareScaledTogether>::SuperScales;
  Ints Scale(int block, int) const { return LoadSignedBytes(this->BytesOf(block, 0)); }
};

template <int kBlockVectors>
struct SuperScales16 : SuperScales<kBlockVectors> {
  static constexpr int kSubs = 2, kPairs = 0;
  static constexpr bool kMinima = false;
  using SuperScales<kBlockVectors>::SuperScales;
  Ints Scale(int block, int sub) const { return LoadSignedBytes(this->BytesOf(block, sub)); }
};

template <int kBlockVectors>
struct SuperScales16Minima : SuperScales<kBlockVectors> {
  static constexpr int kSubs = 2, kPairs = 8;
  static constexpr bool kMinima = true;
  using SuperScales<kBlockVectors>::SuperScales;
  Ints Scale(int block, int sub) const { return AndInts(LoadUnsignedBytes(this->BytesOf(block, sub)), SetInts(15)); }
  Bytes Minima(int pair) const {
    return Pairs(ShiftRight<4>(LoadUnsignedBytes(this->BytesOf(pair, 0))),
                 ShiftRight<4>(LoadUnsignedBytes(this->BytesOf(pair, 1))));
  }
};

// ---- The formats. kSigned: codes are 0 to 255 and stand for code - 128. kLevels: they can be had as Levels(), too.
// kStreams: what is read comes from memory.

template <typename ScalesType, typename PlaneType, int kOffset>
struct Packed {
  using Scales = ScalesType;
  static constexpr int kBlocks = Scales::kBlocks, kSubs = Scales::kSubs, kOffsetBits = kOffset;
  static constexpr bool kSuper = Scales::kSuper, kMinima = Scales::kMinima, kSigned = kOffset == 7, kStreams = true;
  static constexpr bool kLevels = kHasLevels<PlaneType>;
  static constexpr int64_t kRecordStride = kVectorStride * Scales::Vectors(PlaneType::kVectors);
  static int OffsetBits(const DotArgs&) { return kOffsetBits; }
  static const uint8_t* Block(const uint8_t* record, int block) {
    return record + kVectorStride * Scales::BlockAt(block, PlaneType::kVectors);
  }
  template <int kQuad>
  static Bytes Codes(const uint8_t* block) {
    return PlaneType::template Codes<kQuad>(block);
  }
  template <int kQuad>
  static Bytes Levels(const uint8_t* block) {
    return PlaneType::template Levels<kQuad>(block);
  }
};

using Q8_0 = Packed<BlockScales<false>, EightBits, 7>;
using Q4_0 = Packed<BlockScales<false>, FourBits, 3>;
using Q4_1 = Packed<BlockScales<true>, FourBits, 0>;
using Q5_0 = Packed<BlockScales<false>, FiveBits, 4>;
using Q5_1 = Packed<BlockScales<true>, FiveBits, 0>;
using IQ4_NL = Packed<BlockScales<false>, FourBitsOfLevels, 7>;
using MXFP4 = Packed<BlockScales<false, true>, FourBitsOf<kE2m1Levels>, 4>;
using Q4_K = Packed<SuperScales32<FourBits::kVectors>, FourBits, 0>;
using Q5_K = Packed<SuperScales32<FiveBits::kVectors>, FiveBits, 0>;
using Q6_K = Packed<SuperScales16<SixBits::kVectors>, SixBits, 5>;
using IQ4_XS = Packed<SuperScalesBare<kPlane4>, FourBitsOfLevels, 7>;
using Q3_K = Packed<SuperScales16<ThreeBits::kVectors>, ThreeBits, 2>;
using Q2_K = Packed<SuperScales16Minima<TwoBits::kVectors>, TwoBits, 0>;

// Any of them, unpacked: a record has, for each block, its codes and then its scales (and minima of small blocks), as
// float32 or, of K formats, int32; those have D, Dmin and the pairs of minima behind the blocks. Formats that differ in
// their offset alone share one.
template <bool kHasMinima, bool kIsSigned>
struct Expanded {
  static constexpr int kBlocks = kSmallBlocks, kSubs = 1;
  static constexpr bool kSuper = false, kMinima = kHasMinima, kSigned = kIsSigned, kStreams = false, kLevels = false;
  static constexpr int kBlockStride = kVectorStride * (kPlane8 + (kMinima ? 2 : 1));
  static constexpr int64_t kRecordStride = int64_t{kBlocks} * kBlockStride;
  static int OffsetBits(const DotArgs& args) { return args.offset_bits; }
  struct Scales {
    Scales() = default;
    explicit Scales(const uint8_t* record) : floats_(record + kVectorStride * kPlane8) {}
    Floats Scale(int block) const { return LoadFloats(floats_ + kBlockStride * block); }
    Floats Minimum(int block) const { return LoadFloats(floats_ + kBlockStride * block + kVectorStride); }

   private:
    const uint8_t* floats_ = nullptr;
  };
  static const uint8_t* Block(const uint8_t* record, int block) { return record + kBlockStride * block; }
  template <int kQuad>
  static Bytes Codes(const uint8_t* block) {
    return EightBits::Codes<kQuad>(block);
  }
};

template <int kSubBlocks, int kMinimumPairs, bool kIsSigned>
struct ExpandedSuper {
  static constexpr int kBlocks = kSuperBlocks, kSubs = kSubBlocks;
  static constexpr bool kSuper = true, kMinima = kMinimumPairs > 0, kSigned = kIsSigned, kStreams = false;
  static constexpr bool kLevels = false;
  static constexpr int kBlockStride = kVectorStride * (kPlane8 + kSubs);
  static constexpr int kTail = kBlocks * kBlockStride;  // D, Dmin, minima
  static constexpr int64_t kRecordStride = kTail + kVectorStride * (kMinima ? 2 + kMinimumPairs : 1);
  static int OffsetBits(const DotArgs& args) { return args.offset_bits; }
  struct Scales {
    static constexpr int kPairs = kMinimumPairs;
    Scales() = default;
    explicit Scales(const uint8_t* record) : record_(record) {}
    Ints Scale(int block, int sub) const {
      return LoadInts(
          reinterpret_cast<const int32_t*>(record_ + kBlockStride * block + kVectorStride * (kPlane8 + sub)));
    }
    Floats D() const { return LoadFloats(record_ + kTail); }
    Floats Dmin() const { return LoadFloats(record_ + kTail + kVectorStride); }
    Bytes Minima(int pair) const { return LoadBytes(record_ + kTail + kVectorStride * (2 + pair)); }

   private:
    const uint8_t* record_ = nullptr;
  };
  static const uint8_t* Block(const uint8_t* record, int block) { return record + kBlockStride * block; }
  template <int kQuad>
  static Bytes Codes(const uint8_t* block) {
    return EightBits::Codes<kQuad>(block);
  }
};

template <typename Format, bool kSuper = Format::kSuper>
struct Unpacked {
  using Type = Expanded<Format::kMinima, Format::kSigned>;
};
template <typename Format>
struct Unpacked<Format, true> {
  using Type = ExpandedSuper<Format::kSubs, Format::Scales::kPairs, Format::kSigned>;
};
template <typename Format>
using ExpandedOf = typename Unpacked<Format>::Type;

template <typename Format>
void Expand(const uint8_t* panel, int64_t records, uint8_t* out) {
  using Out = ExpandedOf<Format>;
  for (int64_t i = 0; i < records; ++i, panel += Format::kRecordStride, out += Out::kRecordStride) {
    const typename Format::Scales scales(panel);
    for (int b = 0; b < Format::kBlocks; ++b) {
      const uint8_t* block = Format::Block(panel, b);
      uint8_t* to = out + Out::kBlockStride * b;
      Unroll<8>([&](auto quad) {
        StoreBytes(to + kVectorStride * quad.value, Format::template Codes<decltype(quad)::value>(block));
      });
      to += kVectorStride * kPlane8;
      if constexpr (Format::kSuper) {
        for (int s = 0; s < Format::kSubs; ++s) {
          StoreInts(reinterpret_cast<int32_t*>(to + kVectorStride * s), scales.Scale(b, s));
        }
      } else {
        StoreFloats(to, scales.Scale(b));
        if constexpr (Format::kMinima) StoreFloats(to + kVectorStride, scales.Minimum(b));
      }
    }
    if constexpr (Format::kSuper) {
      StoreFloats(out + Out::kTail, scales.D());
      if constexpr (Format::kMinima) {
        StoreFloats(out + Out::kTail + kVectorStride, scales.Dmin());
        for (int pair = 0; pair < Format::Scales::kPairs; ++pair) {
          StoreBytes(out + Out::kTail + kVectorStride * (2 + pair), scales.Minima(pair));
        }
      }
    }
  }
}

}  // namespace assay::cpu::ASSAY_ISA
