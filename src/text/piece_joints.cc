#include "text/piece_joints.h"

#include <algorithm>

#include "text/utf8.h"

namespace assay {
namespace {

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581

}  // namespace

PieceJoints::PieceJoints() : joined_(size_t{kClasses} * kClasses / 64) {}

// ASCII and the space mark have classes of their own: they are where words end.
uint32_t PieceJoints::ClassAt(std::string_view text, size_t position, size_t& size) {
  const auto lead = static_cast<uint8_t>(text[position]);
  size = 1;
  if (lead < 0x80) return lead;
  size = std::max<size_t>(1, Utf8CharLength(text, position));
  const std::string_view character = text.substr(position, size);
  if (character == kSpaceMark) return kClasses - 1;
  uint32_t hash = 0;
  for (const char byte : character) hash = (hash ^ static_cast<uint8_t>(byte)) * 0x01000193u;
  return 0x80 + (hash >> 8) % (kClasses - 0x81);
}

void PieceJoints::Add(std::string_view piece) {
  size_t size = 0;
  uint32_t left = 0;
  for (size_t position = 0; position < piece.size(); position += size) {
    const uint32_t right = ClassAt(piece, position, size);
    const uint32_t pair = left * kClasses + right;
    if (position > 0) joined_[pair / 64] |= uint64_t{1} << pair % 64;
    left = right;
  }
}

size_t PieceJoints::FirstPart(std::string_view text) const {
  size_t size = 0;
  uint32_t left = 0;
  for (size_t position = 0; position < text.size(); position += size) {
    const uint32_t right = ClassAt(text, position, size);
    const uint32_t pair = left * kClasses + right;
    if (position > 0 && (joined_[pair / 64] >> pair % 64 & 1) == 0) return position;
    left = right;
  }
  return text.size();
}

}  // namespace assay
