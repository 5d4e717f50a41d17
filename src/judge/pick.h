#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "judge/comparison.h"
#include "judge/intervals.h"
#include "record/record.h"

namespace assay {

// Which rung of a ladder to take: a pure function of its records (docs/ladder.md).

// What was measured of one rung, or of the base.
struct RungRuns {
  std::string name;   // "Q4_K_M"
  RunRecord quality;  // "perplexity" with the series window_nll; a rung that is the base has the base's own
  RunRecord tg, pp;   // "throughput"; without samples where the quality is invalid

  bool valid() const { return quality.valid(); }
};

struct LadderRuns {
  RungRuns base;                    // what every rung is compared with, whether it is one of them or not
  std::optional<RungRuns> placebo;  // the base measured a second time: tg and pp alone
  std::vector<RungRuns> rungs;

  bool IsBase(const RungRuns& rung) const { return rung.quality.model == base.quality.model; }
};

// All speeds, as judge/speeds.h wants them: the base's first, then those of the valid rungs, then the placebo's.
std::vector<RunRecord> SpeedsOf(const LadderRuns& runs);

struct PickRules {
  double max_loss_pct = 1.0;  // rise of the perplexity over the base's that is tolerated
};

// How much slower than another a rung may be and still be "no slower".
inline constexpr double kSpeedTolerance = 0.03;

// What is said of one rung against the tolerated loss.
enum class Loss { kWithin, kUndecided, kBeyond };

const char* LossName(Loss loss);  // "within", "undecided", "beyond"

struct RungVerdict {
  bool valid = false;
  bool base = false;  // of the base itself nothing is told
  // With the base.
  Compared quality = {.name = "perplexity", .estimate = {}, .more_is_better = false};
  Compared tg = {}, pp = {};
  Loss loss = Loss::kUndecided;
  // No other rung dominates it. One rung dominates another when it is no larger, is better beyond doubt in speed or
  // perplexity, and in neither seems worse (at 95% by itself), nor may be by more than kSpeedTolerance and the
  // tolerated loss.
  bool pareto = false;
  bool pick = false;
};

// Why a rung was taken, or none.
enum class PickReason {
  kTaken,
  kNoValidRung,
  kOneRung,
  kSpeedsInvalid,
  kTooFewRounds,
  kLossUndecided,  // at most the base is surely within the tolerated loss, and others may be
  kAllBeyond,
  kAlike,  // neither speed nor size tells the best of them apart
};

struct LadderDecision {
  std::vector<RungVerdict> rungs;  // as the runs
  PickReason reason = PickReason::kNoValidRung;
  std::optional<size_t> pick;
  std::vector<size_t> alike;  // rungs within the tolerated loss whose speed cannot be told from the pick's; or kAlike
  double level = kLevel;      // StrictestLevel() of all that was judged together
  bool speeds_valid = false;

  // Whether any two rungs, or a rung and the base, were told apart in anything.
  bool tells() const;
};

// The pick is the fastest rung in generation among those within the tolerated loss; of rungs that cannot be told apart
// from the fastest, the one with the smallest file. All that follows from chance is judged together (Holm): quality and
// speeds against the base, losses against the tolerated one, the generation of each pair of rungs (since the fastest is
// chosen by what was measured, each pair might have been asked for), and who dominates whom. Of speeds, what does not
// exceed the placebo's noise floor is not told. `speeds_valid`: no guard refused them; without it nothing is said of
// them, and nothing taken.
LadderDecision Decide(const LadderRuns& runs, bool speeds_valid, const PickRules& rules);

// What is said of a ladder.
struct LadderJudgement {
  std::vector<GuardResult> guards;  // over its speeds
  std::vector<NoiseFloor> floors;
  LadderDecision decision;
  // "perplexity", "loss", "speed tg64", "speed pp512" and "pareto" of each rung but the base; "pick" last.
  std::vector<Verdict> verdicts;

  // Why this rung, or why none, with figures, intervals and what would decide it.
  const std::string& sentence() const { return verdicts.back().sentence; }
};

LadderJudgement JudgeLadder(const LadderRuns& runs, const PickRules& rules);

}  // namespace assay
