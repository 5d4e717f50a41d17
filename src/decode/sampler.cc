#include "decode/sampler.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace assay {
namespace {

// Cuts the tail from the first candidate on that `keep` refuses; at least one candidate stays.
template <typename Keep>
void CutTail(std::vector<Candidate>& candidates, const Keep& keep) {
  size_t count = 1;
  while (count < candidates.size() && keep(candidates[count])) ++count;
  candidates.resize(count);
}

}  // namespace

void CheckSampling(const SamplingOptions& o) {
  if (!(o.temperature >= 0.0F) || !std::isfinite(o.temperature)) {
    Fail(ErrorKind::kUsage, "--temp {}: a temperature is 0 (greedy) or above", o.temperature);
  }
  if (o.top_k < 0) Fail(ErrorKind::kUsage, "--top-k {}: 0 (all) or above", o.top_k);
  if (!(o.top_p > 0.0F && o.top_p <= 1.0F)) Fail(ErrorKind::kUsage, "--top-p {}: above 0, at most 1", o.top_p);
  if (!(o.min_p >= 0.0F && o.min_p <= 1.0F)) Fail(ErrorKind::kUsage, "--min-p {}: between 0 and 1", o.min_p);
}

Token Greedy(std::span<const float> logits) {
  return static_cast<Token>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

std::vector<Candidate> Distribution(std::span<const float> logits, const SamplingOptions& options) {
  if (options.temperature == 0.0F) return {{Greedy(logits), 1.0}};
  std::vector<Candidate> candidates(logits.size());
  const double top = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double total = 0.0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double scaled = (static_cast<double>(logits[i]) - top) / static_cast<double>(options.temperature);
    candidates[i] = {static_cast<Token>(i), std::exp(scaled)};
    total += candidates[i].probability;
  }
  const auto likelier = [](const Candidate& a, const Candidate& b) {
    return a.probability > b.probability || (a.probability == b.probability && a.token < b.token);
  };
  if (options.top_k > 0 && static_cast<size_t>(options.top_k) < candidates.size()) {
    const auto end = candidates.begin() + options.top_k;
    std::partial_sort(candidates.begin(), end, candidates.end(), likelier);
    candidates.erase(end, candidates.end());
    total = 0.0;
    for (const Candidate& c : candidates) total += c.probability;
  } else {
    std::sort(candidates.begin(), candidates.end(), likelier);
  }
  if (options.top_p < 1.0F) {
    double mass = candidates.front().probability;
    CutTail(candidates, [&](const Candidate& c) {
      if (mass >= static_cast<double>(options.top_p) * total) return false;
      mass += c.probability;
      return true;
    });
  }
  const double least = static_cast<double>(options.min_p) * candidates.front().probability;
  CutTail(candidates, [&](const Candidate& c) { return c.probability >= least; });
  total = 0.0;
  for (const Candidate& c : candidates) total += c.probability;
  for (Candidate& c : candidates) c.probability /= total;
  return candidates;
}

Token Draw(std::span<const Candidate> distribution, Rng& rng) {
  double left = rng.Uniform();
  for (const Candidate& c : distribution) {
    left -= c.probability;
    if (left < 0.0) return c.token;
  }
  return distribution.back().token;  // rounding left a sliver beyond the last
}

}  // namespace assay
