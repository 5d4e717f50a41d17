#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace assay {

// A progress bar on stderr when that is a terminal, else nothing. Its line is erased when it goes, so that what follows
// starts clean.
class Progress {
 public:
  explicit Progress(std::string label);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Call as often as is handy: it draws a few times a second. `note` is shown behind the bar.
  void Update(uint64_t done, uint64_t total, const std::string& note = "");

 private:
  std::string label_;
  bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point next_;
};

// The name of a step as a line on stderr, when that is no terminal, which shows a bar.
void PrintStep(std::string_view step);

// What cannot be told does not end what is told of: a log on a full disk, a reader that went away.
void PrintToStderr(std::string_view text);

}  // namespace assay
