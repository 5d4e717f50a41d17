#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace assay {
namespace {

std::string Reason(int error) { return std::system_category().message(error); }

// A regular file, opened for reading, that closes itself.
class InputFile {
 public:
  // O_NONBLOCK: opening a FIFO shall be refused below, not wait for a writer; regular files ignore it.
  explicit InputFile(const std::filesystem::path& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (fd_ < 0) Fail(ErrorKind::kBadFile, "{}: cannot open: {}", path.string(), Reason(errno));
    struct stat status {};
    if (fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode)) {
      close(fd_);
      Fail(ErrorKind::kBadFile, "{}: not a regular file", path.string());
    }
    size_ = static_cast<size_t>(status.st_size);
  }
  ~InputFile() { close(fd_); }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  int fd() const { return fd_; }
  size_t size() const { return size_; }

 private:
  int fd_;
  size_t size_ = 0;
};

// Where a write to `path` really goes. Renaming a file over a symbolic link would replace the link, and over a device
// (root may do that to /dev/null) the device.
std::filesystem::path Destination(const std::filesystem::path& path) {
  std::error_code ignored;  // what cannot be examined cannot be opened either, and that error says why
  const std::filesystem::file_status status = std::filesystem::status(path, ignored);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    Fail(ErrorKind::kIo, "{}: cannot write: it exists and is not a regular file; choose another name", path.string());
  }
  if (!std::filesystem::is_symlink(std::filesystem::symlink_status(path, ignored))) return path;
  std::filesystem::path target = std::filesystem::weakly_canonical(path, ignored);
  return ignored ? path : target;
}

}  // namespace

std::string ReadFile(const std::filesystem::path& path) {
  const InputFile file(path);
  // The size is only a first guess: files in /proc say 0. One byte more lets an exact guess meet the end at once.
  std::string text(file.size() + 1, '\0');
  size_t done = 0;
  for (;;) {
    if (done == text.size()) text.resize(text.size() * 2);
    const ssize_t n = read(file.fd(), text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) Fail(ErrorKind::kBadFile, "{}: cannot read: {}", path.string(), Reason(errno));
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  text.resize(done);
  return text;
}

MappedFile::MappedFile(const std::filesystem::path& path) {
  const InputFile file(path);
  if (file.size() == 0) return;
  void* data = mmap(nullptr, file.size(), PROT_READ, MAP_PRIVATE, file.fd(), 0);
  if (data == MAP_FAILED) Fail(ErrorKind::kBadFile, "{}: cannot map: {}", path.string(), Reason(errno));
  data_ = static_cast<const uint8_t*>(data);
  size_ = file.size();
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), size_);
}

void MappedFile::Forget(std::span<const uint8_t> part) const {
  // Memory that is not the file's would be lost.
  if (part.data() < data_ || part.data() + part.size() > data_ + size_) return;
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const auto begin = static_cast<size_t>(part.data() - data_);
  const size_t first = (begin + page - 1) / page * page;
  const size_t last = (begin + part.size()) / page * page;
  // Advice only: where the system refuses, the pages stay.
  if (first < last) (void)madvise(const_cast<uint8_t*>(data_) + first, last - first, MADV_DONTNEED);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

AtomicFile::AtomicFile(const std::filesystem::path& path) : path_(Destination(path)) {
  // A name of its own for each writer, also for two in one process and for what a killed one left behind.
  for (int attempt = 0; fd_ < 0; ++attempt) {
    temporary_ = fmt::format("{}.part-{}-{}", path_.string(), getpid(), attempt);
    fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ < 0 && errno != EEXIST) FailWith(errno);
  }
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) {
    close(fd_);
    unlink(temporary_.c_str());
  }
}

void AtomicFile::FailWith(int error) const {
  Fail(ErrorKind::kIo, "{}: cannot write: {}; nothing was left there", path_.string(), Reason(error));
}

void AtomicFile::WriteAll(const uint8_t* data, size_t size) {
  while (size > 0) {
    const ssize_t n = write(fd_, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) FailWith(errno);
    data += n;
    size -= static_cast<size_t>(n);
    size_ += static_cast<uint64_t>(n);
  }
}

void AtomicFile::Write(std::span<const uint8_t> bytes) { WriteAll(bytes.data(), bytes.size()); }

void AtomicFile::Write(std::string_view text) { WriteAll(reinterpret_cast<const uint8_t*>(text.data()), text.size()); }

void AtomicFile::Commit() {
  if (fsync(fd_) != 0 && errno != EINVAL) FailWith(errno);
  const int fd = std::exchange(fd_, -1);
  if (close(fd) != 0 || rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int error = errno;
    unlink(temporary_.c_str());
    FailWith(error);
  }
}

void WriteFileAtomically(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.Write(text);
  file.Commit();
}

}  // namespace assay
