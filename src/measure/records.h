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

// Series: window_nll; with a base also window_base_nll, window_kld and window_top1. A failure is the guard "finite".
RunRecord RecordOf(const PerplexityResult& result, RunRecord about);
RunRecord RecordOf(const ThroughputResult& result, RunRecord about);
RunRecord RecordOf(const ProbeResult& probe, RunRecord about);

}  // namespace assay
