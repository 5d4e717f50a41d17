#pragma once

#include <string>

#include "render/speculation_output.h"

namespace assay {

// How drafts from elsewhere are told (docs/speculation.md): who made them, what a burst took, when they pay.

// A section of the text; empty for a study without such drafts.
std::string RemoteText(const SpeculationStudy& study);

// A cell's burst{}: what its bursts took, at home or elsewhere; null where none was answered.
Json BurstJson(const RunRecord& run);
// A cell's remote{}: who drafted, and when that pays, against the target alone and against a pair of the study that
// drafts with the same model at home; null for a draft at home.
Json RemoteJson(const SpeculationStudy& study, const PairResult& pair, const RunRecord& run);

}  // namespace assay
