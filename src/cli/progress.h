#pragma once

#include <chrono>
#include <cstdint>
#include <string>

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

}  // namespace assay
