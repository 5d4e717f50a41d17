#include "base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/testing/temporary_directory.h"
#include "base/thread_pool.h"

namespace assay {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr uid_t kNobody = 65534;

// A directory of its own for each test, removed afterwards.
class FileTest : public ::testing::Test {
 protected:
  fs::path Path(const std::string& name) const { return directory_ / name; }

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory_.path()))
      names.push_back(entry.path().filename().string());
    return names;
  }

  const TemporaryDirectory directory_;
};

// Runs `action`, which must throw an Error of this kind; returns its message.
template <typename Action>
std::string ErrorOf(ErrorKind kind, const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

TEST_F(FileTest, WhatIsWrittenIsReadBack) {
  std::string text = "first line\nnull:";
  text.push_back('\0');
  text += std::string(100'000, 'x');
  WriteFileAtomically(Path("a"), text);
  EXPECT_EQ(ReadFile(Path("a")), text);
  const MappedFile mapped(Path("a"));
  EXPECT_EQ(std::string(mapped.bytes().begin(), mapped.bytes().end()), text);
  EXPECT_THAT(Names(), ::testing::ElementsAre("a"));
}

TEST_F(FileTest, AnEmptyFileIsAnEmptyTextAndAnEmptyMap) {
  WriteFileAtomically(Path("empty"), "");
  EXPECT_EQ(ReadFile(Path("empty")), "");
  EXPECT_TRUE(MappedFile(Path("empty")).bytes().empty());
}

TEST_F(FileTest, FilesOfTheKernelWithoutASizeAreReadWhole) {
  if (!fs::exists("/proc/self/status")) GTEST_SKIP() << "/proc is not mounted";
  EXPECT_THAT(ReadFile("/proc/self/status"), HasSubstr("Name:"));
}

TEST_F(FileTest, ReadingWhatIsNotThereOrNotAFileSaysSo) {
  EXPECT_THAT(ErrorOf(ErrorKind::kBadFile, [&] { ReadFile(Path("none")); }), HasSubstr("No such file"));
  EXPECT_THAT(ErrorOf(ErrorKind::kBadFile, [&] { MappedFile{Path("none")}; }), HasSubstr(Path("none").string()));
  EXPECT_THAT(ErrorOf(ErrorKind::kBadFile, [&] { ReadFile(directory_.path()); }), HasSubstr("not a regular file"));
  EXPECT_THAT(ErrorOf(ErrorKind::kBadFile, [&] { MappedFile{directory_.path()}; }), HasSubstr("not a regular file"));
}

TEST_F(FileTest, AFifoIsRefusedInsteadOfWaitedFor) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  EXPECT_THAT(ErrorOf(ErrorKind::kBadFile, [&] { ReadFile(Path("fifo")); }), HasSubstr("not a regular file"));
}

TEST_F(FileTest, ForgottenPartsOfAMapComeBackAndOtherMemoryIsLeftAlone) {
  const std::string text(8'000'000, 'x');
  WriteFileAtomically(Path("a"), text);
  const MappedFile mapped(Path("a"));
  ThreadPool pool(3);
  for (const size_t offset : {size_t{0}, size_t{1}, size_t{5000}, size_t{7'999'999}}) {
    mapped.Forget(mapped.bytes().subspan(offset), pool);
    EXPECT_TRUE(std::ranges::all_of(mapped.bytes(), [](uint8_t byte) { return byte == 'x'; })) << offset;
  }
  const std::vector<uint8_t> own(10'000'000, 7);
  mapped.Forget(own, pool);
  EXPECT_TRUE(std::ranges::all_of(own, [](uint8_t byte) { return byte == 7; }));
}

TEST_F(FileTest, ForgettingTakesAllWholePagesOfAPartOutOfMemory) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t pages = 2000;
  WriteFileAtomically(Path("a"), std::string(pages * page, 'x'));
  const MappedFile mapped(Path("a"));
  ThreadPool pool(2);
  const auto resident_bytes = [&] {  // of the map, as the system counts them
    std::ifstream maps("/proc/self/smaps");
    size_t found = 0;
    bool ours = false;
    for (std::string line; std::getline(maps, line);) {
      if (line.find(Path("a").string()) != std::string::npos) ours = true;
      if (ours && line.starts_with("Rss:")) {
        found = std::stoul(line.substr(4)) * 1024;
        break;
      }
    }
    return found;
  };
  ASSERT_TRUE(std::ranges::all_of(mapped.bytes(), [](uint8_t byte) { return byte == 'x'; }));
  ASSERT_GT(resident_bytes(), 2 * page);
  mapped.Forget(mapped.bytes().subspan(page / 2, (pages - 1) * page), pool);
  EXPECT_LE(resident_bytes(), 2 * page);
}

