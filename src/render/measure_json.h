#pragma once

#include <span>
#include <string_view>

#include "judge/comparison.h"
#include "record/record.h"
#include "render/format.h"

namespace assay {

// Records as the commands' JSON has them (docs/cli.md, docs/measuring.md). What is not known is null.

Json ToJson(const Environment& environment);
Json ToJson(const ModelIdentity& model);

// A "throughput" run as one of tests[]: the rate, what follows from it, and every sample. `model` is the path as the
// user gave it.
Json ThroughputJson(const RunRecord& run, std::string_view model);
// A "machine" run: what was probed.
Json ProbeJson(const RunRecord& run);
// Of a "perplexity" run with a base: base{}.
Json BaseJson(const RunRecord& run);
// engine{}: what everyday arithmetic adds to the model, and as base{} to the base; null where it was not measured.
Json EngineJson(const RunRecord& run);

// The 95% intervals of a run's figures: of each its ends, what was counted as a unit, how many, and the method.
Json IntervalsJson(const RunRecord& run);
Json GuardsJson(std::span<const GuardResult> guards);
Json VerdictsJson(std::span<const Verdict> verdicts);
// The noise floor of each test; null for a run without placebo.
Json PlaceboJson(std::span<const NoiseFloor> floors);
// Ends of an interval that do not exist are null. `name` is that of the figure in it.
Json ToJson(const Compared& compared, std::string_view name);

// A figure of a run; null when it has none.
Json FigureJson(const RunRecord& run, std::string_view name);
Json ErrorJson(const RunRecord& run, std::string_view name);

}  // namespace assay
