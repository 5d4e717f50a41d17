#include "backend/cpu/pack.h"

#include <bit>
#include <cstring>

#include "base/error.h"
#include "quant/q_layouts.h"

namespace assay::cpu {
namespace {

// What the header of a packed record holds.
enum class Header { kNone, kScales, kScalesMinima, kSuper32, kSuper16, kSuperBare };

// A block of a file taken apart: codes as the kernels want them (unsigned), scales as the file has them.
struct Parts {
  uint8_t codes[256] = {};
  uint8_t d[2] = {};     // half precision; of MXFP4 BF16
  uint8_t dmin[2] = {};  // half precision: dmin, or the minimum itself
  uint8_t scales[16] = {};
  uint8_t minima[8] = {};
};

// ---- The blocks of the files, as every GGUF reader knows them.

void Nibbles(const uint8_t* packed, int count, uint8_t* low, uint8_t* high) {
  for (int i = 0; i < count; ++i) {
    low[i] = packed[i] & 0x0FU;
    high[i] = packed[i] >> 4;
  }
}

void TakeQ8_0(const uint8_t* block, Parts& parts) {
  std::memcpy(parts.d, block, 2);
  for (int i = 0; i < 32; ++i) parts.codes[i] = block[2 + i] ^ 0x80U;  // plus 128
}

void TakeQ4_0(const uint8_t* block, Parts& parts) {
  std::memcpy(parts.d, block, 2);
  Nibbles(block + 2, 16, parts.codes, parts.codes + 16);
}

void TakeMXFP4(const uint8_t* block, Parts& parts) {
  const auto scale = static_cast<uint16_t>(std::bit_cast<uint32_t>(ExponentScale(block[0])) >> 16);
  std::memcpy(parts.d, &scale, 2);
  Nibbles(block + 1, 16, parts.codes, parts.codes + 16);
}

void TakeQ4_1(const uint8_t* block, Parts& parts) {
  std::memcpy(parts.d, block, 2);
  std::memcpy(parts.dmin, block + 2, 2);
  Nibbles(block + 4, 16, parts.codes, parts.codes + 16);
}

// Bit i of four bytes is bit 4 of code i.
void FifthBits(const uint8_t* bits, uint8_t* codes) {
  for (int i = 0; i < 32; ++i) codes[i] |= static_cast<uint8_t>((bits[i / 8] >> (i % 8) & 1U) << 4);
}

void TakeQ5_0(const uint8_t* block, Parts& parts) {
  std::memcpy(parts.d, block, 2);
  Nibbles(block + 6, 16, parts.codes, parts.codes + 16);
  FifthBits(block + 2, parts.codes);
}

void TakeQ5_1(const uint8_t* block, Parts& parts) {
  std::memcpy(parts.d, block, 2);
  std::memcpy(parts.dmin, block + 2, 2);
  Nibbles(block + 8, 16, parts.codes, parts.codes + 16);
  FifthBits(block + 4, parts.codes);
}

void TakeQ2_K(const uint8_t* block, Parts& parts) {
  std::memcpy(parts.scales, block, 16);  // a scale and a minimum in each byte
  const uint8_t* codes = block + 16;
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, shift = i % 128 / 32 * 2, at = i % 32;
    parts.codes[i] = codes[32 * half + at] >> shift & 3U;
  }
  std::memcpy(parts.d, block + 80, 2);
  std::memcpy(parts.dmin, block + 82, 2);
}

void TakeQ3_K(const uint8_t* block, Parts& parts) {
  const uint8_t *high = block, *low = block + 32, *scales = block + 96;
  for (int i = 0; i < 256; ++i) {
    const int group = i / 32, at = i % 32;
    const unsigned two = low[32 * (group / 4) + at] >> (group % 4 * 2) & 3U;
    const unsigned third = high[at] >> group & 1U;
    parts.codes[i] = static_cast<uint8_t>(two | third << 2);
  }
  for (int i = 0; i < 16; ++i) {
    const unsigned four = i < 8 ? scales[i] & 0x0FU : scales[i - 8] >> 4;
    const unsigned two = scales[8 + i % 4] >> (i / 4 * 2) & 3U;
    parts.scales[i] = static_cast<uint8_t>((four | two << 4) - 32U);
  }
  std::memcpy(parts.d, block + 108, 2);
}

// Eight scales and eight minima of 6 bits in 12 bytes.
void SixBitScales(const uint8_t* packed, Parts& parts) {
  for (int i = 0; i < 4; ++i) {
    parts.scales[i] = packed[i] & 0x3FU;
    parts.minima[i] = packed[i + 4] & 0x3FU;
    parts.scales[i + 4] = static_cast<uint8_t>((packed[i + 8] & 0x0FU) | (packed[i] >> 6) << 4);
    parts.minima[i + 4] = static_cast<uint8_t>(packed[i + 8] >> 4 | (packed[i + 4] >> 6) << 4);
  }
}

void TakeQ4_K(const uint8_t* block, Parts& parts) {
  std::memcpy(parts.d, block, 2);
  std::memcpy(parts.dmin, block + 2, 2);
  SixBitScales(block + 4, parts);
  for (int i = 0; i < 4; ++i) Nibbles(block + 16 + 32 * i, 32, parts.codes + 64 * i, parts.codes + 64 * i + 32);
}

void TakeQ5_K(const uint8_t* block, Parts& parts) {
  std::memcpy(parts.d, block, 2);
  std::memcpy(parts.dmin, block + 2, 2);
  SixBitScales(block + 4, parts);
  for (int i = 0; i < 4; ++i) Nibbles(block + 48 + 32 * i, 32, parts.codes + 64 * i, parts.codes + 64 * i + 32);
  for (int i = 0; i < 256; ++i) {
    parts.codes[i] |= static_cast<uint8_t>((block[16 + i % 32] >> (i / 32) & 1U) << 4);
  }
}

void TakeIQ4_XS(const uint8_t* block, Parts& parts) {
  std::memcpy(parts.d, block, 2);
  for (int i = 0; i < kSuperBlocks; ++i) {
    const unsigned low = block[4 + i / 2] >> (i % 2 * 4) & 0x0FU;
    const unsigned top = block[2 + i / 4] >> (i % 4 * 2) & 3U;
    parts.scales[i] = static_cast<uint8_t>((low | top << 4) - 32U);
    Nibbles(block + 8 + 16 * i, 16, parts.codes + 32 * i, parts.codes + 32 * i + 16);
  }
}

void TakeQ6_K(const uint8_t* block, Parts& parts) {
  for (int half = 0; half < 2; ++half) {
    uint8_t* codes = parts.codes + 128 * half;
    Nibbles(block + 64 * half, 64, codes, codes + 64);
    const uint8_t* high = block + 128 + 32 * half;
    for (int i = 0; i < 128; ++i) codes[i] |= static_cast<uint8_t>((high[i % 32] >> (i / 32 * 2) & 3U) << 4);
  }
  std::memcpy(parts.scales, block + 192, 16);
  std::memcpy(parts.d, block + 208, 2);
}

// ---- The packed side.

// One row per packing, in Packing's order.
struct PackingRow {
  Format format;
  int block_columns;  // of the file
  Header header;
  struct {
    int low, high;  // bits; high may be 0
  } planes;
  void (*take)(const uint8_t* block, Parts& parts);
};

constexpr PackingRow kPackingTable[kPackings] = {
    {Format::kF32, 1, Header::kNone, {}, nullptr},
    {Format::kF16, 1, Header::kNone, {}, nullptr},
    {Format::kBF16, 1, Header::kNone, {}, nullptr},
    {Format::kQ8_0, 32, Header::kScales, {8, 0}, &TakeQ8_0},
    {Format::kQ6_K, 256, Header::kSuper16, {4, 2}, &TakeQ6_K},
    {Format::kQ5_K, 256, Header::kSuper32, {4, 1}, &TakeQ5_K},
    {Format::kQ4_K, 256, Header::kSuper32, {4, 0}, &TakeQ4_K},
    {Format::kQ3_K, 256, Header::kSuper16, {2, 1}, &TakeQ3_K},
    {Format::kQ2_K, 256, Header::kSuper16, {2, 0}, &TakeQ2_K},
    {Format::kQ4_0, 32, Header::kScales, {4, 0}, &TakeQ4_0},
    {Format::kQ4_1, 32, Header::kScalesMinima, {4, 0}, &TakeQ4_1},
    {Format::kQ5_0, 32, Header::kScales, {4, 1}, &TakeQ5_0},
    {Format::kQ5_1, 32, Header::kScalesMinima, {4, 1}, &TakeQ5_1},
    {Format::kIQ4_NL, 32, Header::kScales, {4, 0}, &TakeQ4_0},
    {Format::kIQ4_XS, 256, Header::kSuperBare, {4, 0}, &TakeIQ4_XS},
    {Format::kMXFP4, 32, Header::kScales, {4, 0}, &TakeMXFP4},
};

const PackingRow& RowOf(Packing packing) { return kPackingTable[static_cast<int>(packing)]; }

bool IsSuper(const PackingRow& row) { return row.block_columns == 256; }

// Bytes of a value of the float formats.
int64_t FloatBytes(Packing packing) { return packing == Packing::kF32 ? 4 : 2; }

int BlocksPerRecord(const PackingRow& row) { return IsSuper(row) ? kSuperBlocks : kSmallBlocks; }

int BlockVectors(const PackingRow& row) { return row.planes.low + row.planes.high; }

int ScaledTogether(const PackingRow& row) {
  return row.header == Header::kSuperBare ? kBareScaledTogether : kScaledTogether;
}

// The codes of one row and quad go to the quad's place in each plane (kernels/layout.h).
void PlaceQuad(const PackingRow& row, uint32_t codes, int quad, int lane, uint8_t* block) {
  const auto [low, high] = row.planes;
  const auto place = [&](int vector, uint32_t bits) {
    uint8_t* at = block + kVectorStride * vector + 4 * lane;
    uint32_t word = 0;
    std::memcpy(&word, at, 4);
    word |= bits;
    std::memcpy(at, &word, 4);
  };
  const auto each_byte = [](int bits) { return 0x01010101U * ((1U << bits) - 1U); };
  // The vectors of high bits that came before this quad's in use, its own included; each precedes the low ones.
  const int highs = high == 0 ? 0 : quad * high / 8 + 1;
  place(quad * low / 8 + highs, (codes & each_byte(low)) << (quad * low % 8));
  if (high == 0) return;
  place((highs - 1) * (1 + low / high), (codes >> low & each_byte(high)) << (quad * high % 8));
}

// Vectors of a record before one of its blocks.
int BlockAt(const PackingRow& row, int block) {
  if (IsSuper(row)) return SuperBlockAt(block, BlockVectors(row), ScaledTogether(row));
  return (row.header == Header::kScalesMinima ? 2 : 1) + block * BlockVectors(row);
}

// The scales of a file's block, which is a whole record of the K formats and block `block` of one else.
void PlaceScales(const PackingRow& row, const Parts& parts, int block, int lane, uint8_t* record) {
  if (!IsSuper(row)) {
    std::memcpy(record + 32 * block + 2 * lane, parts.d, 2);
    if (row.header == Header::kScalesMinima) std::memcpy(record + kVectorStride + 32 * block + 2 * lane, parts.dmin, 2);
    return;
  }
  std::memcpy(record + 2 * lane, parts.d, 2);
  std::memcpy(record + 32 + 2 * lane, parts.dmin, 2);
  const int together = ScaledTogether(row);
  for (int i = 0; i < kSuperBlocks; ++i) {
    uint8_t* scales = record + kVectorStride * SuperScalesAt(i, BlockVectors(row), together) +
                      kVector / together * (i % together) + lane;
    if (row.header == Header::kSuperBare) {
      scales[0] = parts.scales[i];
      continue;
    }
    const bool one = row.header == Header::kSuper32;
    scales[0] = one ? parts.scales[i] : parts.scales[2 * i];
    scales[16] = one ? parts.minima[i] : parts.scales[2 * i + 1];
  }
}

void PackFloats(const uint8_t* rows, uint64_t row_bytes, int count, int64_t columns, int64_t width, uint8_t* panel) {
  for (int lane = 0; lane < count; ++lane) {
    const uint8_t* from = rows + static_cast<uint64_t>(lane) * row_bytes;
    uint8_t* to = panel + lane * width;
    for (int64_t k = 0; k < columns; ++k, from += width, to += kFloatGroup * kPanelRows * width) {
      std::memcpy(to, from, static_cast<size_t>(width));
    }
  }
}

}  // namespace

