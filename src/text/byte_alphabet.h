#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace assay {

// The printable alphabet in which byte-level BPE vocabularies are written (GPT-2, encoder.py): a byte that Latin-1
// prints without doubt stands for itself, the other 68 stand, in order, for U+0100 and the characters after it.
class ByteAlphabet {
 public:
  ByteAlphabet();

  // The bytes that a token's text stands for; nothing when a character is outside the alphabet.
  std::optional<std::string> Bytes(std::string_view text) const;

 private:
  std::array<int16_t, 0x144> byte_of_{};  // by code point; -1: none
};

}  // namespace assay
