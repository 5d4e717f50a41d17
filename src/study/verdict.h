#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "judge/statistics.h"

namespace assay {

// What speculation should give and did give: pure functions of acceptance and costs.

// What the parts of a round cost, in plain steps of the target (one token decoded alone).
struct RoundCosts {
  double draft = 0.0;          // c: one guess
  std::vector<double> verify;  // v: [n - 1] is verifying n tokens at once; [0] is 1

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

enum class SpeedupOutcome { kGains, kLoses, kUndecided };

struct SpeedupVerdict {
  SpeedupOutcome outcome = SpeedupOutcome::kUndecided;
  std::string sentence;  // "gains 12.3% (95% interval 8.0% to 17.1%)"
};

// Gains or loses only when the whole interval lies on that side of 1.
SpeedupVerdict JudgeSpeedup(double speedup, const Interval& interval);

// A cell of a pair, as its verdict sees it.
struct CellOutcome {
  std::string prompt_set, k;
  bool valid = false;
  double speedup = 0.0;
  Interval interval;
};

// One sentence for a draft with its target: for each prompt set what the best k gains, where best is the k whose
// interval has the highest lower end, so that no noise is taken for a winner.
std::string PairSentence(const std::string& target, const std::string& draft, std::span<const CellOutcome> cells);

}  // namespace assay
