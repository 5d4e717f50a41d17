#pragma once

#include <memory>
#include <string_view>

#include "backend/backend.h"

namespace assay {

// The oracle: plain loops that decode the weights as they go and accumulate in double precision. It takes no variant.
std::unique_ptr<Backend> MakeRefBackend(int threads, std::string_view variant);

}  // namespace assay
