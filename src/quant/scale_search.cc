#include "quant/scale_search.h"

#include <algorithm>
#include <cmath>

#include "quant/bytes.h"

namespace assay {
namespace {

constexpr int kLanes = 32;
constexpr int kRefits = 2;  // further alternations of least squares and rounding, in every lane

// Values below half of the smallest half are best encoded as zeros.
constexpr float kSmallest = 0x1p-25F;

void BaseWeights(Weighting form, const float* x, int count, float mean, float* w) {
  switch (form) {
    case Weighting::kFlat:
      std::fill_n(w, count, 1.0F);
      return;
    case Weighting::kRoot:
      for (int i = 0; i < count; ++i) w[i] = std::sqrt(mean + x[i] * x[i]);
      return;
    case Weighting::kLinear:
      for (int i = 0; i < count; ++i) w[i] = std::sqrt(mean) + std::abs(x[i]);
      return;
    case Weighting::kSquare:
      for (int i = 0; i < count; ++i) w[i] = x[i] * x[i];
      return;
  }
}

float LargestMagnitude(const float* x, int count) {
  float largest = 0.0F;
  for (int i = 0; i < count; ++i) largest = std::max(largest, std::abs(x[i]));
  return largest;
}

// The inverses of the first candidate scales: the value of largest magnitude falls on the end of the code range, or up
// to about one code inside or outside of it; a range that reaches below zero is tried both ways round.
void FirstInverses(float extreme, int lo, int hi, float* inverse) {
  constexpr int kHalf = kLanes / 2;
  const auto low = static_cast<float>(lo), high = static_cast<float>(hi);
  for (int c = 0; c < kLanes; ++c) {
    const bool mirrored = lo < 0 && c < kHalf;
    const int place = lo < 0 ? 2 * (c % kHalf) - kHalf : c - kHalf;  // -16 to 15
    const float step = 0.0625F * static_cast<float>(place);
    inverse[c] = (mirrored ? low - step : high + step) / extreme;
  }
}

struct ScaleSums {
  float xl[kLanes], ll[kLanes];
};

void SumScales(const float* x, const float* w, int count, float low, float high, const float* inverse, ScaleSums& s) {
  std::fill_n(s.xl, kLanes, 0.0F);
  std::fill_n(s.ll, kLanes, 0.0F);
  for (int i = 0; i < count; ++i) {
    const float xi = x[i], wi = w[i];
    for (int c = 0; c < kLanes; ++c) {
      const float code = RoundNearest(Clamp(xi * inverse[c], low, high));
      const float weighted = wi * code;
      s.xl[c] += weighted * xi;
      s.ll[c] += weighted * code;
    }
  }
}

struct AffineSums {
  float l[kLanes], ll[kLanes], xl[kLanes];
};

void SumAffine(const float* x, const float* w, int count, float high, const float* inverse, const float* min,
               AffineSums& s) {
  std::fill_n(s.l, kLanes, 0.0F);
  std::fill_n(s.ll, kLanes, 0.0F);
  std::fill_n(s.xl, kLanes, 0.0F);
  for (int i = 0; i < count; ++i) {
    const float xi = x[i], wi = w[i];
    for (int c = 0; c < kLanes; ++c) {
      const float code = RoundNearest(Clamp((xi + min[c]) * inverse[c], 0.0F, high));
      const float weighted = wi * code;
      s.l[c] += weighted;
      s.ll[c] += weighted * code;
      s.xl[c] += weighted * xi;
    }
  }
}

// Least squares of x = scale * code - min for the codes summed up in lane c.
AffineFit Solve(const AffineSums& s, int c, float sum_w, float sum_x, bool any_min) {
  const float determinant = sum_w * s.ll[c] - s.l[c] * s.l[c];
  AffineFit fit;
  if (determinant > 1e-4F * sum_w * s.ll[c]) {
    fit.scale = (sum_w * s.xl[c] - sum_x * s.l[c]) / determinant;
    fit.min = (s.l[c] * s.xl[c] - s.ll[c] * sum_x) / determinant;
    if (any_min || fit.min >= 0.0F) return fit;
  }
  fit.scale = s.ll[c] > 0.0F ? s.xl[c] / s.ll[c] : 0.0F;
  fit.min = 0.0F;
  return fit;
}

}  // namespace

uint16_t Problem::ToHalf(float value) const {
  const uint16_t half = FloatToFiniteHalf(value * std::ldexp(1.0F, exponent));
  const bool vanished = (half & 0x7FFFU) == 0 && value != 0.0F;
  return vanished ? static_cast<uint16_t>(half | 1U) : half;
}

float Problem::FromHalf(uint16_t half) const { return HalfToFloat(half) * shrink; }

void MakeProblem(const float* x, const float* importance, int count, const WeightRule& rule, Problem& problem) {
  const float largest = LargestMagnitude(x, count);
  problem.count = count;
  problem.zero = largest < kSmallest;
  if (problem.zero) return;
  problem.exponent = std::ilogb(largest);
  problem.shrink = std::ldexp(1.0F, -problem.exponent);
  float mean = 0.0F;
  for (int i = 0; i < count; ++i) {
    problem.x[i] = x[i] * problem.shrink;
    mean += problem.x[i] * problem.x[i];
  }
  mean *= rule.mean_factor / static_cast<float>(count);
  const float most = importance == nullptr ? 0.0F : LargestMagnitude(importance, count);
  BaseWeights(most > 0.0F ? rule.with_importance : rule.alone, problem.x, count, mean, problem.w);
  if (most > 0.0F) {
    for (int i = 0; i < count; ++i) problem.w[i] *= importance[i] / most;
  }
  // A floor keeps the least squares defined where all weights of a group are zero.
  const float heaviest = LargestMagnitude(problem.w, count);
  for (int i = 0; i < count; ++i) problem.w[i] = std::max(problem.w[i] / heaviest, 1e-7F);
}

float FindScale(const float* x, const float* w, int count, int lo, int hi) {
  const float* extreme = std::max_element(x, x + count, [](float a, float b) { return std::abs(a) < std::abs(b); });
  if (std::abs(*extreme) < 1e-15F) return 0.0F;
  float inverse[kLanes];
  FirstInverses(*extreme, lo, hi, inverse);
  float best_gain = 0.0F, best = 0.0F;
  ScaleSums sums{};
  for (int pass = 0; pass <= kRefits; ++pass) {
    SumScales(x, w, count, static_cast<float>(lo), static_cast<float>(hi), inverse, sums);
    for (int c = 0; c < kLanes; ++c) {
      const float scale = sums.ll[c] > 0.0F ? sums.xl[c] / sums.ll[c] : 0.0F;
      const float gain = scale * sums.xl[c];  // by how much the error is below that of all zeros
      if (gain > best_gain) {
        best_gain = gain;
        best = scale;
      }
      inverse[c] = Inverse(scale);
    }
  }
  return best;
}

AffineFit FindAffine(const float* x, const float* w, int count, int hi, bool any_min) {
  const auto [smallest, largest] = std::minmax_element(x, x + count);
  const float least = any_min ? *smallest : std::min(*smallest, 0.0F);
  float sum_w = 0.0F, sum_x = 0.0F;
  for (int i = 0; i < count; ++i) {
    sum_w += w[i];
    sum_x += w[i] * x[i];
  }
  const float range = *largest - least;
  if (range < 1e-15F) return {0.0F, -least};
  float inverse[kLanes], min[kLanes];
  for (int c = 0; c < kLanes; ++c) {
    const int place = c - kLanes / 2;
    inverse[c] = (static_cast<float>(hi) + 0.0625F * static_cast<float>(place)) / range;
    min[c] = -least;
  }
  AffineFit best{range / static_cast<float>(hi), -least};
  float best_gain = -1e30F;
  AffineSums sums{};
  for (int pass = 0; pass <= kRefits; ++pass) {
    SumAffine(x, w, count, static_cast<float>(hi), inverse, min, sums);
    for (int c = 0; c < kLanes; ++c) {
      const AffineFit fit = Solve(sums, c, sum_w, sum_x, any_min);
      const float gain = fit.scale * sums.xl[c] - fit.min * sum_x;
      if (gain > best_gain) {
        best_gain = gain;
        best = fit;
      }
      inverse[c] = Inverse(fit.scale);
      min[c] = fit.min;
    }
  }
  return best;
}

Choice BestCandidate(const float* x, const float* w, int count, int lo, int hi, const Candidates& candidates) {
  constexpr int kCount = Candidates::kCount;
  const auto low = static_cast<float>(lo), high = static_cast<float>(hi);
  float inverse[kCount], error[kCount] = {};
  for (int c = 0; c < kCount; ++c) inverse[c] = Inverse(candidates.scale[c]);
  for (int i = 0; i < count; ++i) {
    const float xi = x[i], wi = w[i];
    for (int c = 0; c < kCount; ++c) {
      const float shifted = xi + candidates.min[c];
      const float difference = shifted - candidates.scale[c] * RoundNearest(Clamp(shifted * inverse[c], low, high));
      error[c] += wi * (difference * difference);
    }
  }
  const auto* best = std::min_element(error, error + kCount);
  return {static_cast<int>(best - error), *best};
}

}  // namespace assay
