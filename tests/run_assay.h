#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace assay {

struct Outcome {
  int exit_code = -1;  // 128 + signal for a death
  std::string out, err;
};

// What the program meets, to see it fail.
struct Adversity {
  std::string stdout_path = {};  // where results go instead, such as /dev/full
  bool stdout_closed = false;    // results go to a pipe that nobody reads any more
  uint64_t largest_file = 0;     // no file can grow beyond this many bytes, as on a full disk; 0: no limit
};

// Runs the program that was built beside this test, without a shell.
Outcome RunAssay(const std::vector<std::string>& arguments, const Adversity& adversity = {});

// The same, and sends `signal` to it as soon as its stderr holds `text`.
Outcome RunAssayUntil(const std::vector<std::string>& arguments, const std::string& text, int signal);

// The program, running beside the test until it is stopped: a server.
class RunningAssay {
 public:
  explicit RunningAssay(const std::vector<std::string>& arguments);
  ~RunningAssay();  // kills it if it still runs
  RunningAssay(const RunningAssay&) = delete;
  RunningAssay& operator=(const RunningAssay&) = delete;

  // The first line that it wrote, without its end; waits for it. Empty when the program ended without.
  std::string FirstLine() const;
  // Sends the signal and waits for the end.
  Outcome Stop(int signal);

 private:
  std::string out_, err_;
  pid_t child_ = -1;
};

// A file of the bundled models/.
std::string BundledPath(const std::string& name);

// A file below the test's temporary folder with this content, removed when the test program ends.
std::string WriteTemporary(const std::string& name, const std::string& content);

}  // namespace assay
