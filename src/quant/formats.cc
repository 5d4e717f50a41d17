#include "quant/formats.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/error.h"
#include "quant/codecs.h"

namespace assay {
namespace {

constexpr std::array kFormats = {
    FormatTraits{Format::kF32, "F32", 1, 4, DecodeF32, EncodeF32},
    FormatTraits{Format::kF16, "F16", 1, 2, DecodeF16, EncodeF16},
    FormatTraits{Format::kQ4_0, "Q4_0", 32, 18, DecodeQ4_0, EncodeQ4_0},
    FormatTraits{Format::kQ4_1, "Q4_1", 32, 20, DecodeQ4_1, EncodeQ4_1},
    FormatTraits{Format::kQ5_0, "Q5_0", 32, 22, DecodeQ5_0, EncodeQ5_0},
    FormatTraits{Format::kQ5_1, "Q5_1", 32, 24, DecodeQ5_1, EncodeQ5_1},
    FormatTraits{Format::kQ8_0, "Q8_0", 32, 34, DecodeQ8_0, EncodeQ8_0},
    FormatTraits{Format::kQ2_K, "Q2_K", 256, 84, DecodeQ2_K, EncodeQ2_K},
    FormatTraits{Format::kQ3_K, "Q3_K", 256, 110, DecodeQ3_K, EncodeQ3_K},
    FormatTraits{Format::kQ4_K, "Q4_K", 256, 144, DecodeQ4_K, EncodeQ4_K},
    FormatTraits{Format::kQ5_K, "Q5_K", 256, 176, DecodeQ5_K, EncodeQ5_K},
    FormatTraits{Format::kQ6_K, "Q6_K", 256, 210, DecodeQ6_K, EncodeQ6_K},
    FormatTraits{Format::kIQ4_NL, "IQ4_NL", 32, 18, DecodeIQ4_NL, EncodeIQ4_NL},
    FormatTraits{Format::kBF16, "BF16", 1, 2, DecodeBF16, EncodeBF16},
};

bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

}  // namespace

std::span<const FormatTraits> Formats() { return kFormats; }

const FormatTraits& TraitsOf(Format format) {
  const FormatTraits* traits = FindFormat(static_cast<uint32_t>(format));
  if (traits == nullptr) {
    Fail(ErrorKind::kInternal, "format number {} is not in the format table", static_cast<uint32_t>(format));
  }
  return *traits;
}

const FormatTraits* FindFormat(uint32_t gguf_number) {
  const auto* row =
      std::ranges::find(kFormats, gguf_number, [](const FormatTraits& t) { return static_cast<uint32_t>(t.format); });
  return row == kFormats.end() ? nullptr : row;
}

const FormatTraits* FindFormat(std::string_view name) {
  const auto* row =
      std::ranges::find_if(kFormats, [name](const FormatTraits& t) { return EqualIgnoringCase(t.name, name); });
  return row == kFormats.end() ? nullptr : row;
}

}  // namespace assay
