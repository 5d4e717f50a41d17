#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace assay {
namespace {

// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(const std::filesystem::path& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (fd_ < 0) Fail(ErrorKind::kBadFile, "{}: cannot open: {}", path.string(), std::strerror(errno));
    struct stat status {};
    if (fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode)) {
      close(fd_);
      Fail(ErrorKind::kBadFile, "{}: not a regular file", path.string());
    }
    size_ = static_cast<size_t>(status.st_size);
  }
  ~Descriptor() { close(fd_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return fd_; }
  size_t size() const { return size_; }

 private:
  int fd_;
  size_t size_ = 0;
};

}  // namespace

std::string ReadFile(const std::filesystem::path& path) {
  const Descriptor file(path);
  std::string text(file.size(), '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = read(file.get(), text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) Fail(ErrorKind::kBadFile, "{}: cannot read: {}", path.string(), std::strerror(errno));
    if (n == 0) break;  // the file shrank while it was read
    done += static_cast<size_t>(n);
  }
  text.resize(done);
  return text;
}

MappedFile::MappedFile(const std::filesystem::path& path) {
  const Descriptor file(path);
  if (file.size() == 0) return;
  void* data = mmap(nullptr, file.size(), PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (data == MAP_FAILED) Fail(ErrorKind::kBadFile, "{}: cannot map: {}", path.string(), std::strerror(errno));
  data_ = static_cast<const uint8_t*>(data);
  size_ = file.size();
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

AtomicFile::AtomicFile(std::filesystem::path path)
    : path_(std::move(path)), temporary_(path_.string() + fmt::format(".part-{}", getpid())) {
  fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) FailWith(errno);
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) {
    close(fd_);
    unlink(temporary_.c_str());
  }
}

void AtomicFile::FailWith(int error) const {
  Fail(ErrorKind::kIo, "{}: cannot write: {}; nothing was left there", path_.string(), std::strerror(error));
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

void AtomicFile::Write(std::string_view text) {
  WriteAll(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

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
