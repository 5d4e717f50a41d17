#pragma once

#include <span>

#include "measure/perplexity.h"
#include "measure/throughput.h"
#include "record/record.h"
#include "render/format.h"

namespace assay {

// Records and measurements as the commands' JSON has them (docs/cli.md, docs/measuring.md). What is not known is null.

Json ToJson(const Environment& environment);
Json ToJson(const ModelIdentity& model);
Json ToJson(const ProbeResult& probe);
// `model` is the path as the user gave it.
Json ToJson(const ThroughputResult& result, std::string_view model, std::string_view quant);
Json ToJson(const BaseComparison& base);

}  // namespace assay
