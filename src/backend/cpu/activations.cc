#include "backend/cpu/activations.h"

#include <algorithm>
#include <cstring>

namespace assay::cpu {
namespace {

constexpr Encoding kInt8Encodings[] = {Encoding::kOffset32, Encoding::kMinimum32, Encoding::kOffset16,
                                       Encoding::kMinimum16};
// Below this many values a batch is encoded by the caller alone: the others would not be awake in time.
constexpr int64_t kValuesWorthSharing = 16384;

template <typename T>
T* As(uint8_t* p) {
  return reinterpret_cast<T*>(p);
}

}  // namespace

// Rows an odd number of cache lines apart: at a power of two the rows of a tile would fight for the same few places of
// the first-level cache.
void Activations::Shape(Plane& plane, int64_t row_bytes, int64_t tokens) {
  const int64_t stride = (row_bytes + 63) / 64 * 64;
  plane.stride = row_bytes == 0 ? 0 : stride % 128 == 0 ? stride + 64 : stride;
  plane.bytes.Reserve(static_cast<size_t>(plane.stride * tokens));
}

void Activations::Encode(const KernelTable& kernels, ThreadPool& pool, const float* x, int tokens, int64_t columns,
                         EncodingSet wanted) {
  floats_ = x;
  columns_ = columns;
  const int64_t blocks = (columns + 63) / 64 * 2;
  bool int8 = false;
  for (const Encoding encoding : kInt8Encodings) {
    const bool has = wanted.Has(encoding);
    int8 = int8 || has;
    static_assert(sizeof(OffsetMeta) == sizeof(MinimumMeta));
    Shape(MetaOf(encoding), has ? blocks * static_cast<int64_t>(sizeof(OffsetMeta)) : 0, tokens);
  }
  Shape(codes_, int8 ? blocks * kBlockColumns : 0, tokens);
  const bool shorts = wanted.Has(Encoding::kShorts);
  Shape(shorts_, shorts ? blocks * kBlockColumns * 2 : 0, tokens);
  Shape(MetaOf(Encoding::kShorts), shorts ? blocks * 4 : 0, tokens);
  // Rows of a power of two of floats would fight for the same cache places, as Shape() says.
  wants_floats_ = wanted.Has(Encoding::kFloats);
  const bool copies = tokens > 1 && wants_floats_;
  Shape(copied_floats_, copies ? columns * static_cast<int64_t>(sizeof(float)) : 0, tokens);

  const auto encode = [&](int64_t token) {
    const float* row = x + token * columns;
    const auto meta = [&](Encoding encoding) { return wanted.Has(encoding) ? MetaOf(encoding).row(token) : nullptr; };
    if (copies) std::memcpy(copied_floats_.row(token), row, static_cast<size_t>(columns) * sizeof(float));
    if (int8) {
      kernels.encode({row, columns, As<int8_t>(codes_.row(token)), As<OffsetMeta>(meta(Encoding::kOffset32)),
                      As<MinimumMeta>(meta(Encoding::kMinimum32)), As<OffsetMeta>(meta(Encoding::kOffset16)),
                      As<MinimumMeta>(meta(Encoding::kMinimum16))});
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
  const auto copy = [&](const Plane& source, Plane& target) {
    Shape(target, source.stride, count);
    if (source.stride == 0) return;
    for (int i = 0; i < count; ++i) {
      std::memcpy(target.row(i), source.row(rows[i]), static_cast<size_t>(source.stride));
    }
  };
  copy(from.codes_, codes_);
  copy(from.shorts_, shorts_);
  for (int i = 0; i < kEncodings; ++i) copy(from.meta_[i], meta_[i]);
  wants_floats_ = from.wants_floats_;
  Shape(copied_floats_, wants_floats_ ? columns_ * static_cast<int64_t>(sizeof(float)) : 0, count);
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
  args.meta = MetaOf(encoding).row(first);
  args.meta_stride = MetaOf(encoding).stride;
}

}  // namespace assay::cpu
