#include "cli/common.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/log.h"

namespace assay {
namespace {

constexpr int kJsonSchema = 1;
constexpr int kMostThreads = 1024;

[[noreturn]] void FailStdout(int error) {
  Fail(ErrorKind::kIo, "cannot write the results to standard output: {}", std::strerror(error));
}

std::string Scaled(uint64_t value, std::array<std::string_view, 5> units) {
  auto scaled = static_cast<double>(value);
  size_t unit = 0;
  while (scaled >= 999.95 && unit + 1 < units.size()) {
    scaled /= 1000.0;
    ++unit;
  }
  return unit == 0 ? fmt::format("{}{}", value, units[0]) : fmt::format("{:.1f}{}", scaled, units[unit]);
}

}  // namespace

void AddCommonOptions(CLI::App& app, CommonOptions& options, unsigned which) {
  if ((which & kThreads) != 0) {
    app.add_option("-t,--threads", options.threads, "threads to use; all that the process may use when not given")
        ->check(CLI::Range(1, kMostThreads))
        ->type_name("N");
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

std::string JsonText(const Json& fields) {
  Json document = {{"schema", kJsonSchema}};
  document.update(fields);
  return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

void PrintJson(const Json& fields) { PrintText(JsonText(fields)); }

std::string OneLine(std::string_view text) {
  std::string line(text);
  for (char& c : line) {
    if (const auto byte = static_cast<unsigned char>(c); byte < 0x20 || byte == 0x7F) c = c == '\n' ? ' ' : '?';
  }
  return line;
}

std::string HumanBytes(uint64_t bytes) { return Scaled(bytes, {" B", " kB", " MB", " GB", " TB"}); }
std::string HumanCount(uint64_t count) { return Scaled(count, {"", " k", " M", " G", " T"}); }

}  // namespace assay
