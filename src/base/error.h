#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace assay {

// What kind of failure it is; main() maps the kind to the exit code (CLI contract: docs/cli.md).
enum class ErrorKind {
  kUsage,        // 2: a wrong option or argument
  kBadFile,      // 3: a file that is damaged, lies about itself, or is of an unsupported kind
  kUnsupported,  // 3: a well-formed request that this build or file cannot serve
  kInvalid,      // 4: a measurement that a guard found invalid
  kIo,           // 1: the operating system refused (no permission, disk full)
  kInternal,     // 1: anything else
};

int ExitCode(ErrorKind kind);

// The one error idiom. The message is one line: what was asked, what was found, what to do.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

// What to do about a model file that contradicts itself or lacks something.
inline constexpr std::string_view kGetAgain = "download or convert it again";

// Throws Error with a formatted message.
template <typename... Args>
[[noreturn]] void Fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(kind, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace assay
