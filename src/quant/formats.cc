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
    FormatTraits{Format::kIQ4_XS, "IQ4_XS", 256, 136, DecodeIQ4_XS, EncodeIQ4_XS},
    FormatTraits{Format::kBF16, "BF16", 1, 2, DecodeBF16, EncodeBF16},
    FormatTraits{Format::kMXFP4, "MXFP4", 32, 17, DecodeMXFP4, EncodeMXFP4},
};

constexpr FormatTraits StoredOnly(uint32_t number, std::string_view name, int block_size, int block_bytes) {
  return {static_cast<Format>(number), name, block_size, block_bytes, nullptr, nullptr};
}

// The other types of ggml (ggml.h) as of September 2026.
constexpr std::array kStoredOnly = {
    StoredOnly(9, "Q8_1", 32, 36),     StoredOnly(15, "Q8_K", 256, 292),   StoredOnly(16, "IQ2_XXS", 256, 66),
    StoredOnly(17, "IQ2_XS", 256, 74), StoredOnly(18, "IQ3_XXS", 256, 98), StoredOnly(19, "IQ1_S", 256, 50),
    StoredOnly(21, "IQ3_S", 256, 110), StoredOnly(22, "IQ2_S", 256, 82),   StoredOnly(24, "I8", 1, 1),
    StoredOnly(25, "I16", 1, 2),       StoredOnly(26, "I32", 1, 4),        StoredOnly(27, "I64", 1, 8),
    StoredOnly(28, "F64", 1, 8),       StoredOnly(29, "IQ1_M", 256, 56),   StoredOnly(34, "TQ1_0", 256, 54),
    StoredOnly(35, "TQ2_0", 256, 66),  StoredOnly(40, "NVFP4", 64, 36),    StoredOnly(41, "Q1_0", 128, 18),
    StoredOnly(42, "Q2_0", 64, 18),
};

template <typename Table>
const FormatTraits* FindNumber(const Table& table, uint32_t number) {
  const auto* row =
      std::ranges::find(table, number, [](const FormatTraits& t) { return static_cast<uint32_t>(t.format); });
  return row == table.end() ? nullptr : row;
}

bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

}  // namespace

std::span<const FormatTraits> Formats() { return kFormats; }

const FormatTraits& TraitsOf(Format format) {
  const FormatTraits* traits = FindStoredType(static_cast<uint32_t>(format));
  if (traits == nullptr) {
    Fail(ErrorKind::kInternal, "format number {} is not in the format table", static_cast<uint32_t>(format));
  }
  return *traits;
}

const FormatTraits* FindFormat(uint32_t gguf_number) { return FindNumber(kFormats, gguf_number); }

const FormatTraits* FindStoredType(uint32_t gguf_number) {
  const FormatTraits* format = FindFormat(gguf_number);
  return format != nullptr ? format : FindNumber(kStoredOnly, gguf_number);
}

const FormatTraits* FindFormat(std::string_view name) {
  const auto* row =
      std::ranges::find_if(kFormats, [name](const FormatTraits& t) { return EqualIgnoringCase(t.name, name); });
  return row == kFormats.end() ? nullptr : row;
}

}  // namespace assay
