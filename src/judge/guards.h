#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "judge/comparison.h"
#include "judge/intervals.h"
#include "record/record.h"

namespace assay {

// The checks that every measurement shares: pure functions of its evidence, so that each has a test that breaks it and
// one that an honest, noisy run passes. A tripped guard makes the run invalid; a warning is told with the figures and
// leaves them valid. docs/measuring.md derives the thresholds.

// "finite": every logit was; `failure` says which one was not.
GuardResult CheckFinite(const std::optional<std::string>& failure);

// "units": enough of them for an interval. A warning: the figures stay, without intervals and verdicts.
GuardResult CheckUnits(int units, std::string_view unit);

// A thing that was measured beside its base, and how much faster the machine itself was for it (MachineRatio).
struct MachineBias {
  std::string name;
  Estimate ratio;
};
// "steady": no subject met a faster machine than its base. Drift that hits both of a pair passes, since it cancels.
// Trips when the fixed work beside the samples differs by more than kMostBias and beyond doubt (1%, Holm).
inline constexpr double kMostBias = 0.01;
GuardResult CheckSteady(std::span<const MachineBias> subjects);

// "memory": the time that pages took to come from the disk, or that the machine spent swapping, is below 1% of what was
// timed. `seconds` is that time.
inline constexpr double kSecondsPerPage = 1e-4;  // of a solid state disk; a spinning one is slower
inline constexpr double kMostPagingShare = 0.01;
inline constexpr int64_t kPagesTolerated = 16;  // of the program itself, which come late
GuardResult CheckMemory(std::span<const Conditions> conditions, double seconds);

// "spread": the 95% interval of each rate reaches at most kWidestRate to either side. Neighbouring rungs differ by 15
// to 30% in their bytes: a rate that is less sure than that has no place on a ladder.
inline constexpr double kWidestRate = 0.25;
struct NamedEstimate {
  std::string name;
  Estimate estimate;  // on the scale of ratios: logarithms
};
GuardResult CheckSpread(std::span<const NamedEstimate> rates);

// "placebo": two measurements of one thing do not differ beyond doubt (1%, Holm over the tests): an honest run is
// refused once in a hundred. Trips for the speeds of the run.
inline constexpr double kPlaceboLevel = 0.99;
GuardResult CheckPlacebo(std::span<const NoiseFloor> floors);

// The rates of samples as an estimate over rounds, for CheckSpread.
Estimate RateEstimate(std::span<const Sample> samples);

}  // namespace assay
