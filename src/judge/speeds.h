#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "judge/comparison.h"
#include "judge/guards.h"
#include "record/record.h"

namespace assay {

// What holds of all speeds that were measured in the rounds of one run. A run's `test` says what it timed ("tg64"); the
// placebo's is "placebo tg64" and is the base's second measurement. The base of a test is the first run that has it.

inline constexpr std::string_view kPlaceboPrefix = "placebo ";

inline bool IsPlacebo(const RunRecord& run) { return run.test.starts_with(kPlaceboPrefix); }

// "tiny-Q4_K_M.gguf (Q4_K_M)"
std::string NameOf(const ModelIdentity& model);

// The base's run of that test; throws kInternal when there is none.
const RunRecord& BaseOf(std::span<const RunRecord> runs, std::string_view test);

// One for each placebo among the runs.
std::vector<NoiseFloor> NoiseFloors(std::span<const RunRecord> runs);

// The runs' own guards "finite" as one: the first that tripped.
GuardResult FiniteOf(std::span<const RunRecord> runs);

// units, steady, memory, spread and, where there is a placebo, placebo.
std::vector<GuardResult> CheckSpeeds(std::span<const RunRecord> runs);

// A run that is neither base nor placebo, and the base of its test. Both are among the runs, which must outlive it.
struct SpeedPair {
  const RunRecord* run = nullptr;
  const RunRecord* base = nullptr;
};
std::vector<SpeedPair> SpeedPairs(std::span<const RunRecord> runs);

// Each pair's comparison with the floor of its test, ready to be judged with all that is said beside it.
std::vector<Compared> CompareSpeeds(std::span<const SpeedPair> pairs, std::span<const NoiseFloor> floors);

}  // namespace assay
