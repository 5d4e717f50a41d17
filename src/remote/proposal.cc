#include "remote/proposal.h"

#include <algorithm>
#include <cmath>

namespace assay {

Distribution Proposal::distribution() const { return {tokens, {weights.begin(), weights.end()}}; }

Proposal CutToLikeliest(const Distribution& distribution, int most) {
  struct Place {
    size_t i;
    double probability;
  };
  const auto likelier = [](const Place& a, const Place& b) {
    return a.probability != b.probability ? a.probability > b.probability : a.i < b.i;
  };
  std::vector<Place> best;  // a heap with the least likely in front
  for (size_t i = 0; i < distribution.size(); ++i) {
    const Place place{i, distribution.probability(i)};
    if (best.size() == static_cast<size_t>(most)) {
      if (!likelier(place, best.front())) continue;
      std::pop_heap(best.begin(), best.end(), likelier);
      best.pop_back();
    }
    best.push_back(place);
    std::push_heap(best.begin(), best.end(), likelier);
  }
  const double top = std::min_element(best.begin(), best.end(), likelier)->probability;
  std::sort(best.begin(), best.end(), [](const Place& a, const Place& b) { return a.i < b.i; });
  Proposal proposal;
  double kept = 0.0;
  for (const Place& place : best) {
    const auto weight = static_cast<uint16_t>(std::lround(place.probability / top * 65535.0));
    if (weight == 0) continue;
    proposal.tokens.push_back(distribution.token(place.i));
    proposal.weights.push_back(weight);
    kept += place.probability;
  }
  proposal.tail = std::max(0.0, 1.0 - kept);
  return proposal;
}

Token DrawBehind(const Distribution& distribution, uint64_t seed, uint64_t text_hash) {
  Rng rng(seed ^ text_hash);
  return distribution.Draw(rng);
}

}  // namespace assay
