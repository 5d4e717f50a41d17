#include "quant/level_search.h"

#include <algorithm>
#include <cmath>

#include "quant/q_layouts.h"

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

float RoundToLevel(float value) {
  float level = kIq4NlLevels[0];
  for (size_t k = 0; k < kMidpoints.size(); ++k) {
    const auto gap = static_cast<float>(kIq4NlLevels[k + 1] - kIq4NlLevels[k]);
    level += value > kMidpoints[k] ? gap : 0.0F;
  }
  return level;
}

// Sums of weighted x * level and level^2 for each candidate inverse scale.
void Sum(const float* x, const float* w, int count, const float* inverse, float* xl, float* ll) {
  std::fill_n(xl, kLanes, 0.0F);
  std::fill_n(ll, kLanes, 0.0F);
  for (int i = 0; i < count; ++i) {
    for (int c = 0; c < kLanes; ++c) {
      const float level = RoundToLevel(x[i] * inverse[c]);
      xl[c] += w[i] * level * x[i];
      ll[c] += w[i] * level * level;
    }
  }
}

}  // namespace

int NearestLevel(float value) {
  return static_cast<int>(std::count_if(kMidpoints.begin(), kMidpoints.end(), [value](float m) { return value > m; }));
}

// First candidates: the value of largest magnitude falls on an end of the levels, either way round, or up to an
// eighth inside and a sixth outside of it.
float FindLevelScale(const float* x, const float* w, int count) {
  const float extreme = *std::max_element(x, x + count, [](float a, float b) { return std::abs(a) < std::abs(b); });
  if (std::abs(extreme) < 1e-15F) return 0.0F;
  float inverse[kLanes], xl[kLanes], ll[kLanes];
  for (int c = 0; c < kLanes; ++c) {
    const float end = c % 2 == 0 ? kIq4NlLevels.front() : kIq4NlLevels.back();
    const int place = c / 2 - 3;
    inverse[c] = end * (1.0F + 0.04F * static_cast<float>(place)) / extreme;
  }
  float best_gain = 0.0F, best = 0.0F;
  for (int pass = 0; pass < 3; ++pass) {
    Sum(x, w, count, inverse, xl, ll);
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

Choice BestLevelCandidate(const float* x, const float* w, int count, const Candidates& candidates) {
  constexpr int kCount = Candidates::kCount;
  float inverse[kCount], error[kCount] = {};
  for (int c = 0; c < kCount; ++c) inverse[c] = Inverse(candidates.scale[c]);
  for (int i = 0; i < count; ++i) {
    for (int c = 0; c < kCount; ++c) {
      const float difference = x[i] - candidates.scale[c] * RoundToLevel(x[i] * inverse[c]);
      error[c] += w[i] * (difference * difference);
    }
  }
  const auto* best = std::min_element(error, error + kCount);
  return {static_cast<int>(best - error), *best};
}

void RoundLevels(const float* x, int count, float scale, int8_t* code) {
  const float inverse = Inverse(scale);
  for (int i = 0; i < count; ++i) code[i] = static_cast<int8_t>(NearestLevel(x[i] * inverse));
}

}  // namespace assay
