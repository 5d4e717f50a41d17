#pragma once

#include <cstdint>

// The search for scales that every quantising encoder shares. All of it minimises the squared error weighted per
// value. Loops run over candidates in the inner dimension ("lanes"), so that compilers vectorise them without
// reordering any sum.

namespace assay {

// How a value of a block weighs, before its importance: see WeightRule. m is the mean square of the block.
enum class Weighting {
  kFlat,    // 1
  kRoot,    // sqrt(m + x^2)
  kLinear,  // sqrt(m) + |x|
  kSquare,  // x^2
};

// The weights that llama.cpp found to serve perplexity: one form without an importance matrix and one to multiply the
// importance by, with m counted `mean_factor` times.
struct WeightRule {
  Weighting alone;
  Weighting with_importance;
  float mean_factor;
};

constexpr int kMaxProblem = 256;

// A block to encode: values times 2^-exponent, so that squares neither overflow nor vanish, and weights in (0, 1].
struct Problem {
  float x[kMaxProblem] = {};
  float w[kMaxProblem] = {};
  int count = 0;
  int exponent = 0;  // the largest |x| is in [1, 2)
  bool zero = true;  // all values are nearer to zero than to anything that a half scale can express

  float shrink = 1.0F;  // 2^-exponent

  // The half nearest to value * 2^exponent, never infinite and zero only for zero; and the value that a half stands for
  // here.
  uint16_t ToHalf(float value) const;
  float FromHalf(uint16_t half) const;
};

// `importance` may be null. A block whose importances are all zero counts as one without.
void MakeProblem(const float* x, const float* importance, int count, const WeightRule& rule, Problem& problem);

// The scale s of least error for value = s * code with codes lo..hi (lo <= 0 < hi); negative scales only if lo < 0.
float FindScale(const float* x, const float* w, int count, int lo, int hi);

// The same for value = scale * code - min with codes 0..hi; min >= 0 unless `any_min`.
struct AffineFit {
  float scale = 0.0F;
  float min = 0.0F;
};
AffineFit FindAffine(const float* x, const float* w, int count, int hi, bool any_min);

// Candidates for decoding one group as scale * code - min, compared by their error after rounding to codes lo..hi.
struct Candidates {
  static constexpr int kCount = 16;
  float scale[kCount];
  float min[kCount];
};

struct Choice {
  int index;
  float error;
};
Choice BestCandidate(const float* x, const float* w, int count, int lo, int hi, const Candidates& candidates);

// The nearest codes for the given scale and min.
template <typename Code>
void RoundCodes(const float* x, int count, float scale, float min, int lo, int hi, Code* code);

// Rounds to nearest, ties to even; |value| < 2^22.
inline float RoundNearest(float value) {
  constexpr float kMagic = 0x1.8p23F;
  return (value + kMagic) - kMagic;
}

inline float Clamp(float value, float lo, float hi) {
  const float low = value > lo ? value : lo;
  return low < hi ? low : hi;
}

// 1 / scale, and 0 for a scale so small that products with the inverse could overflow.
inline float Inverse(float scale) { return scale > 0x1p-122F || scale < -0x1p-122F ? 1.0F / scale : 0.0F; }

inline int RoundToInt(float value, int lo, int hi) {
  return static_cast<int>(RoundNearest(Clamp(value, static_cast<float>(lo), static_cast<float>(hi))));
}

template <typename Code>
void RoundCodes(const float* x, int count, float scale, float min, int lo, int hi, Code* code) {
  const float inverse = Inverse(scale), low = static_cast<float>(lo), high = static_cast<float>(hi);
  for (int i = 0; i < count; ++i) {
    code[i] = static_cast<Code>(static_cast<int>(RoundNearest(Clamp((x[i] + min) * inverse, low, high))));
  }
}

}  // namespace assay
