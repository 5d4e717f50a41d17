#include "base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/thread_pool.h"

namespace assay {
namespace {

// Of a map, by one call: so many that the call itself costs nothing beside them.
constexpr size_t kForgottenPages = 512;

std::string Reason(int error) { return std::system_category().message(error); }

[[noreturn]] void FailRead(const std::filesystem::path& path, std::string_view verb, int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      Fail(ErrorKind::kBadFile, "{}: cannot {}: {}; check the name and the folder", path.string(), verb, Reason(error));
    case EACCES:
    case EPERM:
      Fail(ErrorKind::kIo, "{}: cannot {}: {}; ask its owner, or run as a user who may read it", path.string(), verb,
           Reason(error));
    case EMFILE:
    case ENFILE:
      Fail(ErrorKind::kIo, "{}: cannot {}: {}; raise the limit (ulimit -n) or close other programs", path.string(),
           verb, Reason(error));
    case ENOMEM:
      Fail(ErrorKind::kIo, "{}: cannot {}: {}; free memory or raise the limit (ulimit -v)", path.string(), verb,
           Reason(error));
    default:
      Fail(ErrorKind::kBadFile, "{}: cannot {}: {}; check the name and the disk", path.string(), verb, Reason(error));
  }
}

// A descriptor opened for reading that closes itself.
class InputFile {
 public:
  // O_NONBLOCK: opening a FIFO shall not wait for a writer; regular files ignore it.
  explicit InputFile(const std::filesystem::path& path, int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK)
      : fd_(open(path.c_str(), flags)) {
    if (fd_ < 0) FailRead(path, "open", errno);
    if (fstat(fd_, &status_) != 0) {
      close(fd_);
      FailRead(path, "examine", errno);
    }
  }
  ~InputFile() { close(fd_); }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  void RequireRegular(const std::filesystem::path& path) const {
    if (!S_ISREG(status_.st_mode)) Fail(ErrorKind::kBadFile, "{}: not a regular file; name a file", path.string());
  }
  int fd() const { return fd_; }
  size_t size() const { return static_cast<size_t>(status_.st_size); }

