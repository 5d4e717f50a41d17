// Products of a panel of 16 rows and a tile of tokens. For each row and token the operations and their order are the
// same whatever the tile, the thread, the batch or the instruction set: that makes results independent of all of them.

namespace assay::cpu::ASSAY_ISA {

template <bool kMinima, bool kSuper>
struct MetaFor {
  using Type = OffsetMeta;
};
template <>
struct MetaFor<true, false> {
  using Type = MinimumMeta;
};
template <>
struct MetaFor<true, true> {
  using Type = SuperMeta;
};
template <typename Format>
using MetaOf = typename MetaFor<Format::kMinima, Format::kSuper>::Type;

// The sums of products start with the correction for codes that stand for code - 2^kOffsetBits.
template <typename Format, bool kFine, typename Meta>
__attribute__((always_inline)) inline Ints StartDot(const Meta& meta, int sub, int offset_bits) {
  if constexpr (Format::kMinima) {
    return SetInts(0);
  } else if constexpr (Format::kSigned && !kFine) {
    return StartSigned(meta.minus_sum[sub]);
  } else {
    return ShiftLeftBy(SetInts(meta.minus_sum[sub]), offset_bits);
  }
}

// The activations of a tile's tokens, from the current block on.
struct TileInput {
  const uint8_t* codes;
  int64_t stride, step;
  const uint8_t* meta;
  int64_t meta_stride, meta_step;
  int offset_bits;

