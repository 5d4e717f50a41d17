#include "base/last_will.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>

namespace assay {
namespace {

// The handlers may neither lock nor allocate: they read slots whose pointers are set last and cleared first.
struct MapEntry {
  uintptr_t begin = 0, end = 0;
  std::string name;
};

// More at a time than any command has; an entry that finds no slot is not watched over, which costs only tidiness.
std::array<std::atomic<const char*>, 256> doomed{};
std::array<std::atomic<const MapEntry*>, 4096> maps{};
std::atomic<const char*> last_note{nullptr};

template <typename T, size_t kSlots>
int TakeSlot(std::array<std::atomic<const T*>, kSlots>& slots, const T* entry) {
  // From the last one that is in use on: what was doomed later lies behind, and is removed earlier.
  size_t begin = kSlots;
  while (begin > 0 && slots[begin - 1].load() == nullptr) --begin;
  for (size_t i = begin; i < begin + kSlots; ++i) {
    const T* free = nullptr;
    if (slots[i % kSlots].compare_exchange_strong(free, entry)) return static_cast<int>(i % kSlots);
  }
  return -1;
}

void RemoveDoomed() {
  for (size_t i = doomed.size(); i-- > 0;) {
    const char* path = doomed[i].load();
    if (path != nullptr && unlink(path) != 0) rmdir(path);
  }
}

void WriteText(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(STDERR_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    text.remove_prefix(static_cast<size_t>(n));
  }
}

// On a terminal a progress bar may stand in the line.
void BeginLine() {
  if (isatty(STDERR_FILENO) != 0) WriteText("\r\x1B[K");
  WriteText("assay: ");
}

[[noreturn]] void DieOf(int signal) {
  std::signal(signal, SIG_DFL);
  sigset_t only{};
  sigemptyset(&only);
  sigaddset(&only, signal);
  raise(signal);
  pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
  _exit(128 + signal);
}

void OnEnd(int signal) {
  RemoveDoomed();
  if (const char* note = last_note.load(); note != nullptr) {
    BeginLine();
    WriteText(note);
    WriteText("\n");
  }
  DieOf(signal);
}

void OnBusError(int signal, siginfo_t* info, void* /*context*/) {
  const auto at = reinterpret_cast<uintptr_t>(info->si_addr);
  for (const std::atomic<const MapEntry*>& slot : maps) {
    const MapEntry* map = slot.load();
    if (map == nullptr || at < map->begin || at >= map->end) continue;
    RemoveDoomed();
    BeginLine();
    WriteText(map->name);
    WriteText(": the file was shortened, or its disk failed, while it was in use; restore it and run again\n");
    _exit(3);
  }
  RemoveDoomed();
  DieOf(signal);
}

}  // namespace

DoomedPath::DoomedPath(std::string path) : path_(std::move(path)), slot_(TakeSlot(doomed, path_.c_str())) {}

DoomedPath::~DoomedPath() {
  if (slot_ >= 0) doomed[static_cast<size_t>(slot_)] = nullptr;
}

WatchedMap::WatchedMap(const void* begin, size_t size, std::string name) {
  const auto first = reinterpret_cast<uintptr_t>(begin);
  // What a signal handler writes goes to a terminal as it is.
  for (char& c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7F) c = '?';
  }
  auto entry = std::make_unique<const MapEntry>(MapEntry{first, first + size, std::move(name)});
  slot_ = TakeSlot(maps, entry.get());
  if (slot_ >= 0) entry.release();  // NOLINT(bugprone-unused-return-value): the slot owns it
}

WatchedMap::~WatchedMap() {
  if (slot_ >= 0) delete maps[static_cast<size_t>(slot_)].exchange(nullptr);
}

void InstallLastWill() {
  struct sigaction action {};
  sigemptyset(&action.sa_mask);
  action.sa_handler = OnEnd;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&action.sa_mask, signal);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before {};
    if (sigaction(signal, nullptr, &before) == 0 && before.sa_handler != SIG_IGN) sigaction(signal, &action, nullptr);
  }
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &action, nullptr);
}

void SetLastNote(std::string note) {
  static std::mutex mutex;
  static std::string held;
  const std::scoped_lock lock(mutex);
  last_note = nullptr;
  held = std::move(note);
  last_note = held.c_str();
}

}  // namespace assay
