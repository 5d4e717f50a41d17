#pragma once

#include <string>

#include "measure/perplexity.h"
#include "measure/probe.h"
#include "measure/throughput.h"
#include "record/record.h"

namespace assay {

// Results as records: the only form in which anything is stored, judged or shown. `about` says what was measured, of
// whom, where and how; what comes back has the figures, samples and series as well.

// A record of that kind that began now, on this machine.
RunRecord NewRecord(std::string kind, std::string test, ModelIdentity model);

// Setting: arithmetic. Series: window_nll; with a base also window_base_nll, window_kld and window_top1; where the
// engine's part was measured, window_engine_kld and window_engine_top1, and of the base window_base_engine_*. A failure
// is the guard "finite".
RunRecord RecordOf(const PerplexityResult& result, RunRecord about);
RunRecord RecordOf(const ThroughputResult& result, RunRecord about);
RunRecord RecordOf(const ProbeResult& probe, RunRecord about);

}  // namespace assay
