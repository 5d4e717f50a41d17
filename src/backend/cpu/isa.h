#pragma once

#include <string_view>

#include "backend/cpu/kernels/kernels.h"

namespace assay::cpu {

// The kernels of the named instruction set ("portable", "avx2", "avx512"), or of the best that the machine has ("").
// Throws kUsage for an unknown name and kUnsupported for one that the machine lacks.
const KernelTable& KernelsFor(std::string_view variant);

}  // namespace assay::cpu
