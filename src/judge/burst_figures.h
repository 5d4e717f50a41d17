#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "judge/remote_draft.h"
#include "judge/speculation_figures.h"

namespace assay {

// What the bursts of a cell took, at home or elsewhere, over those that were answered; times are seconds a burst.
struct BurstFigures {
  int64_t bursts = 0;             // asked for, in all
  int64_t failed = 0;             // of them
  double queue_seconds = 0.0;     // mean
  double sent_bytes = 0.0;        // mean
  double received_bytes = 0.0;    // mean
  double overhead_seconds = 0.0;  // median of what a round waited for it, less the drafter's own time
  double hidden = 0.0;            // share of those with which that is below zero
  RemoteRound round;              // means; the wire's over the bursts that were not in time, where there are any
  double round_seconds = 0.0;     // what those rounds took
};

// Of the texts that are timed(); nothing when no burst was answered.
std::optional<BurstFigures> ComputeBurstFigures(std::span<const PairedText> texts);

// The figures as a record keeps them, and the mean round of a record that has them.
std::vector<Metric> BurstMetrics(const BurstFigures& figures);
std::optional<RemoteRound> RemoteRoundOf(const RunRecord& record);

// All bursts of the texts, with who made them, for CheckRemote(). They refer to the texts.
std::vector<ShownBurst> BurstsOf(std::span<const PairedText> texts);

}  // namespace assay
