#pragma once

#include <string_view>

#include "backend/cpu/kernels/kernels.h"
#include "base/cpu_features.h"

namespace assay::cpu {

// The kernels of the named instruction set ("portable", "avx2", "avx512"), or of the best that the processor has (""):
// nothing that it cannot run. Throws kUsage for an unknown name and kUnsupported for one that the processor lacks.
KernelTable KernelsFor(std::string_view variant, const CpuFeatures& cpu = HostCpu());

}  // namespace assay::cpu
