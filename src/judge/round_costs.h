#pragma once

#include <optional>
#include <span>
#include <vector>

namespace assay {

// What a round of speculation should give, from acceptance and costs.

// What the parts of a round cost, in plain steps: one token decoded by the target alone.
struct RoundCosts {
  double draft = 0.0;          // c: one guess
  std::vector<double> verify;  // v: [n - 1] is the target's side of a round that verifies n tokens; [0] is 1

  double Round(int guesses) const;  // guesses * c + v(guesses + 1)
};

// Tokens that a round of k guesses gives when each is taken with probability a if those before it were:
// (1 - a^(k+1)) / (1 - a) (Leviathan et al. 2023, equation 1).
double ExpectedTokens(double acceptance, int k);
// The same with a probability for each position: 1 + a1 + a1 a2 + ...
double ExpectedTokens(std::span<const double> acceptance_by_position);

// The acceptance at which k guesses a round are as fast as none; nothing when the costs exceed what a round of k can
// ever give. 0 when a round costs no more than the one token that it always gives.
std::optional<double> BreakEvenAcceptance(int k, const RoundCosts& costs);

}  // namespace assay
