#pragma once

#include "backend/backend.h"
#include "base/thread_pool.h"

namespace assay {

// Backend::DeltaNet and Backend::DeltaNetReplay of the ref backend.
void RefDeltaNet(ThreadPool& pool, const float* qkv, const float* alpha, const float* beta, const float* dt_bias,
                 const float* a, float* state, int tokens, const DeltaNetParams& params, const DeltaNetLog& log,
                 float* out);
void RefDeltaNetReplay(ThreadPool& pool, const float* steps, int tokens, const DeltaNetParams& params, float* state);

}  // namespace assay
