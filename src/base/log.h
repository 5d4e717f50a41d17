#pragma once

#include <spdlog/spdlog.h>

namespace assay {

// Logs go to stderr, so that stdout carries results alone. Call once, first thing in main().
void InitLog(bool verbose);

}  // namespace assay
