#include <algorithm>
#include <limits>

#include "quant/codecs.h"
#include "quant/q_layouts.h"
#include "quant/scale_search.h"

// Encoders of the formats with blocks of 32 values. llama.cpp searches these only with an importance matrix; here the
// search always runs.

namespace assay {
namespace {

constexpr WeightRule kRootRule{Weighting::kRoot, Weighting::kRoot, 1.0F};
constexpr WeightRule kFlatRule{Weighting::kFlat, Weighting::kFlat, 1.0F};

// Halves around one: 0, -1, 1, -2, ... steps away, staying finite and of the same sign.
uint16_t NearbyHalf(uint16_t half, int c) {
  const int magnitude = (half & 0x7FFF) + (c + 1) / 2 * (c % 2 == 0 ? 1 : -1);
  return static_cast<uint16_t>((half & 0x8000) | std::clamp(magnitude, 0, 0x7BFF));
}

template <typename Layout>
void EncodeBlock(const Problem& p, BlockFields& fields) {
  const uint16_t start = p.ToHalf(FindScale(p.x, p.w, kBlock, Layout::kMinCode, Layout::kMaxCode));
  Candidates candidates{};
  for (int c = 0; c < Candidates::kCount; ++c) candidates.scale[c] = p.FromHalf(NearbyHalf(start, c));
  const Choice choice = BestCandidate(p.x, p.w, kBlock, Layout::kMinCode, Layout::kMaxCode, candidates);
  fields.d = NearbyHalf(start, choice.index);
  RoundCodes(p.x, kBlock, candidates.scale[choice.index], 0.0F, Layout::kMinCode, Layout::kMaxCode, fields.code);
}

template <typename Layout>
void EncodeBlockWithMin(const Problem& p, BlockFields& fields) {
  const AffineFit fit = FindAffine(p.x, p.w, kBlock, Layout::kMaxCode, true);
  const uint16_t d = p.ToHalf(fit.scale), min = p.ToHalf(-fit.min);
  Candidates candidates{};
  for (int c = 0; c < Candidates::kCount; ++c) {
    candidates.scale[c] = p.FromHalf(NearbyHalf(d, c % 4));
    candidates.min[c] = -p.FromHalf(NearbyHalf(min, c / 4));
  }
  const Choice choice = BestCandidate(p.x, p.w, kBlock, 0, Layout::kMaxCode, candidates);
  fields.d = NearbyHalf(d, choice.index % 4);
  fields.min = NearbyHalf(min, choice.index / 4);
  RoundCodes(p.x, kBlock, candidates.scale[choice.index], candidates.min[choice.index], 0, Layout::kMaxCode,
             fields.code);
}

template <typename Layout>
void EncodeBlocks(const float* src, uint8_t* dst, int64_t count, const float* importance, const WeightRule& rule) {
  Problem problem;
  for (int64_t i = 0; i < count; i += kBlock, dst += Layout::kBytes) {
    MakeProblem(src + i, importance == nullptr ? nullptr : importance + i, kBlock, rule, problem);
    BlockFields fields{};
    if (!problem.zero) {
      if constexpr (Layout::kHasMin) {
        EncodeBlockWithMin<Layout>(problem, fields);
      } else {
        EncodeBlock<Layout>(problem, fields);
      }
    }
    Layout::Pack(fields, dst);
  }
}

}  // namespace

void EncodeQ8_0(const float* src, uint8_t* dst, int64_t count, const float* importance) {
  EncodeBlocks<Q80Layout>(src, dst, count, importance, kFlatRule);
}
void EncodeQ4_0(const float* src, uint8_t* dst, int64_t count, const float* importance) {
  EncodeBlocks<Q40Layout>(src, dst, count, importance, kRootRule);
}
void EncodeQ4_1(const float* src, uint8_t* dst, int64_t count, const float* importance) {
  EncodeBlocks<Q41Layout>(src, dst, count, importance, kRootRule);
}
void EncodeQ5_0(const float* src, uint8_t* dst, int64_t count, const float* importance) {
  EncodeBlocks<Q50Layout>(src, dst, count, importance, kRootRule);
}
void EncodeQ5_1(const float* src, uint8_t* dst, int64_t count, const float* importance) {
  EncodeBlocks<Q51Layout>(src, dst, count, importance, kRootRule);
}

}  // namespace assay
