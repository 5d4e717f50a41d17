#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace assay {

// The length (1 to 4) of the well-formed UTF-8 character that starts at `position`, or 0 when there is none: stray
// continuation bytes, overlong forms, surrogates, values past U+10FFFF and truncated characters (Unicode, table 3-7).
size_t Utf8CharLength(std::string_view text, size_t position);

// The code point of the well-formed character that starts at `position`.
uint32_t Utf8CodePoint(std::string_view text, size_t position);

}  // namespace assay
