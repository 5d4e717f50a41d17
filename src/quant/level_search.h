#pragma once

#include <cstdint>

#include "quant/scale_search.h"

// The search for scales where codes stand for sixteen levels at unequal distances: those of IQ4_NL and IQ4_XS
// (kIq4NlLevels). What scale_search.h says of its functions holds of these.

namespace assay {

// llama.cpp weighs by x^2 alone here. This weighs less one-sidedly: on weights of models and random ones the error is
// below that of llama.cpp's files both by x^2 and with all values weighing the same, by which it would be above.
constexpr WeightRule kLevelRule{Weighting::kRoot, Weighting::kRoot, 2.0F};

// The index of the level nearest to a value.
int NearestLevel(float value);

// The scale s of least error for value = s * level.
float FindLevelScale(const float* x, const float* w, int count);

// Of the scales; there are no minima.
Choice BestLevelCandidate(const float* x, const float* w, int count, const Candidates& candidates);

// The indices of the nearest levels.
void RoundLevels(const float* x, int count, float scale, int8_t* code);

}  // namespace assay
