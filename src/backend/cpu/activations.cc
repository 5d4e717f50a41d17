#include "backend/cpu/activations.h"

#include <algorithm>
#include <cstring>

namespace assay::cpu {
namespace {

struct CodeEncoding {
  Encoding encoding;
  int64_t bytes;  // for a block
};
constexpr CodeEncoding kCodeEncodings[] = {{Encoding::kOffset32, sizeof(OffsetMeta)},
                                           {Encoding::kMinimum32, sizeof(MinimumMeta)},
                                           {Encoding::kOffset16, sizeof(OffsetMeta)},
                                           {Encoding::kSuper32, sizeof(SuperMeta)},
                                           {Encoding::kSuper16, sizeof(SuperMeta)}};
// Below this many values a batch is encoded by the caller alone: the others would not be awake in time.
constexpr int64_t kValuesWorthSharing = 16384;

// Of 32 columns; always an even number.
int64_t BlocksOf(int64_t columns) { return (columns + 63) / 64 * 2; }

template <typename T>
T* As(uint8_t* p) {
  return reinterpret_cast<T*>(p);
}

}  // namespace

// Rows an odd number of cache lines apart: at a power of two the rows of a tile would fight for the same few places of
// the first-level cache.
void Activations::ShapeRows(Plane& plane, int64_t blocks, int64_t block_bytes, int64_t tokens) {
  const int64_t stride = (blocks * block_bytes + 63) / 64 * 64;
  plane.stride = blocks == 0 ? 0 : stride % 128 == 0 ? stride + 64 : stride;
  plane.step = block_bytes;
  plane.bytes.Reserve(static_cast<size_t>(plane.stride * tokens));
}

void Activations::ShapeBlocks(Plane& plane, int64_t blocks, int64_t block_bytes, int64_t tokens) {
  plane.stride = blocks == 0 ? 0 : block_bytes;
  plane.step = block_bytes * tokens;
  plane.bytes.Reserve(static_cast<size_t>(plane.step * blocks));
}

void Activations::Encode(const KernelTable& kernels, ThreadPool& pool, const float* x, int tokens, int64_t columns,
                         EncodingSet wanted, Arithmetic arithmetic) {
  floats_ = x;
  columns_ = columns;
  const int64_t blocks = BlocksOf(columns);
  const bool fine = arithmetic == Arithmetic::kFine;
  const bool together = !fine && tokens > 1 && tokens <= MostTokensInTiles(kernels);
  const auto shape = [&](Plane& plane, int64_t count, int64_t block_bytes) {
    (together ? ShapeBlocks : ShapeRows)(plane, count, block_bytes, tokens);
  };
  bool coded = false;
  for (const auto& [encoding, bytes] : kCodeEncodings) {
    const bool has = wanted.Has(encoding);
    coded = coded || has;
    shape(MetaOf(encoding), has ? blocks : 0, bytes);
  }
  code_bytes_ = kBlockColumns * (fine ? 2 : 1);
  shape(codes_, coded ? blocks : 0, code_bytes_);
  const bool shorts = wanted.Has(Encoding::kShorts);
  ShapeRows(shorts_, shorts ? blocks : 0, kBlockColumns * 2, tokens);
  ShapeRows(MetaOf(Encoding::kShorts), shorts ? blocks : 0, sizeof(float), tokens);
  // Rows of a power of two of floats would fight for the same cache places, as ShapeRows() says.
  wants_floats_ = wanted.Has(Encoding::kFloats);
  const bool copies = tokens > 1 && wants_floats_;
  ShapeRows(copied_floats_, copies ? columns : 0, sizeof(float), tokens);

  const auto encode = [&](int64_t token) {
    const float* row = x + token * columns;
    const auto meta = [&](Encoding encoding) { return wanted.Has(encoding) ? MetaOf(encoding).row(token) : nullptr; };
    if (copies) std::memcpy(copied_floats_.row(token), row, static_cast<size_t>(columns) * sizeof(float));
    if (coded) {
      const auto encoder = fine ? kernels.encode_fine : kernels.encode;
      encoder({row, columns, together ? tokens : 1, codes_.row(token), As<OffsetMeta>(meta(Encoding::kOffset32)),
               As<MinimumMeta>(meta(Encoding::kMinimum32)), As<OffsetMeta>(meta(Encoding::kOffset16)),
               As<SuperMeta>(meta(Encoding::kSuper32)), As<SuperMeta>(meta(Encoding::kSuper16))});
    }
    if (shorts) {
      kernels.encode_shorts(row, columns, As<int16_t>(shorts_.row(token)), As<float>(meta(Encoding::kShorts)));
    }
  };
  if (tokens * columns < kValuesWorthSharing) {
    for (int t = 0; t < tokens; ++t) encode(t);
  } else {
    pool.ParallelFor(tokens, encode);
  }
}

void Activations::Gather(const Activations& from, const int32_t* rows, int count) {
  columns_ = from.columns_;
  const int64_t blocks = BlocksOf(columns_);
  const auto copy = [&](const Plane& source, Plane& target, int64_t block_bytes) {
    ShapeRows(target, source.stride == 0 ? 0 : blocks, block_bytes, count);
    if (source.stride == 0) return;
    const bool together = source.step != block_bytes;
    for (int i = 0; i < count; ++i) {
      const uint8_t* in = source.row(rows[i]);
      uint8_t* out = target.row(i);
      // One piece where the token's blocks lie side by side.
      const int64_t piece = together ? block_bytes : blocks * block_bytes;
      for (int64_t at = 0; at < blocks * block_bytes; at += piece, in += source.step) {
        std::memcpy(out + at, in, static_cast<size_t>(piece));
      }
    }
  };
  code_bytes_ = from.code_bytes_;
  copy(from.codes_, codes_, code_bytes_);
  copy(from.shorts_, shorts_, kBlockColumns * 2);
  for (const auto& [encoding, bytes] : kCodeEncodings) copy(from.MetaOf(encoding), MetaOf(encoding), bytes);
  copy(from.MetaOf(Encoding::kShorts), MetaOf(Encoding::kShorts), sizeof(float));
  wants_floats_ = from.wants_floats_;
  ShapeRows(copied_floats_, wants_floats_ ? columns_ : 0, sizeof(float), count);
  if (!wants_floats_) return;
  for (int i = 0; i < count; ++i) {
    std::memcpy(copied_floats_.row(i), from.floats_ + rows[i] * columns_,
                static_cast<size_t>(columns_) * sizeof(float));
  }
}

void Activations::Fill(Encoding encoding, int64_t first, DotArgs& args) const {
  if (encoding == Encoding::kFloats) {
    const bool copied = copied_floats_.stride != 0;
    args.x = copied ? copied_floats_.row(first) : reinterpret_cast<const uint8_t*>(floats_ + first * columns_);
    args.x_stride = copied ? copied_floats_.stride : columns_ * static_cast<int64_t>(sizeof(float));
    return;
  }
  const Plane& codes = encoding == Encoding::kShorts ? shorts_ : codes_;
  args.x = codes.row(first);
  args.x_stride = codes.stride;
  args.x_step = codes.step;
  args.meta = MetaOf(encoding).row(first);
  args.meta_stride = MetaOf(encoding).stride;
  args.meta_step = MetaOf(encoding).step;
}

}  // namespace assay::cpu
