#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace assay {

// Which rung of a ladder to take: a pure function of what was measured, so that every rule has its test.

// One timed repetition of token generation.
struct TimedRate {
  int round = 0;
  int session = 1;
  double tok_per_s = 0.0;
};

struct RungEvidence {
  std::string name;
  std::string invalid;              // why no figure of it may be believed; empty: it is valid
  uint64_t bytes = 0;               // of the file
  std::vector<float> position_nll;  // of each scored position; the same positions for all rungs and the base
  std::vector<TimedRate> generation;
};

struct PickRules {
  // A rung is within it when the upper end of the 95% interval of its perplexity's rise over the base is.
  double max_loss_pct = 1.0;
};

// An estimate with its two-sided 95% interval. Without enough values the interval is everything.
struct RangedEstimate {
  double mean = 0.0;
  double low = 0.0;
  double high = 0.0;
};

// The relative difference in percent of a's perplexity from b's, from the paired log-likelihoods: positive, a is worse.
RangedEstimate YesterdaysDifference(std::span<const float> a_nll, std::span<const float> b_nll);

// How many times as fast a is as b, from the rounds in which one session measured both: geometric mean, and the
// Student interval of the logarithms, since a bootstrap of five rounds is too narrow.
RangedEstimate YesterdaysRatio(std::span<const TimedRate> a, std::span<const TimedRate> b);

// What is said of one rung against the tolerated loss.
enum class Loss { kWithin, kUndecided, kBeyond };

struct RungVerdict {
  bool valid = false;
  RangedEstimate loss_pct;  // against the base
  Loss loss = Loss::kUndecided;
  // No other rung dominates it. One rung dominates another when it is no larger, is shown to be no worse in speed and
  // perplexity (the interval does not lie on the worse side, nor reach further into it than the tolerances), and is
  // better beyond the error in one of them.
  bool pareto = false;
  bool pick = false;
};

struct LadderVerdict {
  std::vector<RungVerdict> rungs;  // as the evidence
  std::optional<size_t> pick;
  std::string sentence;  // why this rung, or why none, with the figures and their errors
};

// The pick is the fastest rung in generation among those within the tolerated loss; of rungs that cannot be told apart
// from the fastest, the one with the smallest file. No pick is made where it would rest on noise: when no two rungs
// differ beyond their errors, or when only the base itself is within the tolerated loss while others may be.
LadderVerdict Decide(std::span<const RungEvidence> rungs, std::span<const float> base_nll, const PickRules& rules);

}  // namespace assay
