#pragma once

#include <vector>

#include "base/rng.h"
#include "decode/sampler.h"

namespace assay {

// For tests that draw from a small vocabulary and ask whether the counts can be chance.
inline constexpr int kSmallVocab = 8;
inline constexpr int kDraws = 100000;
// The 1% points of chi squared for 1 to 7 degrees of freedom.
inline constexpr double kChiSquaredAt1Percent[] = {0.0, 6.635, 9.210, 11.345, 13.277, 15.086, 16.812, 18.475};

inline std::vector<float> RandomLogits(uint64_t seed) {
  Rng rng(seed);
  std::vector<float> logits(kSmallVocab);
  for (float& x : logits) x = static_cast<float>(1.5 * rng.Normal());
  return logits;
}

}  // namespace assay
