// Products of a panel of 16 rows and a tile of tokens. For each row and token the operations and their order are the
// same whatever the tile, the thread, the batch or the instruction set: that makes results independent of all of them.

namespace assay::cpu::ASSAY_ISA {

template <typename Format>
struct MetaOf {
  using Type = OffsetMeta;
};
template <typename Format>
requires(Format::kMinima) struct MetaOf<Format> {
  using Type = MinimumMeta;
};

template <typename Format, typename Meta>
__attribute__((always_inline)) inline Ints StartDot(const Meta& meta, int sub) {
  if constexpr (Format::kMinima) {
    return SetInts(0);
  } else if constexpr (Format::kSigned) {
    return StartSigned(meta.minus_sum[sub]);
  } else {
    return ShiftLeft<Format::kOffsetBits>(SetInts(meta.minus_sum[sub]));
  }
}

// Adds the products of one block of 32 columns to the sums.
template <typename Format, int kTokens>
__attribute__((always_inline)) inline void AddBlock(const uint8_t* block, const typename Format::Scales& scales,
                                                    int block_in_record, const uint8_t* x, int64_t x_stride,
                                                    const uint8_t* meta_bytes, int64_t meta_stride,
                                                    Floats (&sums)[kTokens]) {
  using Meta = typename MetaOf<Format>::Type;
  constexpr int kQuads = 8 / Format::kSubs;
  Floats parts[kTokens];
  Unroll<Format::kSubs>([&](auto sub_index) __attribute__((always_inline)) {
    constexpr int kSub = decltype(sub_index)::value;
    Ints dots[kTokens];
    Unroll<kTokens>([&](auto t) __attribute__((always_inline)) {
      const auto* meta = reinterpret_cast<const Meta*>(meta_bytes + t.value * meta_stride);
      dots[t.value] = StartDot<Format>(*meta, kSub);
    });
    Unroll<kQuads>([&](auto quad) __attribute__((always_inline)) {
      constexpr int kQuad = kSub * kQuads + decltype(quad)::value;
      const Bytes codes = Format::template Codes<kQuad>(block);
      Unroll<kTokens>([&](auto t) __attribute__((always_inline)) {
        const Bytes four = Quad(x + t.value * x_stride + 4 * kQuad);
        dots[t.value] = Format::kSigned ? DotSigned(dots[t.value], codes, four) : Dot(dots[t.value], codes, four);
      });
    });
    const Floats scale = scales.Scale(block_in_record, kSub);
    Unroll<kTokens>([&](auto t) __attribute__((always_inline)) {
      const Floats dot = ToFloats(dots[t.value]);
      const auto* meta = reinterpret_cast<const Meta*>(meta_bytes + t.value * meta_stride);
      if constexpr (Format::kSubs == 1) {
        sums[t.value] = Fma(dot, Mul(scale, Set(meta->scale)), sums[t.value]);
      } else if constexpr (kSub == 0) {
        parts[t.value] = Mul(dot, scale);
      } else {
        sums[t.value] = Fma(Fma(dot, scale, parts[t.value]), Set(meta->scale), sums[t.value]);
      }
    });
    if constexpr (Format::kMinima) {
      const Floats minimum = scales.Minimum(block_in_record, kSub);
      Unroll<kTokens>([&](auto t) __attribute__((always_inline)) {
        const auto* meta = reinterpret_cast<const Meta*>(meta_bytes + t.value * meta_stride);
        sums[t.value] = Fma(minimum, Set(meta->sum[kSub]), sums[t.value]);
      });
    }
  });
}

template <typename Format, int kTokens>
void DotTile(const DotArgs& args) {
  using Meta = typename MetaOf<Format>::Type;
  Floats sums[kTokens];
  Unroll<kTokens>([&](auto t) { sums[t.value] = Zero(); });
  const uint8_t* record = args.panel;
  const uint8_t* x = args.x;
  const uint8_t* meta = args.meta;
  for (int64_t i = 0; i < args.records; ++i, record += Format::kRecordBytes) {
    const typename Format::Scales scales(record);
    for (int b = 0; b < Format::kBlocks; ++b, x += kBlockColumns, meta += sizeof(Meta)) {
      AddBlock<Format, kTokens>(Format::Block(record, b), scales, b, x, args.x_stride, meta, args.meta_stride, sums);
    }
  }
  Unroll<kTokens>([&](auto t) { StorePart(args.out + t.value * args.out_stride, sums[t.value], args.rows); });
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
  Floats sums[kPanels][kTokens];
  Unroll<kPanels>([&](auto p) { Unroll<kTokens>([&](auto t) { sums[p.value][t.value] = Zero(); }); });
  const uint8_t* column = args.panel;
  const auto* x = reinterpret_cast<const float*>(args.x);
  const int64_t x_stride = args.x_stride / static_cast<int64_t>(sizeof(float));
  for (int64_t i = 0; i < args.records; ++i, column += Source::kRecordBytes) {
    Floats weights[kPanels];
    Unroll<kPanels>([&](auto p) __attribute__((always_inline)) {
      weights[p.value] = Source::Column(column + p.value * args.panel_bytes);
    });
    Unroll<kTokens>([&](auto t) __attribute__((always_inline)) {
      const Floats value = Set(x[t.value * x_stride + i]);
      Unroll<kPanels>([&](auto p) __attribute__((always_inline)) {
        sums[p.value][t.value] = Fma(weights[p.value], value, sums[p.value][t.value]);
      });
    });
  }
  Unroll<kPanels>([&](auto p) {
    const int rows = args.rows - p.value * kPanelRows;
    float* out = args.out + p.value * kPanelRows;
    Unroll<kTokens>([&](auto t) {
      StorePart(out + t.value * args.out_stride, sums[p.value][t.value], rows < kPanelRows ? rows : kPanelRows);
    });
  });
}

// ---- Half-precision weights in large batches: both sides as 16-bit integers with a scale for each block of 32. The
// scales keep the Euclidean norm of a block's codes below 2^15.5, so that by Cauchy and Schwarz no sum of products
// passes 2^31: the rounding error is that of 14 to 15 bits.

constexpr float kShortNorm = 46336.0F;
constexpr float kShortMost = 32767.0F;
constexpr int64_t kShortRecordBytes = 16 * 64 + 64;

inline float ShortScale(float norm, float most) {
  const float by_norm = norm / kShortNorm;
  const float by_most = most / kShortMost;
  return by_norm > by_most ? by_norm : by_most;
}

template <typename Source>
void ExpandShorts(const uint8_t* panel, int64_t columns, uint8_t* out) {
  for (int64_t first = 0; first < columns; first += kBlockColumns, out += kShortRecordBytes) {
    const int count = static_cast<int>(columns - first < kBlockColumns ? columns - first : kBlockColumns);
    Floats weights[kBlockColumns];
    Floats squares = Zero(), most = Zero();
    for (int i = 0; i < kBlockColumns; ++i) {
      weights[i] = i < count ? Source::Column(panel + (first + i) * Source::kRecordBytes) : Zero();
      squares = Fma(weights[i], weights[i], squares);
      most = Max(most, Max(weights[i], Sub(Zero(), weights[i])));
    }
    const Floats scale = Max(Mul(Sqrt(squares), Set(1.0F / kShortNorm)), Mul(most, Set(1.0F / kShortMost)));
    // Rows of zeros: any finite factor will do.
    const Floats inverse = Div(Set(1.0F), Max(scale, Set(1e-30F)));
    for (int i = 0; i < kBlockColumns; i += 2) {
      const Ints even = AndInts(RoundToInts(Mul(weights[i], inverse)), SetInts(0xFFFF));
      const Ints odd = ShiftLeft<16>(RoundToInts(Mul(weights[i + 1], inverse)));
      StoreShorts(out + 32 * i, OrInts(even, odd));
    }
    StoreFloats(out + 1024, scale);
  }
}

template <int kTokens>
void ShortDotTile(const DotArgs& args) {
  Floats sums[kTokens];
  Unroll<kTokens>([&](auto t) { sums[t.value] = Zero(); });
  const uint8_t* record = args.panel;
  const uint8_t* x = args.x;
  const auto* x_scales = reinterpret_cast<const float*>(args.meta);
  const int64_t scale_stride = args.meta_stride / static_cast<int64_t>(sizeof(float));
  for (int64_t b = 0; b < args.records; ++b, record += kShortRecordBytes, x += 2 * kBlockColumns) {
    Ints dots[kTokens];
    Unroll<kTokens>([&](auto t) __attribute__((always_inline)) { dots[t.value] = SetInts(0); });
    Unroll<16>([&](auto pair) __attribute__((always_inline)) {
      const Bytes weights = LoadBytes(record + 64 * pair.value);
      Unroll<kTokens>([&](auto t) __attribute__((always_inline)) {
        dots[t.value] = DotShorts(dots[t.value], weights, Quad(x + t.value * args.x_stride + 4 * pair.value));
      });
    });
    const Floats scale = LoadFloats(record + 1024);
    Unroll<kTokens>([&](auto t) __attribute__((always_inline)) {
      const Floats both = Mul(scale, Set(x_scales[t.value * scale_stride + b]));
      sums[t.value] = Fma(ToFloats(dots[t.value]), both, sums[t.value]);
    });
  }
  Unroll<kTokens>([&](auto t) { StorePart(args.out + t.value * args.out_stride, sums[t.value], args.rows); });
}

// ---- The kernels of each packing.

template <typename Format>
constexpr Encoding EncodingOf() {
  if (Format::kSubs == 1) return Format::kMinima ? Encoding::kMinimum32 : Encoding::kOffset32;
  return Format::kMinima ? Encoding::kMinimum16 : Encoding::kOffset16;
}

template <typename Format>
PackingKernels QuantKernels() {
  PackingKernels kernels = {};
  kernels.encoding = kernels.long_encoding = EncodingOf<Format>();
  kernels.blocks = Format::kBlocks;
  kernels.expanded_block_bytes = Expanded<Format>::kRecordBytes;
  kernels.expand = &Expand<Format>;
  Unroll<kMaxTile>([&](auto t) {
    constexpr int kTokens = decltype(t)::value + 1;
    kernels.panels[t.value] = 1;
    kernels.tile[t.value] = kernels.single[t.value] = &DotTile<Format, kTokens>;
    kernels.expanded[t.value] = &DotTile<Expanded<Format>, kTokens>;
  });
  return kernels;
}

template <typename Source>
PackingKernels FloatKernels() {
  PackingKernels kernels = {};
  kernels.encoding = kernels.long_encoding = Encoding::kFloats;
  Unroll<kMaxTile>([&](auto t) {
    constexpr int kTokens = decltype(t)::value + 1;
    constexpr int kPanels = FloatPanels(kTokens);
    kernels.panels[t.value] = kPanels;
    kernels.tile[t.value] = &FloatDotTile<Source, kTokens, kPanels>;
    kernels.single[t.value] = &FloatDotTile<Source, kTokens, 1>;
  });
  return kernels;
}

template <typename Source>
PackingKernels HalfKernels() {
  PackingKernels kernels = FloatKernels<Source>();
  kernels.long_encoding = Encoding::kShorts;
  kernels.expanded_block_bytes = kShortRecordBytes;
  kernels.expand = &ExpandShorts<Source>;
  Unroll<kMaxTile>([&](auto t) { kernels.expanded[t.value] = &ShortDotTile<decltype(t)::value + 1>; });
  return kernels;
}

inline void FillPackings(PackingKernels* packings) {
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
}

}  // namespace assay::cpu::ASSAY_ISA
