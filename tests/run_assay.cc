#include "run_assay.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <utility>

#include "base/testing/temporary_directory.h"

namespace assay {
namespace {

// In a folder of this test program, which goes when it ends.
std::string UniquePath(const std::string& name) {
  static const TemporaryDirectory folder;
  return folder / name;
}

std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string TakeFile(const std::string& path) {
  std::string content = ReadText(path);
  unlink(path.c_str());
  return content;
}

[[noreturn]] void Execute(const std::vector<std::string>& arguments, const Adversity& adversity, const std::string& out,
                          const std::string& err) {
  const auto redirect = [](int fd, const std::string& path) {
    const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || dup2(file, fd) < 0) _exit(126);
  };
  redirect(STDOUT_FILENO, adversity.stdout_path.empty() ? out : adversity.stdout_path);
  if (adversity.stdout_closed) {
    int ends[2] = {};
    if (pipe(ends) != 0 || close(ends[0]) != 0 || dup2(ends[1], STDOUT_FILENO) < 0 || close(ends[1]) != 0) _exit(126);
  }
  redirect(STDERR_FILENO, err);
  if (adversity.largest_file > 0) {
    const rlimit limit = {adversity.largest_file, adversity.largest_file};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(125);
  }
  std::vector<char*> argv = {const_cast<char*>("assay")};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv(ASSAY_PROGRAM, argv.data());
  _exit(127);
}

// Whether it has ended; its status can still be taken.
bool HasEnded(pid_t child) {
  siginfo_t ended{};
  return waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid != 0;
}

Outcome OutcomeOf(pid_t child, const std::string& out, const std::string& err) {
  int status = 0;
  waitpid(child, &status, 0);
  Outcome outcome;
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  outcome.out = TakeFile(out);
  outcome.err = TakeFile(err);
  return outcome;
}

// `meanwhile` gets the running program and the file that its stderr goes to.
Outcome Run(const std::vector<std::string>& arguments, const Adversity& adversity,
            const std::function<void(pid_t, const std::string&)>& meanwhile) {
  const std::string out = UniquePath("out");
  const std::string err = UniquePath("err");
  const pid_t child = fork();
  if (child == 0) Execute(arguments, adversity, out, err);
  meanwhile(child, err);
  return OutcomeOf(child, out, err);
}

}  // namespace

Outcome RunAssay(const std::vector<std::string>& arguments, const Adversity& adversity) {
  return Run(arguments, adversity, [](pid_t, const std::string&) {});
}

Outcome RunAssayUntil(const std::vector<std::string>& arguments, const std::string& text, int signal) {
  return Run(arguments, {}, [&](pid_t child, const std::string& err) {
    while (ReadText(err).find(text) == std::string::npos) {
      if (HasEnded(child)) return;
      usleep(500);
    }
    kill(child, signal);
  });
}

RunningAssay::RunningAssay(const std::vector<std::string>& arguments) {
  static int count = 0;
  out_ = UniquePath("out-" + std::to_string(++count));
  err_ = UniquePath("err-" + std::to_string(count));
  child_ = fork();
  if (child_ == 0) Execute(arguments, {}, out_, err_);
}

RunningAssay::~RunningAssay() {
  if (child_ > 0) Stop(SIGKILL);
}

std::string RunningAssay::FirstLine() const {
  for (;;) {
    const bool ended = HasEnded(child_);
    const std::string text = ReadText(out_);
    if (const size_t end = text.find('\n'); end != std::string::npos) return text.substr(0, end);
    if (ended) return "";
    usleep(2000);
  }
}

Outcome RunningAssay::Stop(int signal) {
  kill(child_, signal);
  return OutcomeOf(std::exchange(child_, -1), out_, err_);
}

std::string BundledPath(const std::string& name) { return std::string(ASSAY_SOURCE_DIR) + "/models/" + name; }

std::string WriteTemporary(const std::string& name, const std::string& content) {
  std::string path = UniquePath(name);
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

}  // namespace assay
