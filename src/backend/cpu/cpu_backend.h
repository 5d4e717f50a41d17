#pragma once

#include <memory>
#include <string_view>

#include "backend/backend.h"

namespace assay {

// The fast backend for processors. variant: "", "portable", "avx2" or "avx512" (see MakeBackend).
std::unique_ptr<Backend> MakeCpuBackend(int threads, std::string_view variant);

}  // namespace assay
