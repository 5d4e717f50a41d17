#include <fcntl.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/last_will.h"
#include "base/log.h"
#include "base/version.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/progress.h"

namespace assay {
namespace {

constexpr int kOtherExit = 1;

// A descriptor 0 to 2 that the caller closed would be given to the next file that is opened, and results would be
// written into a model. What stands in for stdout refuses writes, so that losing the results is an error.
void OccupyStandardDescriptors() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 2 ? O_WRONLY : O_RDONLY) != fd) std::terminate();
  }
}

const Command* FindCommand(std::string_view name) {
  for (const Command& command : Commands()) {
    if (command.name == name) return &command;
  }
  return nullptr;
}

std::string CommandNames() {
  std::vector<std::string_view> names;
  for (const Command& command : Commands()) names.push_back(command.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string OverviewText() {
  CLI::App app("Assay runs and measures GGUF language models.", "assay");
  app.set_version_flag("--version", "");
  for (const Command& command : Commands()) {
    app.add_subcommand(std::string(command.name), std::string(command.summary));
  }
  return app.help();
}

int Print(const std::string& text) {
  PrintText(text);
  FlushStdout();
  return 0;
}

// The first argument is the command, and all others are its own: none of them can be taken for another command.
int ParseAndRun(const std::vector<std::string>& arguments) {
  if (arguments.empty()) Fail(ErrorKind::kUsage, "no command given; there are {}; see assay --help", CommandNames());
  const std::string& name = arguments.front();
  if (name == "--help" || name == "-h") return Print(OverviewText());
  if (name == "--version") return Print(fmt::format("assay {}\n", Version()));
  const Command* command = FindCommand(name);
  if (command == nullptr) {
    Fail(ErrorKind::kUsage, "'{}' is not a command; there are {}; see assay --help", name, CommandNames());
  }
  CLI::App app(std::string(command->summary), fmt::format("assay {}", command->name));
  app.footer(fmt::format("Example:\n  {}", command->example));
  const CommandAction action = command->add(app);
  try {
    ParseArguments(app, {arguments.begin() + 1, arguments.end()});
  } catch (const CLI::Success&) {
    return Print(app.help());
  }
  const int exit_code = action();
  FlushStdout();
  return exit_code;
}

// With --json the error is a document as well, for who reads stdout alone.
int ReportError(std::string_view message, int exit_code, bool json) {
  const std::string line = OneLine(message);
  PrintToStderr(fmt::format("assay: {}\n", line));
  if (json) {
    try {
      Print(JsonText({{"error", {{"message", line}, {"exit_code", exit_code}}}}));
    } catch (const Error&) {  // of a stdout that takes nothing it was told, if it was that
    } catch (const ReaderGone&) {
    }
  }
  return exit_code;
}

int Main(int argc, char** argv) {
  if (argc < 1) return kOtherExit;
  OccupyStandardDescriptors();
  // A reader that goes away and a file size limit are errors of write(), which clean up; not deaths.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  InstallLastWill();
  InitLog(false);
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool json = std::ranges::find(arguments, "--json") != arguments.end();
  try {
    return ParseAndRun(arguments);
  } catch (const Error& error) {
    return ReportError(error.what(), ExitCode(error.kind()), json);
  } catch (const ReaderGone&) {
    // As the system ends programs that do not look: quietly, with the status that shells and pipefail know.
    std::signal(SIGPIPE, SIG_DFL);
    std::raise(SIGPIPE);
    return kOtherExit;
  } catch (const std::bad_alloc&) {
    return ReportError("out of memory; a smaller model, context or batch needs less", kOtherExit, json);
  } catch (const std::exception& error) {
    return ReportError(error.what(), kOtherExit, json);
  }
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) { return assay::Main(argc, argv); }
