#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "judge/intervals.h"
#include "record/record.h"

namespace assay {

// What can be said of two things that were measured together: pure functions of what was measured.

// Throws kInternal for runs that were computed in different arithmetic: nothing may be said of such a pair.
void RequireSameArithmetic(const RunRecord& a, const RunRecord& b);

// The relative difference in percent of a's perplexity from b's, from the mean negative log-likelihoods of the same
// windows: positive, a is worse.
Estimate PerplexityDifference(std::span<const float> a_window_nll, std::span<const float> b_window_nll);

// How many times as fast a is as b, from the rounds in which one session measured both.
Estimate SpeedRatio(std::span<const Sample> a, std::span<const Sample> b);
// The same of the fixed work that was timed beside the samples: how much faster the machine itself was for a.
Estimate MachineRatio(std::span<const Sample> a, std::span<const Sample> b);

// The placebo: the base measured a second time under another name, in the same rotation. What two measurements of one
// thing differ by is what this machine cannot tell in this run.
struct NoiseFloor {
  std::string test;  // "tg64"
  Estimate ratio;    // SpeedRatio of the placebo to the base

  // As a share: the farther end of the 95% interval from 1, on the scale of logarithms. Infinite with too few units.
  double floor() const;
};

// "0.8% in tg64, 1.9% in pp512"
std::string FloorText(std::span<const NoiseFloor> floors);

enum class Standing { kBetter, kWorse, kNotToldApart, kBelowFloor, kTooFew };

const char* StandingName(Standing standing);  // "better", "worse", "not told apart", "below the floor", "too few"

// One thing compared, of A and B as seen from B.
struct Compared {
  std::string name;  // "perplexity", "tg64"
  Estimate estimate;
  bool more_is_better = true;
  double floor = 0.0;  // NoiseFloor::floor() where there is a placebo
  Standing standing = Standing::kTooFew;
  double level = kLevel;  // that surely tells it beside all that is judged with it
};

// Decides all that one sentence or table says: told apart is what Holm's procedure rejects among all of them, and what
// is larger than its noise floor.
void JudgeTogether(std::span<Compared> family);
// Where one stands when such a procedure over more than comparisons has told it apart, or not.
Standing StandingOf(const Compared& compared, bool told);
// The level at which Holm's procedure over so many rejects even the hardest.
double StrictestLevel(size_t family);

// "B is better than A in perplexity, by ...; in pp512 they cannot be told apart ...": every difference with its
// interval, and where nothing can be said, what would decide it. `size_pct`: how much larger B's file is.
std::string ComparisonSentence(std::span<const Compared> family, double size_pct);

// One speed alone: "Q8_0 against F16: in tg64 it is faster (...)." with the names of the models.
std::string SpeedSentence(std::string_view b, std::string_view a, const Compared& compared);

// "12 more windows"; of a comparison that cannot be told apart, to be told apart in the family in which it was judged.
std::string WhatWouldTell(const Compared& compared);

}  // namespace assay
