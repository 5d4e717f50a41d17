#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/thread_pool.h"
#include "quant/rung.h"
#include "render/format.h"

namespace assay {

// The options that mean the same in every command that has them.
struct CommonOptions {
  int threads = HardwareThreads();
  std::string backend;  // as MakeBackend() takes it
  uint64_t seed = 1;
  bool json = false;
};

enum CommonOption : unsigned { kThreads = 1, kBackend = 2, kSeed = 4, kJson = 8 };

// Declares -v and those of the common options that the command honours: an option that would do nothing is not taken.
// `options` must live as long as the app. More threads than the process has processors are warned of.
void AddCommonOptions(CLI::App& app, CommonOptions& options, unsigned which);

// The rung of that name; throws kUsage and lists the rungs when there is none.
const RungTraits& ParseRung(std::string_view name);
std::string RungNames();  // "F16, Q8_0, ..."

// Thrown when nobody reads stdout any more (`| head`): main() then ends as SIGPIPE does, after everything is cleaned
// up.
struct ReaderGone {};

// Writes to stdout; throws kIo when the system refuses, so that no result is lost silently, or ReaderGone.
void PrintText(std::string_view text);
void FlushStdout();

// The one document of --json, as JsonText() has it.
void PrintJson(const Json& fields);

}  // namespace assay