 private:
  int fd_;
  struct stat status_ {};
};

// The size is only a first guess: files in /proc say 0. One byte more lets an exact guess meet the end at once.
std::string ReadToEnd(int fd, size_t size, const std::filesystem::path& path) {
  std::string text(size + 1, '\0');
  size_t done = 0;
  for (;;) {
    if (done == text.size()) text.resize(text.size() * 2);
    const ssize_t n = read(fd, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) FailRead(path, "read", errno);
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  text.resize(done);
  return text;
}

// The folder's own name for a path that has none.
std::filesystem::path FolderOf(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

// Whether a link may be followed in order to write: the rule of fs.protected_symlinks, which works only for a program
// that opens the link itself, and not one that resolves it in order to rename a file to its target.
bool MayFollow(const struct stat& link, const std::filesystem::path& path) {
  struct stat folder {};
  if (stat(FolderOf(path).c_str(), &folder) != 0) return true;  // then nothing can be written there either
  const bool shared = (folder.st_mode & S_ISVTX) != 0 && (folder.st_mode & S_IWOTH) != 0;
  return !shared || link.st_uid == geteuid() || link.st_uid == folder.st_uid;
}

// Where a write to `path` really goes. Renaming a file over a symbolic link would replace the link, and over a device
// (root may do that to /dev/null) the device.
std::filesystem::path Destination(const std::filesystem::path& path) {
  constexpr int kMostLinks = 40;  // as the kernel follows
  std::filesystem::path at = path;
  struct stat status {};
  for (int links = 0; lstat(at.c_str(), &status) == 0 && S_ISLNK(status.st_mode); ++links) {
    if (links == kMostLinks) {
      Fail(ErrorKind::kIo, "{}: cannot write: symbolic links that lead in a circle; remove it or choose another name",
           path.string());
    }
    if (!MayFollow(status, at)) {
      Fail(ErrorKind::kIo,
           "{}: cannot write: a symbolic link of another user in a folder that everybody may write to; remove it or "
           "choose another folder",
           path.string());
    }
    std::error_code error;
    const std::filesystem::path target = std::filesystem::read_symlink(at, error);
    if (error) break;  // removed meanwhile
    at = FolderOf(at) / target;
  }
  std::error_code ignored;  // what cannot be examined cannot be opened either, and that error says why
  const std::filesystem::file_status kind = std::filesystem::symlink_status(at, ignored);
  if (std::filesystem::exists(kind) && !std::filesystem::is_regular_file(kind)) {
    Fail(ErrorKind::kIo, "{}: cannot write: it exists and is not a regular file; choose another name", path.string());
  }
  return at;
}

constexpr std::string_view kPart = ".assay-part-";
constexpr std::string_view kTemporaryFolder = ".assay-tmp-";

bool IsNumber(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// "model.gguf.assay-part-1234-0" for "model.gguf"
bool IsPartOf(std::string_view name, std::string_view file) {
  if (!name.starts_with(file) || !name.substr(file.size()).starts_with(kPart)) return false;
  const std::string_view numbers = name.substr(file.size() + kPart.size());
  const size_t dash = numbers.find('-');
  return dash != std::string_view::npos && IsNumber(numbers.substr(0, dash)) && IsNumber(numbers.substr(dash + 1));
}

// Whether what lies there is this user's and nobody holds it: its writer was killed. The lock is held until `fd`
// closes.
bool IsAbandoned(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 && status.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0;
}

// Calls `remove` with each abandoned entry of the folder whose name fits, while its lock is held.
template <typename Fits, typename Remove>
void ForEachAbandoned(const std::filesystem::path& folder, const Fits& fits, const Remove& remove) {
  std::error_code ignored;  // a folder that cannot be listed is not cleaned; writing there tells what is wrong
  for (auto entry = std::filesystem::directory_iterator(folder, ignored);
       !ignored && entry != std::filesystem::directory_iterator(); entry.increment(ignored)) {
    if (!fits(entry->path().filename().string())) continue;
    const int fd = open(entry->path().c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) continue;
    if (IsAbandoned(fd)) remove(entry->path());
    close(fd);
  }
}

void RemoveAbandonedParts(const std::filesystem::path& path) {
  const std::string file = path.filename().string();
  ForEachAbandoned(
      FolderOf(path), [&](const std::string& name) { return IsPartOf(name, file); },
      [](const std::filesystem::path& part) { unlink(part.c_str()); });
}

// False when another process took the new file for an abandoned one between its creation and this.
bool LockOwn(int fd) {
  if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return false;  // a file system without locks will do
  struct stat status {};
  return fstat(fd, &status) == 0 && status.st_nlink > 0;
}

}  // namespace

std::string ReadFile(const std::filesystem::path& path) {
  const InputFile file(path);
  file.RequireRegular(path);
  return ReadToEnd(file.fd(), file.size(), path);
}

std::optional<std::string> FirstLine(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

MappedFile::MappedFile(const std::filesystem::path& path) {
  const InputFile file(path);
  file.RequireRegular(path);
  if (file.size() == 0) return;
  void* data = mmap(nullptr, file.size(), PROT_READ, MAP_PRIVATE, file.fd(), 0);
  if (data == MAP_FAILED) FailRead(path, "map", errno);
  data_ = static_cast<const uint8_t*>(data);
  size_ = file.size();
  watch_ = WatchedMap(data, size_, path.string());
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), size_);
}

void MappedFile::Forget(std::span<const uint8_t> part, ThreadPool& pool) const {
  // Memory that is not the file's would be lost.
  if (part.data() < data_ || part.data() + part.size() > data_ + size_) return;
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const auto begin = static_cast<size_t>(part.data() - data_);
  const size_t first = (begin + page - 1) / page * page;
  const size_t last = (begin + part.size()) / page * page;
  if (first >= last) return;
  const size_t share = kForgottenPages * page;  // of one task
  pool.ParallelFor(static_cast<int64_t>((last - first + share - 1) / share), [&](int64_t i) {
    const size_t from = first + static_cast<size_t>(i) * share;
    // Advice only: where the system refuses, the pages stay.
    (void)madvise(const_cast<uint8_t*>(data_) + from, std::min(share, last - from), MADV_DONTNEED);
  });
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      watch_(std::move(other.watch_)) {}

TextFile::TextFile(const std::filesystem::path& path) {
  if (path == "-") {
    held_ = ReadToEnd(STDIN_FILENO, 0, "standard input");
    return;
  }
  std::error_code ignored;
  if (!std::filesystem::is_fifo(path, ignored)) {
    map_ = std::make_unique<MappedFile>(path);
    return;
  }
  const InputFile pipe(path, O_RDONLY | O_CLOEXEC);  // waits for a writer
  held_ = ReadToEnd(pipe.fd(), 0, path);
}

std::string_view TextFile::text() const {
  if (map_ == nullptr) return held_;
  return {reinterpret_cast<const char*>(map_->bytes().data()), map_->bytes().size()};
}

AtomicFile::AtomicFile(const std::filesystem::path& path) : path_(Destination(path)) {
  RemoveAbandonedParts(path_);
  // A name of its own for each writer, also for two in one process.
  for (int attempt = 0; !TryCreate(attempt); ++attempt) {
  }
  TakePermissions();
}

bool AtomicFile::TryCreate(int attempt) {
  temporary_ = fmt::format("{}{}{}-{}", path_.string(), kPart, getpid(), attempt);
  fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (fd_ < 0 && errno == EEXIST) return false;
  if (fd_ < 0) FailWith(errno);
  if (!LockOwn(fd_)) {
    close(std::exchange(fd_, -1));
    return false;
  }
  doomed_ = std::make_unique<DoomedPath>(temporary_);
  return true;
}

// Those of the file that will be replaced. Another user's are not taken over: in a shared folder he may have put it
// there so that he can write to the new one.
void AtomicFile::TakePermissions() {
  struct stat status {};
  constexpr mode_t kPermissions = S_IRWXU | S_IRWXG | S_IRWXO;
  if (lstat(path_.c_str(), &status) != 0 || status.st_uid != geteuid()) return;
  if (fchmod(fd_, status.st_mode & kPermissions) != 0) FailWith(errno);
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) {
    unlink(temporary_.c_str());
    close(fd_);
  }
}

void AtomicFile::FailWith(int error) const {
  Fail(ErrorKind::kIo, "{}: cannot write: {}; nothing was left there: make room, or choose another place",
       path_.string(), Reason(error));
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
  // Renamed under the lock: after it, another writer of this path would take the file for an abandoned one.
  if (rename(temporary_.c_str(), path_.c_str()) != 0) FailWith(errno);
  doomed_.reset();
  // All was synced: nothing that close() could still report concerns the contents.
  close(std::exchange(fd_, -1));
}

void WriteFileAtomically(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.Write(text);
  file.Commit();
}

TemporaryFolder::TemporaryFolder(const std::filesystem::path& parent) {
  ForEachAbandoned(
      parent, [](const std::string& name) { return name.starts_with(kTemporaryFolder); },
      [](const std::filesystem::path& folder) {
        std::error_code ignored;
        std::filesystem::remove_all(folder, ignored);
      });
  do {
    if (lock_ >= 0) close(lock_);
    std::string name = (parent / fmt::format("{}XXXXXX", kTemporaryFolder)).string();
    if (mkdtemp(name.data()) == nullptr) {
      Fail(ErrorKind::kIo, "{}: cannot make a folder for temporary files there: {}; choose another place",
           parent.string(), Reason(errno));
    }
    path_ = name;
    lock_ = open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  } while (lock_ >= 0 && !LockOwn(lock_));
  doomed_ = std::make_unique<DoomedPath>(path_.string());
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
  if (lock_ >= 0) close(lock_);
}

}  // namespace assay
