#include "decode/verify.h"

#include <algorithm>

namespace assay {
namespace {

double ProbabilityOf(std::span<const Candidate> distribution, Token token) {
  const auto found =
      std::find_if(distribution.begin(), distribution.end(), [&](const Candidate& c) { return c.token == token; });
  return found == distribution.end() ? 0.0 : found->probability;
}

// max(0, p - q) over the tokens of p, renormalised. Not empty where p differs from q, as it does after a refusal.
std::vector<Candidate> Residual(std::span<const Candidate> p, std::span<const Candidate> q) {
  std::vector<Candidate> by_token(q.begin(), q.end());
  const auto less = [](const Candidate& a, const Candidate& b) { return a.token < b.token; };
  std::sort(by_token.begin(), by_token.end(), less);
  std::vector<Candidate> residual;
  double total = 0.0;
  for (const Candidate& c : p) {
    const auto other = std::lower_bound(by_token.begin(), by_token.end(), c, less);
    const double drafted = other != by_token.end() && other->token == c.token ? other->probability : 0.0;
    if (c.probability <= drafted) continue;
    residual.push_back({c.token, c.probability - drafted});
    total += c.probability - drafted;
  }
  if (residual.empty()) return {p.begin(), p.end()};  // p and q agree up to rounding
  for (Candidate& c : residual) c.probability /= total;
  return residual;
}

}  // namespace

Verification Verify(std::span<const float> logits, const Draft& draft, const SamplingOptions& sampling, Rng& rng) {
  const size_t vocab = logits.size() / (draft.tokens.size() + 1);
  Verification verification;
  for (size_t i = 0; i < draft.tokens.size(); ++i) {
    const std::vector<Candidate> p = Distribution(logits.subspan(i * vocab, vocab), sampling);
    const Token guess = draft.tokens[i];
    const std::vector<Candidate> q =
        draft.distributions.empty() ? std::vector<Candidate>{{guess, 1.0}} : draft.distributions[i];
    const double ratio = ProbabilityOf(p, guess) / ProbabilityOf(q, guess);
    if (ratio < 1.0 && rng.Uniform() >= ratio) {
      verification.next = Draw(Residual(p, q), rng);
      return verification;
    }
    ++verification.accepted;
  }
  verification.next = Draw(Distribution(logits.last(vocab), sampling), rng);
  return verification;
}

}  // namespace assay
