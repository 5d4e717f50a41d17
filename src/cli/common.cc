#include "cli/common.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/log.h"

namespace assay {
namespace {

constexpr int kMostThreads = 1024;

[[noreturn]] void FailStdout(int error) {
  if (error == EPIPE) throw ReaderGone();
  Fail(ErrorKind::kIo, "cannot write the results to standard output: {}; make room there or name another place",
       std::strerror(error));
}

}  // namespace

void AddCommonOptions(CLI::App& app, CommonOptions& options, unsigned which) {
  if ((which & kThreads) != 0) {
    app.add_option("-t,--threads", options.threads, "threads to use; all that the process may use when not given")
        ->check(CLI::Range(1, kMostThreads))
        ->type_name("N");
  }
  if ((which & kThreads) != 0) {
    app.final_callback([&options] {
      if (options.threads <= HardwareThreads()) return;
      spdlog::warn("-t {}: this process may use {} processors; threads that wait for one another measure nothing else",
                   options.threads, HardwareThreads());
    });
  }
  if ((which & kBackend) != 0) {
    app.add_option("--backend", options.backend, "what computes: cpu, cpu:ISA or ref; the fastest when not given")
        ->type_name("NAME");
  }
  if ((which & kSeed) != 0) {
    app.add_option("--seed", options.seed, "seed of everything random")->capture_default_str()->type_name("N");
  }
  if ((which & kJson) != 0) app.add_flag("--json", options.json, "print one JSON document instead of text");
  app.add_flag_callback(
         "-v,--verbose", [] { InitLog(true); }, "log more to stderr")
      ->trigger_on_parse();
}

std::string RungNames() {
  std::vector<std::string_view> names;
  for (const RungTraits& rung : Rungs()) names.push_back(rung.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

const RungTraits& ParseRung(std::string_view name) {
  const RungTraits* rung = FindRung(name);
  if (rung == nullptr) Fail(ErrorKind::kUsage, "'{}' is not a rung; there are {}", name, RungNames());
  return *rung;
}

void PrintText(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) FailStdout(errno);
}

void FlushStdout() {
  if (std::fflush(stdout) != 0) FailStdout(errno);
}

void PrintJson(const Json& fields) { PrintText(JsonText(fields)); }

}  // namespace assay
