// Activations as integers, in blocks of 32 with a float32 scale.

namespace assay::cpu::ASSAY_ISA {

// Blocks whose values are all below this (or are all zero) become zeros: their inverse scale would overflow.
constexpr float kLeastScaled = 1e-30F;
constexpr int32_t kInfinityBits = 0x7F800000;

inline float FloatOf(int32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof(value));
  return value;
}

// The largest magnitude. As integers the bits of NaN are above those of infinity, so that neither gets lost.
inline float LargestMagnitude(Floats a, Floats b) {
  const Ints mask = SetInts(0x7FFFFFFF);
  return FloatOf(LargestInt(MaxInts(AndInts(FloatBits(a), mask), AndInts(FloatBits(b), mask))));
}

struct BlockCodes {
  Ints first, second;
  float scale;
};

// Codes of at most `most` in magnitude. A block with a NaN or an infinity gets the scale NaN: its products show it.
inline BlockCodes EncodeBlock(Floats a, Floats b, float scale) {
  if (!(scale <= 3e38F)) return {SetInts(0), SetInts(0), FloatOf(kInfinityBits | 0x400000)};
  if (scale < kLeastScaled) return {SetInts(0), SetInts(0), 0.0F};
  const Floats inverse = Set(1.0F / scale);
  return {RoundToInts(Mul(a, inverse)), RoundToInts(Mul(b, inverse)), scale};
}

// A record's sums of activations as int16 with one scale; `meta` is that of its first block, `step` apart from the
// next.
inline void EncodeSums(const float (&values)[16], SuperMeta* meta, int64_t step, int blocks_per_pair) {
  const Floats sums = Load(values);
  const BlockCodes codes = EncodeBlock(sums, Zero(), LargestMagnitude(sums, Zero()) / 32767.0F);
  int16_t shorts[16];
  StoreSaturatedShorts(shorts, codes.first);
  for (int i = 0; i < kSuperBlocks; ++i) {
    SuperMeta& block = meta[i * step];
    block.sum_scale = codes.scale;
    const int pair = i / blocks_per_pair;
    for (int k = 0; k < 2; ++k) block.sums[k] = shorts[2 * pair + k];
  }
}

struct EverydayCodes {
  static constexpr float kMost = 127.0F;
  static constexpr int64_t kBytes = 1;
  static void Store(uint8_t* codes, Ints a) { StoreSaturatedBytes(reinterpret_cast<int8_t*>(codes), a); }
};
struct FineCodes {
  static constexpr float kMost = static_cast<float>(kFineMost);
  static constexpr int64_t kBytes = 2;
  static void Store(uint8_t* codes, Ints a) { StorePairedShorts(reinterpret_cast<int16_t*>(codes), a); }
};

template <typename Codes>
void Encode(const EncodeArgs& args) {
  const int64_t blocks = (args.columns + 63) / 64 * 2;
  float sums32[16] = {}, sums16[16] = {};  // of the record
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t left = args.columns - i * kBlockColumns;
    const float* x = args.x + i * kBlockColumns;
    const Floats a = left >= 16 ? Load(x) : left > 0 ? LoadPart(x, static_cast<int>(left)) : Zero();
    const Floats b = left >= 32 ? Load(x + 16) : left > 16 ? LoadPart(x + 16, static_cast<int>(left) - 16) : Zero();
    const BlockCodes codes = EncodeBlock(a, b, LargestMagnitude(a, b) / Codes::kMost);
    const int64_t at = i * args.step;
    Codes::Store(args.codes + at * kBlockColumns * Codes::kBytes, codes.first);
    Codes::Store(args.codes + (at * kBlockColumns + 16) * Codes::kBytes, codes.second);
    const int32_t first = SumInts(codes.first);
    const int32_t second = SumInts(codes.second);
    const float scale = codes.scale;
    const auto sum = static_cast<float>(first + second);
    if (args.offset32 != nullptr) args.offset32[at] = {scale, {-(first + second), 0}};
    if (args.minimum32 != nullptr) args.minimum32[at] = {scale, scale * sum};
    if (args.offset16 != nullptr) args.offset16[at] = {scale, {-first, -second}};
    const auto in_record = static_cast<int>(i % kSuperBlocks);
    const int64_t record = (i - in_record) * args.step;
    if (args.super32 != nullptr) {
      args.super32[at].scale = scale;
      sums32[in_record] = scale * sum;
      if (in_record == kSuperBlocks - 1) EncodeSums(sums32, args.super32 + record, args.step, 2);
    }
    if (args.super16 != nullptr) {
      args.super16[at].scale = scale;
      sums16[2 * in_record] = scale * static_cast<float>(first);
      sums16[2 * in_record + 1] = scale * static_cast<float>(second);
      if (in_record == kSuperBlocks - 1) EncodeSums(sums16, args.super16 + record, args.step, 1);
    }
  }
}

inline void EncodeShorts(const float* x, int64_t columns, int16_t* codes, float* scales) {
  const int64_t blocks = (columns + kBlockColumns - 1) / kBlockColumns;
  for (int64_t i = 0; i < blocks; ++i, x += kBlockColumns, codes += kBlockColumns) {
    const int64_t left = columns - i * kBlockColumns;
    const Floats a = left >= 16 ? Load(x) : LoadPart(x, static_cast<int>(left));
    const Floats b = left >= 32 ? Load(x + 16) : left > 16 ? LoadPart(x + 16, static_cast<int>(left) - 16) : Zero();
    const float norm = __builtin_sqrtf(Sum(Fma(a, a, Mul(b, b))));
    const BlockCodes block = EncodeBlock(a, b, ShortScale(norm, LargestMagnitude(a, b)));
    StoreSaturatedShorts(codes, block.first);
    StoreSaturatedShorts(codes + 16, block.second);
    scales[i] = block.scale;
  }
}

}  // namespace assay::cpu::ASSAY_ISA