  template <typename Meta>
  const Meta& MetaAt(int token, int blocks_ahead = 0) const {
    return *reinterpret_cast<const Meta*>(meta + token * meta_stride + blocks_ahead * meta_step);
  }
};

// Weights stream from memory in ascending order. With little to compute between the loads, the processor's prefetchers
// and its reordering keep enough of them under way; with more, the loads behind do not start in time, and a product
// takes the time of its reads plus that of its arithmetic. So each line is asked for twice, far ahead into the
// second-level cache and again into the first, evenly between the arithmetic: asked for in bunches, the requests wait
// for each other. On Zen 4 that hides all arithmetic that is shorter than the reads. An address past the end does no
// harm. With several tokens asking always pays; with one, where a line of weights has products enough.
constexpr int64_t kNearBytes = 4096;
constexpr int64_t kFarBytes = 20480;
constexpr bool WorthAsking(int tokens, int64_t block_bytes) {
  return tokens > 1 || int64_t{8} * kQuantGroup * kVector >= kProductsWorthAsking * block_bytes;
}

// A quad's part of the lines of a block, of all panels of the group. `kBytes` are the block's.
template <int64_t kBytes, int kQuad>
__attribute__((always_inline)) inline void AskAhead(const uint8_t* block) {
  constexpr int64_t kLines = (kBytes + kVector - 1) / kVector;
  for (int64_t line = kQuad * kLines / 8; line < (kQuad + 1) * kLines / 8; ++line) {
    __builtin_prefetch(block + kNearBytes + line * kVector, 0, 3);
    __builtin_prefetch(block + kFarBytes + line * kVector, 0, 2);
  }
}

// What a tile keeps: a sum per panel and token.
template <int kTokens, int kPanels>
struct TileSums {
  Floats of[kPanels][kTokens];
};
template <int kTokens, int kPanels>
struct TileDots {
  Ints of[kPanels][kTokens];
};

// The codes of a quad, as DotQuad() takes them.
template <typename Format, int kQuad>
__attribute__((always_inline)) inline Bytes QuadCodes(const uint8_t* block) {
  if constexpr (Format::kLevels) {
    return Format::template Levels<kQuad>(block);
  } else {
    return Format::template Codes<kQuad>(block);
  }
}

// Adds the products of a quad of columns.
template <typename Format, int kQuad, int kTokens, int kPanels>
__attribute__((always_inline)) inline void DotQuad(const Bytes (&codes)[kPanels], const TileInput& x,
                                                   TileDots<kTokens, kPanels>& dots) {
  ASSAY_UNROLL
  for (int t = 0; t < kTokens; ++t) {
    const Bytes four = Quad(x.codes + t * x.stride + 4 * kQuad);
    ASSAY_UNROLL
    for (int p = 0; p < kPanels; ++p) {
      Ints& dot = dots.of[p][t];
      if constexpr (Format::kLevels) {
        dot = DotLevels(dot, codes[p], four);
      } else {
        dot = Format::kSigned ? DotSigned(dot, codes[p], four) : Dot(dot, codes[p], four);
      }
    }
  }
}

// The same of int16 codes, which lie as the bytes of the weights are split.
template <int kQuad, int kTokens, int kPanels>
__attribute__((always_inline)) inline void DotFineQuad(const Bytes (&codes)[kPanels], const TileInput& x,
                                                       TileDots<kTokens, kPanels>& dots) {
  Bytes even[kPanels], odd[kPanels];
  ASSAY_UNROLL
  for (int p = 0; p < kPanels; ++p) {
    even[p] = EvenBytes(codes[p]);
    odd[p] = OddBytes(codes[p]);
  }
  ASSAY_UNROLL
  for (int t = 0; t < kTokens; ++t) {
    const uint8_t* four = x.codes + t * x.stride + 8 * kQuad;
    const Bytes of_even = Quad(four), of_odd = Quad(four + 4);
    ASSAY_UNROLL
    for (int p = 0; p < kPanels; ++p) {
      Ints& dot = dots.of[p][t];
      dot = DotShorts(DotShorts(dot, even[p], of_even), odd[p], of_odd);
    }
  }
}

// The sums of products of a sub-block, the columns that share a scale.
template <typename Format, bool kFine, int kSub, int kTokens, int kPanels>
__attribute__((always_inline)) inline void DotSubBlock(const uint8_t* const (&blocks)[kPanels], const TileInput& x,
                                                       TileDots<kTokens, kPanels>& dots) {
  using Meta = MetaOf<Format>;
  constexpr int kQuads = 8 / Format::kSubs;
  ASSAY_UNROLL
  for (int t = 0; t < kTokens; ++t) {
    const Ints start = StartDot<Format, kFine>(x.MetaAt<Meta>(t), kSub, x.offset_bits);
    ASSAY_UNROLL for (int p = 0; p < kPanels; ++p) dots.of[p][t] = start;
  }
  Unroll<kQuads>([&](auto quad) __attribute__((always_inline)) {
    constexpr int kQuad = kSub * kQuads + decltype(quad)::value;
    constexpr int64_t kBytes = Format::kRecordStride / Format::kBlocks;
    if constexpr (Format::kStreams && WorthAsking(kTokens, kBytes)) {
      AskAhead<kBytes, kQuad>(blocks[0]);
    }
    Bytes codes[kPanels];
    ASSAY_UNROLL
    for (int p = 0; p < kPanels; ++p) {
      codes[p] = QuadCodes<Format, kQuad>(blocks[p]);
    }
    if constexpr (kFine) {
      DotFineQuad<kQuad>(codes, x, dots);
    } else {
      DotQuad<Format, kQuad>(codes, x, dots);
    }
  });
}

// Adds a block's products to the sums; of K formats without D and without the minima, which AddRecord() takes.
template <typename Format, bool kFine, int kTokens, int kPanels>
__attribute__((always_inline)) inline void AddBlock(const uint8_t* const (&blocks)[kPanels],
                                                    const typename Format::Scales* scales, int index,
                                                    const TileInput& x, TileSums<kTokens, kPanels>& sums) {
  using Meta = MetaOf<Format>;
  TileDots<kTokens, kPanels> dots;
  if constexpr (Format::kSuper) {
    // Codes and scales are so small that products of a block are below 2^24, which floats hold exactly; of fine codes
    // they are below 2^31 (kFineMost), and are rounded once.
    TileDots<kTokens, kPanels> scaled;
    Unroll<Format::kSubs>([&](auto sub) __attribute__((always_inline)) {
      constexpr int kSub = decltype(sub)::value;
      DotSubBlock<Format, kFine, kSub>(blocks, x, dots);
      ASSAY_UNROLL
      for (int p = 0; p < kPanels; ++p) {
        const Ints scale = scales[p].Scale(index, kSub);
        ASSAY_UNROLL
        for (int t = 0; t < kTokens; ++t) {
          const Ints product = MulInts(dots.of[p][t], scale);
          scaled.of[p][t] = kSub == 0 ? product : AddInts(scaled.of[p][t], product);
        }
      }
    });
    ASSAY_UNROLL
    for (int t = 0; t < kTokens; ++t) {
      const Floats x_scale = Set(x.MetaAt<Meta>(t).scale);
      ASSAY_UNROLL
      for (int p = 0; p < kPanels; ++p) {
        sums.of[p][t] = Fma(ToFloats(scaled.of[p][t]), x_scale, sums.of[p][t]);
      }
    }
  } else {
    DotSubBlock<Format, kFine, 0>(blocks, x, dots);
    ASSAY_UNROLL
    for (int p = 0; p < kPanels; ++p) {
      const Floats scale = scales[p].Scale(index);
      ASSAY_UNROLL
      for (int t = 0; t < kTokens; ++t) {
        const Meta& meta = x.MetaAt<Meta>(t);
        Floats& sum = sums.of[p][t];
        sum = Fma(ToFloats(dots.of[p][t]), Mul(scale, Set(meta.scale)), sum);
        if constexpr (Format::kMinima) sum = Fma(scales[p].Minimum(index), Set(meta.sum), sum);
      }
    }
  }
}

// Adds a K record, given the sums of its blocks; `x` is that of its first block.
template <typename Format, int kTokens, int kPanels>
__attribute__((always_inline)) inline void AddRecord(const typename Format::Scales* scales, const TileInput& x,
                                                     const TileSums<kTokens, kPanels>& blocks,
                                                     TileSums<kTokens, kPanels>& sums) {
  ASSAY_UNROLL
  for (int p = 0; p < kPanels; ++p) {
    const Floats d = scales[p].D();
    ASSAY_UNROLL for (int t = 0; t < kTokens; ++t) sums.of[p][t] = Fma(d, blocks.of[p][t], sums.of[p][t]);
  }
  if constexpr (Format::kMinima) {
    constexpr int kPairs = Format::Scales::kPairs, kBlocksPerPair = kSuperBlocks / kPairs;
    ASSAY_UNROLL
    for (int p = 0; p < kPanels; ++p) {
      const Floats minus_dmin = Sub(Zero(), scales[p].Dmin());
      Bytes minima[kPairs];
      ASSAY_UNROLL for (int i = 0; i < kPairs; ++i) minima[i] = scales[p].Minima(i);
      ASSAY_UNROLL
      for (int t = 0; t < kTokens; ++t) {
        Ints dot = SetInts(0);
        ASSAY_UNROLL
        for (int i = 0; i < kPairs; ++i) {
          dot = DotShorts(dot, minima[i], Quad(x.MetaAt<SuperMeta>(t, i * kBlocksPerPair).sums));
        }
        const Floats scale = Mul(minus_dmin, Set(x.MetaAt<SuperMeta>(t).sum_scale));
        sums.of[p][t] = Fma(ToFloats(dot), scale, sums.of[p][t]);
      }
    }
  }
}

template <int kTokens, int kPanels>
__attribute__((always_inline)) inline void StoreTile(const TileSums<kTokens, kPanels>& sums, const DotArgs& args) {
  ASSAY_UNROLL
  for (int p = 0; p < kPanels; ++p) {
    ASSAY_UNROLL for (int t = 0; t < kTokens; ++t) {
      const int rows = args.rows - p * kPanelRows;
      if (rows <= 0) continue;
      StorePart(args.out + t * args.out_stride + p * kPanelRows, sums.of[p][t], rows < kPanelRows ? rows : kPanelRows);
    }
  }
}

template <int kTokens, int kPanels>
__attribute__((always_inline)) inline void Clear(TileSums<kTokens, kPanels>& sums) {
  ASSAY_UNROLL for (int p = 0; p < kPanels; ++p) {
    ASSAY_UNROLL for (int t = 0; t < kTokens; ++t) sums.of[p][t] = Zero();
  }
}

template <typename Format, bool kFine, int kTokens, int kPanels>
void DotTile(const DotArgs& args) {
  using Scales = typename Format::Scales;
  TileSums<kTokens, kPanels> sums;
  Clear(sums);
  const uint8_t* record = args.panel;
  TileInput x = {args.x,         args.x_stride,           args.x_step, args.meta, args.meta_stride,
                 args.meta_step, Format::OffsetBits(args)};
  for (int64_t i = 0; i < args.records; ++i, record += Format::kRecordStride) {
    Scales scales[kPanels];
    ASSAY_UNROLL for (int p = 0; p < kPanels; ++p) scales[p] = Scales(record + p * kVector);
    const TileInput first = x;
    TileSums<kTokens, kPanels> of_record;
    if constexpr (Format::kSuper) Clear(of_record);
    for (int b = 0; b < Format::kBlocks; ++b) {
      const uint8_t* blocks[kPanels];
      ASSAY_UNROLL for (int p = 0; p < kPanels; ++p) blocks[p] = Format::Block(record + p * kVector, b);
      AddBlock<Format, kFine>(blocks, scales, b, x, Format::kSuper ? of_record : sums);
      x.codes += x.step;
      x.meta += x.meta_step;
    }
    if constexpr (Format::kSuper) AddRecord<Format>(scales, first, of_record, sums);
  }
  StoreTile(sums, args);
}

// ---- Float weights: records are single columns of 16 rows.

struct F32Source {
  static constexpr int64_t kRecordBytes = 64;
  static Floats Column(const uint8_t* p) { return LoadFloats(p); }
};
struct F16Source {
  static constexpr int64_t kRecordBytes = 32;
  static Floats Column(const uint8_t* p) { return LoadHalf(p); }
};
struct BF16Source {
  static constexpr int64_t kRecordBytes = 32;
  static Floats Column(const uint8_t* p) { return LoadBf16(p); }
};

template <typename Source, int kTokens, int kPanels>
void FloatDotTile(const DotArgs& args) {
  TileSums<kTokens, kPanels> sums;
  Clear(sums);
  const uint8_t* column = args.panel;
  const auto* x = reinterpret_cast<const float*>(args.x);
  const int64_t x_stride = args.x_stride / static_cast<int64_t>(sizeof(float));
  for (int64_t i = 0; i < args.records; ++i, column += kFloatGroup * Source::kRecordBytes) {
    Floats weights[kPanels];
    ASSAY_UNROLL
    for (int p = 0; p < kPanels; ++p) {
      weights[p] = Source::Column(column + p * Source::kRecordBytes);
    }
    ASSAY_UNROLL
    for (int t = 0; t < kTokens; ++t) {
      const Floats value = Set(x[t * x_stride + i]);
      ASSAY_UNROLL
      for (int p = 0; p < kPanels; ++p) {
        sums.of[p][t] = Fma(weights[p], value, sums.of[p][t]);
      }
    }
  }
  StoreTile(sums, args);
}

// ---- Half-precision weights in large batches: both sides as 16-bit integers with a scale for each block of 32. The
// scales keep the Euclidean norm of a block's codes below 2^15.5, so that by Cauchy and Schwarz no sum of products
// passes 2^31: the rounding error is that of 14 to 15 bits.

constexpr float kShortNorm = 46336.0F;
constexpr float kShortMost = 32767.0F;
constexpr int kShortVectors = 16;  // of codes in a record; then one of scales
constexpr int64_t kShortRecordStride = kVectorStride * (kShortVectors + 1);

inline float ShortScale(float norm, float most) {
  const float by_norm = norm / kShortNorm;
  const float by_most = most / kShortMost;
  return by_norm > by_most ? by_norm : by_most;
}

template <typename Source>
void ExpandShorts(const uint8_t* panel, int64_t columns, uint8_t* out) {
  for (int64_t first = 0; first < columns; first += kBlockColumns, out += kShortRecordStride) {
    const int count = static_cast<int>(columns - first < kBlockColumns ? columns - first : kBlockColumns);
    Floats weights[kBlockColumns];
    Floats squares = Zero(), most = Zero();
    for (int i = 0; i < kBlockColumns; ++i) {
      weights[i] = i < count ? Source::Column(panel + (first + i) * kFloatGroup * Source::kRecordBytes) : Zero();
      squares = Fma(weights[i], weights[i], squares);
      most = Max(most, Max(weights[i], Sub(Zero(), weights[i])));
    }
    const Floats scale = Max(Mul(Sqrt(squares), Set(1.0F / kShortNorm)), Mul(most, Set(1.0F / kShortMost)));
    // Rows of zeros: any finite factor will do.
    const Floats inverse = Div(Set(1.0F), Max(scale, Set(1e-30F)));
    for (int i = 0; i < kBlockColumns; i += 2) {
      const Ints even = AndInts(RoundToInts(Mul(weights[i], inverse)), SetInts(0xFFFF));
      const Ints odd = ShiftLeft<16>(RoundToInts(Mul(weights[i + 1], inverse)));
      StoreShorts(out + kVectorStride * (i / 2), OrInts(even, odd));
    }
    StoreFloats(out + kVectorStride * kShortVectors, scale);
  }
}

template <int kTokens, int kPanels>
void ShortDotTile(const DotArgs& args) {
  TileSums<kTokens, kPanels> sums;
  Clear(sums);
  const uint8_t* record = args.panel;
  const uint8_t* x = args.x;
  const auto* x_scales = reinterpret_cast<const float*>(args.meta);
  const int64_t scale_stride = args.meta_stride / static_cast<int64_t>(sizeof(float));
  for (int64_t b = 0; b < args.records; ++b, record += kShortRecordStride, x += 2 * kBlockColumns) {
    Ints dots[kPanels][kTokens];
    ASSAY_UNROLL for (int p = 0; p < kPanels; ++p) {
      ASSAY_UNROLL for (int t = 0; t < kTokens; ++t) dots[p][t] = SetInts(0);
    }
    Unroll<kShortVectors>([&](auto pair) __attribute__((always_inline)) {
      Bytes weights[kPanels];
      ASSAY_UNROLL
      for (int p = 0; p < kPanels; ++p) {
        weights[p] = LoadBytes(record + p * kVector + kVectorStride * pair.value);
      }
      ASSAY_UNROLL
      for (int t = 0; t < kTokens; ++t) {
        const Bytes two = Quad(x + t * args.x_stride + 4 * pair.value);
        ASSAY_UNROLL
        for (int p = 0; p < kPanels; ++p) {
          dots[p][t] = DotShorts(dots[p][t], weights[p], two);
        }
      }
    });
    ASSAY_UNROLL
    for (int p = 0; p < kPanels; ++p) {
      const Floats scale = LoadFloats(record + p * kVector + kVectorStride * kShortVectors);
      ASSAY_UNROLL
      for (int t = 0; t < kTokens; ++t) {
        const Floats both = Mul(scale, Set(x_scales[t * scale_stride + b]));
        sums.of[p][t] = Fma(ToFloats(dots[p][t]), both, sums.of[p][t]);
      }
    }
  }
  StoreTile(sums, args);
}

// ---- The kernels of each packing.

template <typename Format>
constexpr Encoding EncodingOf() {
  if (!Format::kMinima) return Format::kSubs == 1 ? Encoding::kOffset32 : Encoding::kOffset16;
  if (!Format::kSuper) return Encoding::kMinimum32;
  return Format::kSubs == 1 ? Encoding::kSuper32 : Encoding::kSuper16;
}

template <typename Format>
constexpr PackingKernels QuantKernels() {
  PackingKernels kernels = {};
  kernels.encoding = kernels.long_encoding = EncodingOf<Format>();
  kernels.expanded_stride = ExpandedOf<Format>::kRecordStride;
  kernels.expand = &Expand<Format>;
  kernels.offset_bits = Format::kOffsetBits;
  Unroll<kMaxTile>([&](auto t) {
    constexpr int kTokens = decltype(t)::value + 1, kPanels = DotPanels(kTokens);
    using Plain = ExpandedOf<Format>;
    kernels.tile[t.value] = {kPanels, &DotTile<Format, false, kTokens, kPanels>};
    kernels.expanded[t.value] = {kPanels, &DotTile<Plain, false, kTokens, kPanels>};
    kernels.fine[t.value] = {kPanels, &DotTile<Plain, true, kTokens, kPanels>};
  });
  return kernels;
}

template <typename Source>
constexpr PackingKernels FloatKernels() {
  PackingKernels kernels = {};
  kernels.encoding = kernels.long_encoding = Encoding::kFloats;
  Unroll<kMaxTile>([&](auto t) {
    constexpr int kTokens = decltype(t)::value + 1;
    constexpr int kPanels = FloatPanels(kTokens);
    kernels.tile[t.value] = {kPanels, &FloatDotTile<Source, kTokens, kPanels>};
  });
  return kernels;
}

template <typename Source>
constexpr PackingKernels HalfKernels() {
  PackingKernels kernels = FloatKernels<Source>();
  kernels.long_encoding = Encoding::kShorts;
  kernels.records = kBlockColumns;
  kernels.expanded_stride = kShortRecordStride;
  kernels.expand = &ExpandShorts<Source>;
  Unroll<kMaxTile>([&](auto t) {
    constexpr int kTokens = decltype(t)::value + 1, kPanels = DotPanels(kTokens);
    kernels.expanded[t.value] = {kPanels, &ShortDotTile<kTokens, kPanels>};
  });
  return kernels;
}

constexpr void FillPackings(PackingKernels* packings) {
  const auto set = [&](Packing packing, const PackingKernels& kernels) {
    packings[static_cast<int>(packing)] = kernels;
  };
  set(Packing::kF32, FloatKernels<F32Source>());
  set(Packing::kF16, HalfKernels<F16Source>());
  set(Packing::kBF16, HalfKernels<BF16Source>());
  set(Packing::kQ8_0, QuantKernels<Q8_0>());
  set(Packing::kQ6_K, QuantKernels<Q6_K>());
  set(Packing::kQ5_K, QuantKernels<Q5_K>());
  set(Packing::kQ4_K, QuantKernels<Q4_K>());
  set(Packing::kQ3_K, QuantKernels<Q3_K>());
  set(Packing::kQ2_K, QuantKernels<Q2_K>());
  set(Packing::kQ4_0, QuantKernels<Q4_0>());
  set(Packing::kQ4_1, QuantKernels<Q4_1>());
  set(Packing::kQ5_0, QuantKernels<Q5_0>());
  set(Packing::kQ5_1, QuantKernels<Q5_1>());
  set(Packing::kIQ4_NL, QuantKernels<IQ4_NL>());
  set(Packing::kIQ4_XS, QuantKernels<IQ4_XS>());
  set(Packing::kMXFP4, QuantKernels<MXFP4>());
}

}  // namespace assay::cpu::ASSAY_ISA
