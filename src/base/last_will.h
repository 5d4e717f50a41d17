#pragma once

#include <cstddef>
#include <string>
#include <utility>

namespace assay {

// What is still done when a signal ends the process: files that are only half there are removed, and a memory map whose
// file was shortened (SIGBUS) becomes one line and exit code 3. Without InstallLastWill() the entries have no effect.

// A path that is removed when a signal ends the process while the entry lives. Its text must not change meanwhile.
class DoomedPath {
 public:
  explicit DoomedPath(std::string path);  // a file or an empty folder; folders go after what was doomed later
  ~DoomedPath();
  DoomedPath(const DoomedPath&) = delete;
  DoomedPath& operator=(const DoomedPath&) = delete;

 private:
  std::string path_;
  int slot_;
};

// Bytes of a mapped file, for the message.
class WatchedMap {
 public:
  WatchedMap() = default;
  WatchedMap(const void* begin, size_t size, std::string name);
  ~WatchedMap();
  WatchedMap(WatchedMap&& other) noexcept : slot_(std::exchange(other.slot_, -1)) {}
  WatchedMap& operator=(WatchedMap&& other) noexcept {
    std::swap(slot_, other.slot_);
    return *this;
  }
  WatchedMap(const WatchedMap&) = delete;
  WatchedMap& operator=(const WatchedMap&) = delete;

 private:
  int slot_ = -1;
};

// SIGINT, SIGTERM and SIGHUP end the process as they always do, after the doomed paths are gone; one that the caller
// had ignored stays ignored (nohup, background jobs of a shell). `note` is told as one line when one of them comes.
void InstallLastWill();
void SetLastNote(std::string note);

}  // namespace assay
