#include <algorithm>
#include <cmath>

#include "quant/codecs.h"
#include "quant/q_layouts.h"

// Encoder of MXFP4. The scale is a power of two, so that each that may be best is tried: from the one that cuts nothing
// off down to where only values without importance could ask for it. llama.cpp takes the second without looking.

namespace assay {
namespace {

constexpr int kExponents = 8;
constexpr int kMostExponent = 252;  // at which the largest level is still a finite float

// The largest magnitude is in [1, 2) times two to this; no less than the least normal float's.
int ExponentOf(float largest) { return std::max(std::ilogb(largest), -126); }

// The index of the nearest level of a value in units of the scale; of two equally near the one towards zero.
int NearestIndex(float value) {
  constexpr float kMidpoints[] = {0.5F, 1.5F, 2.5F, 3.5F, 5.0F, 7.0F, 10.0F};
  int index = 0;
  for (const float midpoint : kMidpoints) index += std::abs(value) > midpoint ? 1 : 0;
  return value < 0.0F && index > 0 ? index + 8 : index;
}

struct Mxfp4Problem {
  float x[kBlock];  // times 2^-ExponentOf()
  const float* importance;
};

// The weighted squared error at a scale; the levels' indices go to `code`.
double ErrorAt(const Mxfp4Problem& problem, float scale, int8_t* code) {
  const float inverse = 1.0F / scale;
  double error = 0.0;
  for (int i = 0; i < kBlock; ++i) {
    code[i] = static_cast<int8_t>(NearestIndex(problem.x[i] * inverse));
    const double off =
        static_cast<double>(problem.x[i]) - static_cast<double>(scale) * kMxfp4Levels[static_cast<uint8_t>(code[i])];
    error += (problem.importance == nullptr ? 1.0 : static_cast<double>(problem.importance[i])) * off * off;
  }
  return error;
}

Mxfp4Fields Encode(const float* x, const float* importance) {
  Mxfp4Fields best{};
  float largest = 0.0F;
  for (int i = 0; i < kBlock; ++i) largest = std::max(largest, std::abs(x[i]));
  if (largest == 0.0F) return best;
  const bool weighted =
      importance != nullptr && std::any_of(importance, importance + kBlock, [](float w) { return w > 0.0F; });
  Mxfp4Problem problem{};
  problem.importance = weighted ? importance : nullptr;
  const int exponent = ExponentOf(largest);
  const float shrink = std::ldexp(1.0F, -exponent);
  for (int i = 0; i < kBlock; ++i) problem.x[i] = x[i] * shrink;
  double best_error = HUGE_VAL;
  for (int down = 0; down < kExponents; ++down) {
    // Down 0: the largest magnitude, of levels up to 12, is in [4, 8).
    const int stored = std::clamp(exponent - 2 - down + 128, 0, kMostExponent);
    Mxfp4Fields fields{};
    fields.exponent = static_cast<uint8_t>(stored);
    const double error = ErrorAt(problem, std::ldexp(1.0F, stored - 128 - exponent), fields.code);
    if (error >= best_error) continue;
    best_error = error;
    best = fields;
  }
  return best;
}

}  // namespace

void EncodeMXFP4(const float* src, uint8_t* dst, int64_t count, const float* importance) {
  for (int64_t i = 0; i < count; i += kBlock, dst += Mxfp4Layout::kBytes) {
    Mxfp4Layout::Pack(Encode(src + i, importance == nullptr ? nullptr : importance + i), dst);
  }
}

}  // namespace assay
