#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace assay {

// The whole of a file as bytes. Throws kBadFile (cannot be opened or read) with the path and the system's reason.
std::string ReadFile(const std::filesystem::path& path);

// A read-only memory map of a whole file; an empty file maps to an empty span. Throws kBadFile. Whoever shortens the
// file while it is mapped kills the reader (SIGBUS): files appear whole through AtomicFile, which never does that.
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
  // Bytes outside of the map are left alone.
  void Forget(std::span<const uint8_t> part) const;

 private:
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

// A file that appears whole or not at all: written beside its final path under a temporary name, synced and renamed by
// Commit(), removed by the destructor without it. What was at the path before stays until then. A symbolic link is
// followed; a directory or device is refused. Throws kIo (no permission, disk full) naming the final path.
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

  std::filesystem::path path_;
  std::string temporary_;
  int fd_ = -1;
  uint64_t size_ = 0;
};

// Writes text as a whole file through AtomicFile.
void WriteFileAtomically(const std::filesystem::path& path, std::string_view text);

}  // namespace assay