Packing PackingOf(Format format) {
  for (int i = 0; i < kPackings; ++i) {
    if (kPackingTable[i].format == format) return static_cast<Packing>(i);
  }
  Fail(ErrorKind::kUnsupported, "backend cpu has no kernel for format {}", TraitsOf(format).name);
}

PackedShape ShapeOf(Packing packing, int64_t columns) {
  const PackingRow& row = RowOf(packing);
  if (row.take == nullptr) {
    const int64_t column_bytes = kPanelRows * FloatBytes(packing);
    return {columns, kFloatGroup * column_bytes, kFloatGroup, column_bytes};
  }
  const int blocks = BlocksPerRecord(row);
  const int64_t record_columns = int64_t{blocks} * kBlockColumns;
  return {(columns + record_columns - 1) / record_columns,
          kVectorStride * (IsSuper(row) ? SuperVectors(BlockVectors(row), ScaledTogether(row)) : BlockAt(row, blocks)),
          kQuantGroup, kVector};
}

void PackPanel(Packing packing, const uint8_t* rows, uint64_t row_bytes, int count, int64_t columns, uint8_t* panel) {
  const PackingRow& row = RowOf(packing);
  if (row.take == nullptr) {
    PackFloats(rows, row_bytes, count, columns, FloatBytes(packing), panel);
    return;
  }
  const auto file_block_bytes = static_cast<int64_t>(TraitsOf(row.format).block_bytes);
  const PackedShape shape = ShapeOf(packing, columns);
  const int blocks = BlocksPerRecord(row);
  const int blocks_per_file_block = row.block_columns / kBlockColumns;
  for (int lane = 0; lane < count; ++lane) {
    const uint8_t* from = rows + static_cast<uint64_t>(lane) * row_bytes;
    for (int64_t k = 0; k < columns; k += row.block_columns, from += file_block_bytes) {
      Parts parts;
      row.take(from, parts);
      const int64_t block = k / kBlockColumns;
      uint8_t* record = panel + block / blocks * shape.record_stride;
      const auto in_record = static_cast<int>(block % blocks);
      PlaceScales(row, parts, in_record, lane, record);
      for (int b = 0; b < blocks_per_file_block; ++b) {
        uint8_t* place = record + kVectorStride * BlockAt(row, in_record + b);
        for (int quad = 0; quad < 8; ++quad) {
          uint32_t codes = 0;
          std::memcpy(&codes, parts.codes + b * kBlockColumns + 4 * quad, 4);
          PlaceQuad(row, codes, quad, lane, place);
        }
      }
    }
  }
}

}  // namespace assay::cpu
