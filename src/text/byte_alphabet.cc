#include "text/byte_alphabet.h"

namespace assay {

ByteAlphabet::ByteAlphabet() {
  byte_of_.fill(-1);
  size_t next = 0x100;
  for (int16_t byte = 0; byte < 256; ++byte) {
    const bool prints = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
    byte_of_[prints ? static_cast<size_t>(byte) : next++] = byte;
  }
}

std::optional<std::string> ByteAlphabet::Bytes(std::string_view text) const {
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    size_t code = static_cast<uint8_t>(text[i]);
    if (code >= 0x80) {  // the alphabet ends at U+0143: two bytes
      const bool complete = i + 1 < text.size() && (static_cast<uint8_t>(text[i + 1]) & 0xC0) == 0x80;
      if (code < 0xC2 || code > 0xC5 || !complete) return std::nullopt;
      code = (code & 0x1F) << 6 | (static_cast<uint8_t>(text[++i]) & 0x3F);
    }
    if (code >= byte_of_.size() || byte_of_[code] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(byte_of_[code]));
  }
  return bytes;
}

}  // namespace assay
