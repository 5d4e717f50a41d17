#include "base/last_will.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <string>

#include "base/file.h"
#include "base/testing/temporary_directory.h"

namespace assay {
namespace {

namespace fs = std::filesystem;

struct Death {
  int status = 0;  // as waitpid gives it
  std::string err;
};

class LastWillTest : public ::testing::Test {
 protected:
  // `end` runs in a process of its own, that has a half-written file and a temporary folder with another.
  Death DieAfter(const std::function<void()>& prepare, const std::function<void()>& end) {
    const fs::path err = directory_ / "err";
    const pid_t child = fork();
    if (child == 0) {
      dup2(open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
      prepare();
      InstallLastWill();
      AtomicFile file(directory_ / "out");
      file.Write("half");
      const TemporaryFolder folder(directory_.path());
      AtomicFile inner(folder.path() / "inner");
      inner.Write("half");
      end();
      _exit(77);
    }
    Death death;
    waitpid(child, &death.status, 0);
    death.err = ReadFile(err);
    fs::remove(err);
    return death;
  }

  const TemporaryDirectory directory_;
};

TEST_F(LastWillTest, ASignalEndsTheProcessAsAlwaysAndLeavesNothing) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const Death death = DieAfter([&] { std::signal(signal, SIG_DFL); },
                                 [&] {
                                   SetLastNote("what was measured is kept");
                                   raise(signal);
                                 });
    EXPECT_TRUE(WIFSIGNALED(death.status));
    EXPECT_EQ(WTERMSIG(death.status), signal);
    EXPECT_EQ(death.err, "assay: what was measured is kept\n");
    EXPECT_TRUE(fs::is_empty(directory_.path()));
  }
}

TEST_F(LastWillTest, ASignalThatTheCallerIgnoredStaysIgnored) {
  const Death death = DieAfter([] { std::signal(SIGINT, SIG_IGN); }, [] { raise(SIGINT); });
  EXPECT_TRUE(WIFEXITED(death.status));
  EXPECT_EQ(WEXITSTATUS(death.status), 77);
}

TEST_F(LastWillTest, AMappedFileThatIsShortenedIsOneLine) {
  const fs::path path = directory_ / "model";
  const Death death = DieAfter([&] { WriteFileAtomically(path, std::string(1 << 20, 'x')); },
                               [&] {
                                 const MappedFile map(path);
                                 fs::resize_file(path, 100);
                                 volatile uint8_t last = map.bytes().back();
                                 static_cast<void>(last);
                               });
  ASSERT_TRUE(WIFEXITED(death.status)) << WTERMSIG(death.status);
  EXPECT_EQ(WEXITSTATUS(death.status), 3);
  EXPECT_THAT(death.err, ::testing::StartsWith("assay: " + path.string() + ": the file was shortened"));
  EXPECT_EQ(std::count(death.err.begin(), death.err.end(), '\n'), 1);
  fs::remove(path);
  EXPECT_TRUE(fs::is_empty(directory_.path()));
}

}  // namespace
}  // namespace assay
