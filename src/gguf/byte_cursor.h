#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/error.h"

namespace assay {

// Reads little-endian values from untrusted bytes: whatever it gives out has been checked against what remains. Throws
// kBadFile that names the source, what was being read and where.
class ByteCursor {
 public:
  // `source` names the bytes in messages; both must outlive the cursor.
  ByteCursor(std::span<const uint8_t> bytes, std::string_view source) : bytes_(bytes), source_(source) {}

  std::string_view source() const { return source_; }
  uint64_t position() const { return position_; }
  uint64_t remaining() const { return bytes_.size() - position_; }

  template <typename T>
  T Read(std::string_view what) {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>);
    T value;
    std::memcpy(&value, Take(sizeof(T), what).data(), sizeof(T));
    return value;
  }

  std::string ReadString(std::string_view what) {
    const auto length = Read<uint64_t>(what);
    const std::span<const uint8_t> text = Take(length, what);
    return {text.begin(), text.end()};
  }

  std::span<const uint8_t> Take(uint64_t count, std::string_view what) {
    if (count > remaining()) {
      Fail(ErrorKind::kBadFile, "{}: truncated or damaged: {} at byte {} needs {} bytes, {} remain; {}", source_, what,
           position_, count, remaining(), kGetAgain);
    }
    const std::span<const uint8_t> taken = bytes_.subspan(position_, count);
    position_ += count;
    return taken;
  }

  // Refuses a count of elements that cannot fit in what remains, before anything is allocated for them.
  void CheckCount(uint64_t count, uint64_t least_bytes_each, std::string_view what) const {
    if (count > remaining() / least_bytes_each) {
      Fail(ErrorKind::kBadFile, "{}: truncated or damaged: {} {} cannot fit in the {} bytes that remain at byte {}; {}",
           source_, count, what, remaining(), position_, kGetAgain);
    }
  }

 private:
  std::span<const uint8_t> bytes_;
  std::string_view source_;
  uint64_t position_ = 0;
};

}  // namespace assay
