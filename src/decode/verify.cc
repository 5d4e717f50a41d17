#include "decode/verify.h"

namespace assay {
namespace {

// max(0, p - q) over the tokens of p, renormalised; p where nothing is left, that is where the two agree up to
// rounding.
Distribution Residual(const Distribution& p, const Distribution& q) {
  std::vector<Token> tokens;
  std::vector<float> weights;
  size_t other = 0;  // both are in the tokens' order
  for (size_t i = 0; i < p.size(); ++i) {
    const Token token = p.token(i);
    while (other < q.size() && q.token(other) < token) ++other;
    const double drafted = other < q.size() && q.token(other) == token ? q.probability(other) : 0.0;
    const auto left = static_cast<float>(p.probability(i) - drafted);
    if (!(left > 0.0F)) continue;
    tokens.push_back(token);
    weights.push_back(left);
  }
  return tokens.empty() ? p : Distribution(std::move(tokens), std::move(weights));
}

}  // namespace

Verification Verify(std::span<const float> logits, std::span<const RowTop> tops, const Draft& draft,
                    const SamplingOptions& sampling, Rng& rng) {
  const size_t vocab = logits.size() / tops.size();
  const auto target = [&](size_t row) {
    return SamplingDistribution(logits.subspan(row * vocab, vocab), tops[row], sampling);
  };
  for (size_t i = 0; i < draft.tokens.size(); ++i) {
    const Token guess = draft.tokens[i];
    const Distribution p = target(i);
    const Distribution q = draft.distributions.empty() ? Distribution::Certain(guess) : draft.distributions[i];
    const double ratio = p.ProbabilityOf(guess) / q.ProbabilityOf(guess);
    const bool taken = ratio >= 1.0 || rng.Uniform() < ratio;
    if (!taken) return {static_cast<int>(i), Residual(p, q).Draw(rng)};
  }
  return {static_cast<int>(draft.tokens.size()), target(draft.tokens.size()).Draw(rng)};
}

}  // namespace assay
