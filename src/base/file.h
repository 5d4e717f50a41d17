#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/last_will.h"

namespace assay {

class ThreadPool;

// Errors of reading: kBadFile for what is not there or no file, kIo for what the system refuses (no permission, too
// many open files, no memory); with the path and the system's reason.

// The whole of a regular file as bytes.
std::string ReadFile(const std::filesystem::path& path);

// The first line of a small file, such as those of /sys; nothing where it cannot be read.
std::optional<std::string> FirstLine(const std::filesystem::path& path);

// A read-only memory map of a whole regular file; an empty file maps to an empty span. A file that is shortened while
// it is mapped ends the process with one line (last_will.h).
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const uint8_t> bytes() const { return {data_, size_}; }
  // Takes the whole pages of a part out of this process's memory; they come back from the file when they are read.
  // Bytes outside of the map are left alone. Large parts are shared out to the pool's threads.
  void Forget(std::span<const uint8_t> part, ThreadPool& pool) const;

 private:
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  WatchedMap watch_;
};

// A text that the user named: a regular file, mapped; a pipe ("<(...)") or "-", standard input, read to its end.
class TextFile {
 public:
  explicit TextFile(const std::filesystem::path& path);
  std::string_view text() const;

 private:
  std::unique_ptr<MappedFile> map_;
  std::string held_;  // without a map
};

// A file that appears whole or not at all: written beside its final path under a temporary name, synced and renamed by
// Commit(), removed by the destructor without it and by signals that end the process. What was at the path before stays
// until then; its permissions are kept when it is the user's own. What killed writers of the same path left beside it
// is removed first; a lock tells those from living ones.
//
// A directory or device is refused. A symbolic link is followed under the kernel's rule (fs.protected_symlinks): not
// one of another user in a sticky folder that everybody may write to. Throws kIo naming the final path.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void Write(std::span<const uint8_t> bytes);
  void Write(std::string_view text);
  uint64_t size() const { return size_; }
  void Commit();

 private:
  [[noreturn]] void FailWith(int error) const;
  void WriteAll(const uint8_t* data, size_t size);
  bool TryCreate(int attempt);
  void TakePermissions();

  std::filesystem::path path_;
  std::string temporary_;
  std::unique_ptr<DoomedPath> doomed_;
  int fd_ = -1;
  uint64_t size_ = 0;
};

// Writes text as a whole file through AtomicFile.
void WriteFileAtomically(const std::filesystem::path& path, std::string_view text);

// A folder of a name that nobody can guess, for this user alone; it goes with all files in it, also by a signal that
// ends the process. Those that killed processes left in the same place are removed first. Throws kIo.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::filesystem::path& parent);
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::unique_ptr<DoomedPath> doomed_;
  int lock_ = -1;
};

}  // namespace assay
