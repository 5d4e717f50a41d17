#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace assay {

// Tensor formats, numbered as GGUF files number them.
enum class Format : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ4_NL = 20,
  kIQ4_XS = 23,
  kBF16 = 30,
  kMXFP4 = 39,
};

// One row of the format table. A row of a tensor is a sequence of blocks, each of `block_size` values in `block_bytes`
// bytes; rows are contiguous.
struct FormatTraits {
  Format format;
  std::string_view name;  // as tools print it: "Q4_K"
  int block_size;
  int block_bytes;

  // Decodes `count` values (a multiple of block_size) from src to dst, exactly as every GGUF reader does: the
  // operations are single-precision products and sums of the stored scales and codes in the formats' own order.
  void (*decode)(const uint8_t* src, float* dst, int64_t count);

  // Encodes `count` values (a multiple of block_size). `importance` is null or has one weight >= 0 per value (an
  // importance matrix's column means): the squared error that the scale search minimises is weighted by it.
  // Non-finite input is the caller's error to refuse. Deterministic.
  void (*encode)(const float* src, uint8_t* dst, int64_t count, const float* importance);
};

// Every format, in the order of their numbers.
std::span<const FormatTraits> Formats();

// The row of a format; the enum has no value without one.
const FormatTraits& TraitsOf(Format format);

// Null when GGUF's number or the (case-insensitive) name is not in the table.
const FormatTraits* FindFormat(uint32_t gguf_number);
const FormatTraits* FindFormat(std::string_view name);

// Also of the types that files may have and Assay cannot compute with: those are no member of the enum, their decode
// and encode are null. Null for a number that no type has.
const FormatTraits* FindStoredType(uint32_t gguf_number);

// Bytes of `values` values (a multiple of the block size).
inline uint64_t BytesOf(const FormatTraits& traits, uint64_t values) {
  return values / static_cast<uint64_t>(traits.block_size) * static_cast<uint64_t>(traits.block_bytes);
}

}  // namespace assay
