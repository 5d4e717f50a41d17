#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/rng.h"
#include "text/tokenizer.h"

namespace assay {

struct SamplingOptions {
  float temperature = 0.0F;  // 0: greedy, the filters below have no effect
  int top_k = 0;             // 0: all
  float top_p = 1.0F;        // 1: all
  float min_p = 0.0F;        // 0: all
};

// Throws kUsage for values out of range.
void CheckSampling(const SamplingOptions& options);

struct Candidate {
  Token token;
  double probability;
};

// The most likely token; the lowest of equals.
Token Greedy(std::span<const float> logits);

// The distribution that a sampler draws from: softmax at the temperature, then top-k, top-p (nucleus, Holtzman et al.
// 2020), min-p (Nguyen et al. 2024), each on what the one before left, and renormalised once. Sorted by falling
// probability, then by token. Greedy options give one candidate of probability 1.
std::vector<Candidate> Distribution(std::span<const float> logits, const SamplingOptions& options);

// Draws from a distribution whose probabilities sum to 1 (up to rounding).
Token Draw(std::span<const Candidate> distribution, Rng& rng);

}  // namespace assay