TEST_F(FileTest, AMapMovesWithoutBeingUnmappedTwice) {
  WriteFileAtomically(Path("a"), "abc");
  MappedFile first(Path("a"));
  const MappedFile second(std::move(first));
  EXPECT_EQ(std::string(second.bytes().begin(), second.bytes().end()), "abc");
}

TEST_F(FileTest, NothingIsVisibleBeforeCommitAndAllOfItAfter) {
  WriteFileAtomically(Path("out"), "old");
  {
    AtomicFile file(Path("out"));
    file.Write("new, ");
    file.Write(std::vector<uint8_t>{'a', 'b'});
    EXPECT_EQ(file.size(), 7U);
    EXPECT_EQ(ReadFile(Path("out")), "old");
    file.Commit();
  }
  EXPECT_EQ(ReadFile(Path("out")), "new, ab");
  EXPECT_THAT(Names(), ::testing::ElementsAre("out"));
}

TEST_F(FileTest, AnExceptionLeavesNothingBehind) {
  try {
    AtomicFile file(Path("out"));
    file.Write("half of it");
    throw std::runtime_error("in the middle");
  } catch (const std::runtime_error&) {
  }
  EXPECT_THAT(Names(), ::testing::IsEmpty());
}

TEST_F(FileTest, AFullDiskIsAnErrorAndLeavesTheOldFile) {
  WriteFileAtomically(Path("out"), "old");
  // A limit on the size of files stands for a full disk: both make write() fail half-way.
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto previous = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{4096, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  const std::string message =
      ErrorOf(ErrorKind::kIo, [&] { WriteFileAtomically(Path("out"), std::string(100'000, 'x')); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, previous);
  EXPECT_THAT(message, HasSubstr(Path("out").string()));
  EXPECT_EQ(ReadFile(Path("out")), "old");
  EXPECT_THAT(Names(), ::testing::ElementsAre("out"));
}

TEST_F(FileTest, WritingWithoutPermissionIsAnErrorThatNamesTheFile) {
  fs::permissions(directory_.path(), fs::perms::owner_read | fs::perms::owner_exec);
  const uid_t user = geteuid();
  if (user == 0 && (chown(directory_.path().c_str(), kNobody, kNobody) != 0 || seteuid(kNobody) != 0)) {
    GTEST_SKIP() << "root, to whom all is permitted, and no way to become another user";
  }
  const std::string message = ErrorOf(ErrorKind::kIo, [&] { AtomicFile{Path("out")}; });
  ASSERT_EQ(seteuid(user), 0);
  fs::permissions(directory_.path(), fs::perms::owner_all);
  EXPECT_THAT(message, HasSubstr(Path("out").string()));
  EXPECT_THAT(message, HasSubstr("Permission denied"));
  EXPECT_THAT(Names(), ::testing::IsEmpty());
}

TEST_F(FileTest, AMissingDirectoryIsAnError) {
  EXPECT_THAT(ErrorOf(ErrorKind::kIo, [&] { AtomicFile{Path("no/such/out")}; }), HasSubstr("No such file"));
}

TEST_F(FileTest, TwoWritersOfOneFileDoNotMix) {
  AtomicFile first(Path("out"));
  AtomicFile second(Path("out"));
  first.Write("first");
  second.Write("second");
  first.Commit();
  EXPECT_EQ(ReadFile(Path("out")), "first");
  second.Commit();
  EXPECT_EQ(ReadFile(Path("out")), "second");
  EXPECT_THAT(Names(), ::testing::ElementsAre("out"));
}

TEST_F(FileTest, ALinkIsFollowedAndStays) {
  WriteFileAtomically(Path("target"), "old");
  fs::create_symlink("target", Path("link"));
  WriteFileAtomically(Path("link"), "new");
  EXPECT_TRUE(fs::is_symlink(Path("link")));
  EXPECT_EQ(ReadFile(Path("target")), "new");
}

// What the shell does with "> link".
TEST_F(FileTest, ADanglingLinkIsWrittenAtItsTargetAndACircleIsRefused) {
  fs::create_symlink("target", Path("link"));
  WriteFileAtomically(Path("link"), "new");
  EXPECT_TRUE(fs::is_symlink(Path("link")));
  EXPECT_EQ(ReadFile(Path("target")), "new");
  fs::create_symlink("b", Path("a"));
  fs::create_symlink("a", Path("b"));
  EXPECT_THAT(ErrorOf(ErrorKind::kIo, [&] { AtomicFile{Path("a")}; }), HasSubstr("circle"));
}

// fs.protected_symlinks, for a program that renames.
TEST_F(FileTest, ALinkThatAnotherUserPlantedInASharedFolderIsNotFollowed) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can make files of another user";
  fs::create_directory(Path("shared"));
  ASSERT_EQ(chmod(Path("shared").c_str(), 01777), 0);
  WriteFileAtomically(Path("victim"), "old");
  fs::create_symlink("../victim", Path("shared/out"));
  WriteFileAtomically(Path("shared/out"), "own links are followed");
  ASSERT_EQ(lchown(Path("shared/out").c_str(), kNobody, kNobody), 0);
  EXPECT_THAT(ErrorOf(ErrorKind::kIo, [&] { WriteFileAtomically(Path("shared/out"), "x"); }),
              HasSubstr("link of another user"));
  fs::create_symlink("shared/out", Path("indirect"));
  EXPECT_THAT(ErrorOf(ErrorKind::kIo, [&] { WriteFileAtomically(Path("indirect"), "x"); }),
              HasSubstr("link of another user"));
  EXPECT_EQ(ReadFile(Path("victim")), "own links are followed");
}

TEST_F(FileTest, APrivateFileStaysPrivateAndAnothersPermissionsAreNotTaken) {
  WriteFileAtomically(Path("out"), "old");
  ASSERT_EQ(chmod(Path("out").c_str(), 0600), 0);
  WriteFileAtomically(Path("out"), "new");
  EXPECT_EQ(fs::status(Path("out")).permissions(), fs::perms(0600));
  if (geteuid() != 0) GTEST_SKIP() << "only root can make files of another user";
  ASSERT_EQ(chmod(Path("out").c_str(), 0666), 0);
  ASSERT_EQ(chown(Path("out").c_str(), kNobody, kNobody), 0);
  WriteFileAtomically(Path("out"), "newer");
  EXPECT_EQ(fs::status(Path("out")).permissions() & fs::perms::others_write, fs::perms::none);
}

// The next writer of a file removes what a killed one left, and nothing else.
TEST_F(FileTest, PartsOfKilledWritersGoAndThoseOfLivingOnesStay) {
  WriteFileAtomically(Path("out.assay-part-1-0"), "left by a process that was killed");
  WriteFileAtomically(Path("out.assay-part-notes"), "a user's");
  WriteFileAtomically(Path("other.assay-part-1-0"), "of another file");
  AtomicFile living(Path("out"));
  living.Write("living");
  WriteFileAtomically(Path("out"), "done");
  living.Commit();
  EXPECT_EQ(ReadFile(Path("out")), "living");
  EXPECT_THAT(Names(), ::testing::UnorderedElementsAre("out", "out.assay-part-notes", "other.assay-part-1-0"));
}

TEST_F(FileTest, ATextMayComeFromAPipe) {
  WriteFileAtomically(Path("text"), "from a file");
  EXPECT_EQ(TextFile(Path("text")).text(), "from a file");
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  std::thread writer([&] { std::ofstream(Path("fifo")) << std::string(100'000, 'x'); });
  EXPECT_EQ(TextFile(Path("fifo")).text(), std::string(100'000, 'x'));
  writer.join();
  EXPECT_THAT(ErrorOf(ErrorKind::kBadFile, [&] { TextFile{directory_.path()}; }), HasSubstr("not a regular file"));
}

TEST_F(FileTest, TemporaryFoldersGoWithTheirFilesAlsoThoseOfKilledProcesses) {
  fs::create_directory(Path(".assay-tmp-abcdef"));
  WriteFileAtomically(Path(".assay-tmp-abcdef/file"), "left by a process that was killed");
  {
    const TemporaryFolder first(directory_.path());
    const TemporaryFolder second(directory_.path());
    WriteFileAtomically(first.path() / "file", "x");
    EXPECT_EQ(fs::status(first.path()).permissions(), fs::perms::owner_all);
    EXPECT_THAT(Names(), ::testing::SizeIs(2));
  }
  EXPECT_THAT(Names(), ::testing::IsEmpty());
}

TEST_F(FileTest, DirectoriesAndDevicesAreNeverReplaced) {
  EXPECT_THAT(ErrorOf(ErrorKind::kIo, [&] { AtomicFile{directory_.path()}; }), HasSubstr("not a regular file"));
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  EXPECT_THAT(ErrorOf(ErrorKind::kIo, [&] { AtomicFile{Path("fifo")}; }), HasSubstr("not a regular file"));
  EXPECT_TRUE(fs::is_fifo(Path("fifo")));
}

}  // namespace
}  // namespace assay
