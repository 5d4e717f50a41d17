#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace assay {

// A 64-bit hash of a sequence of byte strings: words are mixed in by multiplication and xor-shift, with the constants
// of splitmix64. It tells files apart; it keeps nobody out.
class Hash {
 public:
  void Add(std::span<const uint8_t> bytes) { Add(bytes.data(), bytes.size()); }
  void Add(std::string_view text) { Add(text.data(), text.size()); }
  uint64_t value() const { return state_; }

 private:
  void Add(const void* bytes, size_t size) {
    for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
      uint64_t word = 0;
      std::memcpy(&word, static_cast<const char*>(bytes) + at, std::min(sizeof(word), size - at));
      Mix(word);
    }
    Mix(size);
  }

  void Mix(uint64_t word) {
    state_ = (state_ ^ word) + 0x9E3779B97F4A7C15ULL;
    state_ = (state_ ^ (state_ >> 30)) * 0xBF58476D1CE4E5B9ULL;
    state_ = (state_ ^ (state_ >> 27)) * 0x94D049BB133111EBULL;
    state_ ^= state_ >> 31;
  }

  uint64_t state_ = 0;
};

}  // namespace assay
