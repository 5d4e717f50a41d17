#pragma once

#include <span>
#include <string>
#include <vector>

#include "measure/perplexity.h"
#include "measure/throughput.h"
#include "study/pick.h"

namespace assay {

// What can be said of two models: a measured one, B, against a base, A. Pure functions of what was measured.

// Where B stands. Told apart: the 95% interval of the difference leaves out "no difference".
enum class Standing { kBetter, kWorse, kNotToldApart };

const char* StandingName(Standing standing);  // "better", "worse", "not told apart"

// One thing compared: the estimate with its interval, and what follows.
struct Compared {
  RangedEstimate estimate;
  Standing standing = Standing::kNotToldApart;
};

// The relative difference of the perplexities in percent, positive: B is worse.
Compared ComparePerplexity(const BaseComparison& base);

// How many times as fast B is as A, from the rounds of the same test.
Compared CompareSpeed(const ThroughputResult& b, const ThroughputResult& a);

struct ComparedSpeed {
  std::string test;  // "pp512"
  Compared speed;
};

// "B is better than A in perplexity, by ...; in pp512 they cannot be told apart ...": every difference with its error.
// `size_pct` is the difference of the files' sizes, in percent of A's.
std::string ComparisonSentence(const Compared& perplexity, std::span<const ComparedSpeed> speeds, double size_pct);

}  // namespace assay
