#include <fcntl.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/version.h"
#include "cli/command.h"
#include "cli/common.h"

namespace assay {
namespace {

constexpr int kUsageExit = 2;
constexpr int kOtherExit = 1;

// A descriptor 0 to 2 that the caller closed would be given to the next file that is opened, and results would be
// written into a model. What stands in for stdout refuses writes, so that losing the results is an error.
void OccupyStandardDescriptors() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 2 ? O_WRONLY : O_RDONLY) != fd) std::terminate();
  }
}

int ReportError(std::string_view message, int exit_code) {
  std::fputs(fmt::format("assay: {}\n", OneLine(message)).c_str(), stderr);
  return exit_code;
}

int ParseAndRun(int argc, char** argv) {
  CLI::App app("Assay runs and measures GGUF language models.", "assay");
  app.set_version_flag("--version", std::string("assay ") + Version());
  CommandAction action;
  for (const Command& command : Commands()) {
    CLI::App* sub = app.add_subcommand(std::string(command.name), std::string(command.summary));
    sub->footer(fmt::format("Example:\n  {}", command.example));
    sub->final_callback([&action, run = command.add(*sub)] { action = run; });
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success&) {  // --help or --version
    PrintText(app.get_subcommands().empty() && app.count("--version") != 0 ? app.version() + "\n" : app.help());
    FlushStdout();
    return 0;
  } catch (const CLI::ParseError& error) {
    const auto chosen = app.get_subcommands();
    return ReportError(
        fmt::format("{}; see assay {}--help", error.what(), chosen.empty() ? "" : chosen.front()->get_name() + " "),
        kUsageExit);
  }
  if (!action) {
    std::vector<std::string_view> names;
    for (const Command& command : Commands()) names.push_back(command.name);
    return ReportError(fmt::format("no command given; there are {}; see assay --help", fmt::join(names, ", ")),
                       kUsageExit);
  }
  const int exit_code = action();
  FlushStdout();
  return exit_code;
}

int Main(int argc, char** argv) {
  OccupyStandardDescriptors();
  // A reader that goes away and a file size limit are errors of write(), which clean up; not deaths.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  InitLog(false);
  try {
    return ParseAndRun(argc, argv);
  } catch (const Error& error) {
    return ReportError(error.what(), ExitCode(error.kind()));
  } catch (const std::bad_alloc&) {
    return ReportError("out of memory; a smaller model, context or batch needs less", kOtherExit);
  } catch (const std::exception& error) {
    return ReportError(error.what(), kOtherExit);
  }
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) { return assay::Main(argc, argv); }
