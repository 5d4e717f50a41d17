#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.h"
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

// Probabilities of tokens, in the tokens' order: that of the vocabulary needs no sorting.
class Distribution {
 public:
  // The probabilities are the weights over their sum. `tokens` rise; none: the weights are those of tokens 0, 1, ...
  Distribution(std::vector<Token> tokens, std::vector<float> weights);
  static Distribution Certain(Token token) { return {{token}, {1.0F}}; }

  size_t size() const { return weights_.size(); }
  Token token(size_t i) const { return tokens_.empty() ? static_cast<Token>(i) : tokens_[i]; }
  double probability(size_t i) const { return static_cast<double>(weights_[i]) / total_; }
  double ProbabilityOf(Token token) const;  // 0 for tokens that it does not hold

  Token Draw(Rng& rng) const;

 private:
  std::vector<Token> tokens_;
  std::vector<float> weights_;
  std::vector<double> block_sums_;  // of kBlock weights each
  double total_ = 0.0;
};

// The distribution that a sampler draws from: softmax at the temperature, then top-k, top-p (nucleus, Holtzman et al.
// 2020), min-p (Nguyen et al. 2024), each on what the one before left, and renormalised once. Of equal logits the lower
// token is the likelier one. Greedy options leave one token. `top` is the row's; all logits must be finite. Within
// 2e-7 of the softmax, relatively; none counts as less likely than 2^-126 of the likeliest.
Distribution SamplingDistribution(std::span<const float> logits, const RowTop& top, const SamplingOptions& options);

}  // namespace assay
