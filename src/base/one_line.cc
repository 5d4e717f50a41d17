#include "base/one_line.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace assay {
namespace {

struct Character {
  size_t bytes = 0;  // 0: not UTF-8
  uint32_t code = 0;
};

Character CharacterAt(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  if (first < 0x80) return {1, first};
  const size_t bytes = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  constexpr std::array<uint32_t, 5> kLeast = {0, 0, 0x80, 0x800, 0x10000};
  if (first < 0xC2 || first > 0xF4 || at + bytes > text.size()) return {};
  uint32_t code = first & (0x7FU >> bytes);
  for (size_t i = at + 1; i < at + bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3FU);
  }
  if (code < kLeast[bytes] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return {};
  return {bytes, code};
}

bool IsShown(uint32_t code) {
  if (code < 0x20 || (code >= 0x7F && code < 0xA0)) return false;
  const auto in = [code](uint32_t first, uint32_t last) { return code >= first && code <= last; };
  // Zero width and direction marks, line and paragraph separators, embeddings, overrides, isolates, byte order mark.
  return !(code == 0x61C || in(0x200B, 0x200F) || in(0x2028, 0x202E) || in(0x2060, 0x206F) || code == 0xFEFF);
}

}  // namespace

std::string OneLine(std::string_view text) {
  std::string line;
  line.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const auto [bytes, code] = CharacterAt(text, at);
    if (code == '\n') {
      line += ' ';
    } else if (bytes == 0 || !IsShown(code)) {
      line += '?';
    } else {
      line += text.substr(at, bytes);
    }
    at += bytes == 0 ? 1 : bytes;
  }
  return line;
}

bool IsUtf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = CharacterAt(text, at).bytes;
    if (bytes == 0) return false;
    at += bytes;
  }
  return true;
}

}  // namespace assay
