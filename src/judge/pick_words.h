#pragma once

#include <span>
#include <vector>

#include "judge/pick.h"
#include "record/record.h"

namespace assay {

// A decision on a ladder in words: LadderJudgement::verdicts. `guards` are those over its speeds.
std::vector<Verdict> LadderVerdicts(const LadderRuns& runs, const LadderDecision& decision,
                                    std::span<const GuardResult> guards, const PickRules& rules);

}  // namespace assay
