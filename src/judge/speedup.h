#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "judge/speculation_figures.h"
#include "record/record.h"

namespace assay {

// What may be said of a draft's speed-ups on one prompt set.

// One draft length.
struct LengthSpeedup {
  std::string k;
  ByPrompt logs;  // SpeedupLogs()
};

struct SpeedupJudgement {
  std::vector<Verdict> verdicts;  // "speedup", one for each length
  Verdict best;                   // "best k": the length whose gain is the largest beyond doubt, or "none"
  std::string sentence;           // all of them
};

// Each length against the target alone and against each other length, all in one Holm procedure: the length that looks
// best is chosen by what was measured, so that every pair that it might have been counts. `floor` is the noise floor as
// a share (judge/comparison.h), 0 without a placebo; what is below it is not spoken. `subject` begins the sentence.
SpeedupJudgement JudgeSpeedups(std::string_view subject, std::span<const LengthSpeedup> lengths, double floor);

}  // namespace assay
