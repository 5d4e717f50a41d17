#pragma once

#include <span>

namespace assay {

// Of one row of logits.
struct LogSoftmax {
  double log_sum = 0.0;  // log of the sum of exp(logit)
  int top = 0;           // the lowest of the largest
  bool finite = true;    // every logit is; otherwise the rest says nothing
};

// Exponentials in single precision with a relative error below 3e-7, sums in double: log_sum is off by less than 3e-7.
LogSoftmax Normalise(std::span<const float> logits);

// KL(base || model) in nats = sum of p_base (log p_base - log p_model), both normalised already; never negative.
double Divergence(std::span<const float> base, const LogSoftmax& base_norm, std::span<const float> model,
                  const LogSoftmax& model_norm);

// exp(x) for x at or below 0; 0 below -87.
float ExpOfNonPositive(float x);

}  // namespace assay
