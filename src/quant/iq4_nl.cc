#include <algorithm>
#include <cmath>

#include "quant/codecs.h"
#include "quant/q_layouts.h"
#include "quant/scale_search.h"

// Encoder of IQ4_NL: sixteen levels at unequal distances.

namespace assay {
namespace {

constexpr int kLanes = 16;

// The nearest level is found by counting the midpoints below a value.
constexpr auto kMidpoints = [] {
  std::array<float, 15> midpoints{};
  for (size_t i = 0; i < midpoints.size(); ++i) {
    midpoints[i] = 0.5F * static_cast<float>(kIq4NlLevels[i] + kIq4NlLevels[i + 1]);
  }
  return midpoints;
}();

float NearestLevel(float value) {
  float level = kIq4NlLevels[0];
  for (size_t k = 0; k < kMidpoints.size(); ++k) {
    const auto gap = static_cast<float>(kIq4NlLevels[k + 1] - kIq4NlLevels[k]);
    level += value > kMidpoints[k] ? gap : 0.0F;
  }
  return level;
}

// Sums of weighted x * level and level^2 for each candidate inverse scale.
void Sum(const Problem& p, const float* inverse, float* xl, float* ll) {
  std::fill_n(xl, kLanes, 0.0F);
  std::fill_n(ll, kLanes, 0.0F);
  for (int i = 0; i < kBlock; ++i) {
    for (int c = 0; c < kLanes; ++c) {
      const float level = NearestLevel(p.x[i] * inverse[c]);
      xl[c] += p.w[i] * level * p.x[i];
      ll[c] += p.w[i] * level * level;
    }
  }
}

// First candidates: the value of largest magnitude falls on an end of the levels, either way round, or up to an
// eighth inside and a sixth outside of it.
float FindLevelScale(const Problem& p) {
  const float extreme =
      *std::max_element(p.x, p.x + kBlock, [](float a, float b) { return std::abs(a) < std::abs(b); });
  float inverse[kLanes], xl[kLanes], ll[kLanes];
  for (int c = 0; c < kLanes; ++c) {
    const float end = c % 2 == 0 ? kIq4NlLevels.front() : kIq4NlLevels.back();
    const int place = c / 2 - 3;
    inverse[c] = end * (1.0F + 0.04F * static_cast<float>(place)) / extreme;
  }
  float best_gain = 0.0F, best = 0.0F;
  for (int pass = 0; pass < 3; ++pass) {
    Sum(p, inverse, xl, ll);
    for (int c = 0; c < kLanes; ++c) {
      const float scale = ll[c] > 0.0F ? xl[c] / ll[c] : 0.0F;
      if (scale * xl[c] > best_gain) {
        best_gain = scale * xl[c];
        best = scale;
      }
      inverse[c] = Inverse(scale);
    }
  }
  return best;
}

}  // namespace

void EncodeIQ4_NL(const float* src, uint8_t* dst, int64_t count, const float* importance) {
  Problem problem;
  for (int64_t i = 0; i < count; i += kBlock, dst += Iq4NlLayout::kBytes) {
    MakeProblem(src + i, importance == nullptr ? nullptr : importance + i, kBlock,
                {Weighting::kSquare, Weighting::kRoot, 2.0F}, problem);
    BlockFields fields{};
    if (!problem.zero) {
      fields.d = problem.ToHalf(FindLevelScale(problem));
      const float inverse = Inverse(problem.FromHalf(fields.d));
      for (int l = 0; l < kBlock; ++l) {
        const auto level = static_cast<int8_t>(NearestLevel(problem.x[l] * inverse));
        fields.code[l] = static_cast<int8_t>(std::ranges::find(kIq4NlLevels, level) - kIq4NlLevels.begin());
      }
    }
    Iq4NlLayout::Pack(fields, dst);
  }
}

}  // namespace assay
