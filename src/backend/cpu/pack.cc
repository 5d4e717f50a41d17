#include "backend/cpu/pack.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "backend/cpu/four_rows.h"
#include "base/error.h"
#include "quant/k_layouts.h"
#include "quant/q_layouts.h"

namespace assay::cpu {
namespace {

// The vectors of a block: bit planes, whose order is that of their use (kernels/layout.h).
template <int kLowBits, int kHighBits>
struct Planes {
  static constexpr int kVectors = kLowBits + kHighBits;
  static constexpr int Low(int i) { return kHighBits == 0 ? i : i + i * kHighBits / kLowBits + 1; }
  static constexpr int High(int i) { return i * (1 + kLowBits / kHighBits); }
};
using Eights = Planes<8, 0>;
using Fours = Planes<4, 0>;
using FoursAndOnes = Planes<4, 1>;
using FoursAndTwos = Planes<4, 2>;
using TwosAndOnes = Planes<2, 1>;
using Twos = Planes<2, 0>;

// Where four rows go: the lanes from `lane` on of a panel's record.
struct Lanes {
  uint8_t* record;
  int lane;

  void PutCodes(int vector, Words codes) const { StoreVector(record + kVectorStride * vector + 4 * lane, codes); }
  // The half of a row's that lies at `at` in the file's block, `to` bytes behind the record's first.
  void PutHalves(const FourRows& from, int at, int to) const {
    for (int i = 0; i < 4; ++i) std::memcpy(record + to + 2 * (lane + i), from.row[i] + at, 2);
  }
};

// ---- From here on: the blocks of the files, as every GGUF reader knows them. kBytes, kColumns: of a block of the
// file; Pack() takes the one at `from`.

// Of 16 bytes with the codes of the columns i and 16 + i of a block, which begins at a record's vector `first`.
template <typename Planes>
void PutSplitNibbles(const FourRows& from, int at, const Lanes& to, int first) {
  Words w[4];
  from.Load<4>(at, w);
  for (int i = 0; i < 2; ++i) {
    to.PutCodes(first + Planes::Low(i), LowNibbles(w[2 * i], w[2 * i + 1]));
    to.PutCodes(first + Planes::Low(2 + i), HighNibbles(w[2 * i], w[2 * i + 1]));
  }
}

// ---- Formats with a block of 32 columns, two of which make a record.

template <typename PlanesType, int kFileBytes, bool kHasMinima>
struct SmallFormat {
  using Planes = PlanesType;
  static constexpr int kBytes = kFileBytes, kColumns = kBlockColumns, kBlocksPerRecord = kSmallBlocks;
  static constexpr int At(int block) { return (kHasMinima ? 2 : 1) + block * Planes::kVectors; }
  static constexpr int64_t kRecordStride = kVectorStride * At(kSmallBlocks);

  static void PutScales(const FourRows& from, const Lanes& to, int block) {
    to.PutHalves(from, 0, 32 * block);
    if (kHasMinima) to.PutHalves(from, 2, kVectorStride + 32 * block);
  }
  // The last 16 bytes of a block of the file.
  static void PutNibbles(const FourRows& from, const Lanes& to, int block) {
    PutSplitNibbles<Planes>(from, kBytes - 16, to, At(block));
  }
};

struct Q80Blocks : SmallFormat<Eights, Q80Layout::kBytes, false> {
  static void Pack(const FourRows& from, const Lanes& to, int block) {
    PutScales(from, to, block);
    Words w[8];
    from.Load<8>(2, w);
    for (int i = 0; i < 8; ++i) to.PutCodes(At(block) + i, w[i] ^ 0x80808080U);  // plus 128
  }
};

template <int kFileBytes, bool kHasMinima>
struct FourBits : SmallFormat<Fours, kFileBytes, kHasMinima> {
  using Base = SmallFormat<Fours, kFileBytes, kHasMinima>;
  static void Pack(const FourRows& from, const Lanes& to, int block) {
    Base::PutScales(from, to, block);
    Base::PutNibbles(from, to, block);
  }
};
using Q40Blocks = FourBits<Q40Layout::kBytes, false>;
using Q41Blocks = FourBits<Q41Layout::kBytes, true>;

template <int kFileBytes, bool kHasMinima>
struct FiveBits : SmallFormat<FoursAndOnes, kFileBytes, kHasMinima> {
  using Base = SmallFormat<FoursAndOnes, kFileBytes, kHasMinima>;
  static void Pack(const FourRows& from, const Lanes& to, int block) {
    Base::PutScales(from, to, block);
    to.PutCodes(Base::At(block), SpreadBits(from.LoadOne(kFileBytes - 20)));  // bit i is bit 4 of code i
    Base::PutNibbles(from, to, block);
  }
};
using Q50Blocks = FiveBits<Q50Layout::kBytes, false>;
using Q51Blocks = FiveBits<Q51Layout::kBytes, true>;

struct Mxfp4Blocks : SmallFormat<Fours, Mxfp4Layout::kBytes, false> {
  static void Pack(const FourRows& from, const Lanes& to, int block) {
    for (int i = 0; i < 4; ++i) {
      const auto bits = static_cast<uint16_t>(std::bit_cast<uint32_t>(ExponentScale(from.row[i][0])) >> 16);
      std::memcpy(to.record + 32 * block + 2 * (to.lane + i), &bits, 2);
    }
    PutNibbles(from, to, block);
  }
};

// ---- Formats with a block of 256 columns, which is a record.

template <typename PlanesType, int kFileBytes, int kTogether = kScaledTogether>
struct SuperFormat {
  using Planes = PlanesType;
  static constexpr int kBytes = kFileBytes, kColumns = kSuperBlock, kBlocksPerRecord = 1;
  static constexpr int64_t kRecordStride = kVectorStride * SuperVectors(Planes::kVectors, kTogether);
  static constexpr int At(int block) { return SuperBlockAt(block, Planes::kVectors, kTogether); }

  // Byte c of the words is the scale of block `block` + c.
  static void PutBlockScales(Words scales, const Lanes& to, int block, int part) {
    scales = TransposeBytes(scales);
    for (int c = 0; c < 4; ++c) PutScale(scales[c], to, block + c, part);
  }
  // Bytes 2 c and 2 c + 1 are the scales of the halves of block `block` + c.
  static void PutHalfScales(Words scales, const Lanes& to, int block) {
    scales = TransposeBytes(scales);
    for (int c = 0; c < 4; ++c) PutScale(scales[c], to, block + c / 2, c % 2);
  }
  // Of 32 bytes with the codes of block `low` in their low nibbles and those of block `high` in the others.
  static void PutNibbles(const FourRows& from, int at, const Lanes& to, int low, int high) {
    Words w[8];
    from.Load<8>(at, w);
    for (int i = 0; i < 4; ++i) {
      to.PutCodes(At(low) + Planes::Low(i), LowNibbles(w[2 * i], w[2 * i + 1]));
      to.PutCodes(At(high) + Planes::Low(i), HighNibbles(w[2 * i], w[2 * i + 1]));
    }
  }
  // Of 32 bytes with four blocks' codes of two bits, from block `block` on, the first in the lowest bits. They go to
  // the vectors `first` and `second` of each block.
  static void PutPairs(const FourRows& from, int at, const Lanes& to, int block, int first, int second) {
    for (int half = 0; half < 2; ++half) {
      Words w[4];
      from.Load<4>(at + 16 * half, w);
      TransposePairs(w);
      for (int i = 0; i < 4; ++i) to.PutCodes(At(block + i) + (half == 0 ? first : second), w[i]);
    }
  }
  // Of 32 bytes with a bit of each block, that of block 0 lowest.
  static void PutBits(const FourRows& from, int at, const Lanes& to) {
    Words w[8];
    from.Load<8>(at, w);
    TransposeBits(w);
    for (int i = 0; i < 8; ++i) to.PutCodes(At(i) + Planes::High(0), w[i]);
  }

 private:
  static void PutScale(uint32_t of_rows, const Lanes& to, int block, int part) {
    std::memcpy(to.record + kVectorStride * SuperScalesAt(block, Planes::kVectors, kTogether) +
                    kVector / kTogether * (block % kTogether) + kPanelRows * part + to.lane,
                &of_rows, 4);
  }
};

struct Q2KBlocks : SuperFormat<Twos, Q2KLayout::kBytes> {
  static void Pack(const FourRows& from, const Lanes& to, int) {
    to.PutHalves(from, 80, 0);
    to.PutHalves(from, 82, 32);
    Words scales[4];  // a scale and a minimum in each byte
    from.Load<4>(0, scales);
    for (int i = 0; i < 4; ++i) PutHalfScales(scales[i], to, 2 * i);
    for (int half = 0; half < 2; ++half) PutPairs(from, 16 + 32 * half, to, 4 * half, 0, 1);
  }
};

struct Q3KBlocks : SuperFormat<TwosAndOnes, Q3KLayout::kBytes> {
  static void Pack(const FourRows& from, const Lanes& to, int) {
    to.PutHalves(from, 108, 0);
    Words packed[4];  // from 96 on: low nibbles of scales 0 to 7, beside those of 8 to 15; then the bits above
    from.Load<4>(92, packed);
    for (uint32_t i = 0; i < 4; ++i) {
      const Words four = packed[1 + i % 2] >> (i / 2 * 4) & 0x0F0F0F0FU;
      const Words two = packed[3] >> (2 * i) & 0x03030303U;
      PutHalfScales(MinusThirtyTwo(four | two << 4U), to, static_cast<int>(2 * i));
    }
    PutBits(from, 0, to);
    for (int half = 0; half < 2; ++half) PutPairs(from, 32 + 32 * half, to, 4 * half, Planes::Low(0), Planes::Low(1));
  }
};

// Q4_K and Q5_K: d, dmin, and eight scales and eight minima of 6 bits in 12 bytes.
template <typename Format>
void PutAffineScales(const FourRows& from, const Lanes& to) {
  to.PutHalves(from, 0, 0);
  to.PutHalves(from, 2, 32);
  Words w[4];
  from.Load<4>(0, w);
  Format::PutBlockScales(w[1] & 0x3F3F3F3FU, to, 0, 0);
  Format::PutBlockScales(w[2] & 0x3F3F3F3FU, to, 0, 1);
  Format::PutBlockScales((w[3] & 0x0F0F0F0FU) | (w[1] >> 2U & 0x30303030U), to, 4, 0);
  Format::PutBlockScales((w[3] >> 4U & 0x0F0F0F0FU) | (w[2] >> 2U & 0x30303030U), to, 4, 1);
}

struct Q4KBlocks : SuperFormat<Fours, Q4KLayout::kBytes> {
  static void Pack(const FourRows& from, const Lanes& to, int) {
    PutAffineScales<Q4KBlocks>(from, to);
    for (int i = 0; i < 4; ++i) PutNibbles(from, 16 + 32 * i, to, 2 * i, 2 * i + 1);
  }
};

struct Q5KBlocks : SuperFormat<FoursAndOnes, Q5KLayout::kBytes> {
  static void Pack(const FourRows& from, const Lanes& to, int) {
    PutAffineScales<Q5KBlocks>(from, to);
    PutBits(from, 16, to);
    for (int i = 0; i < 4; ++i) PutNibbles(from, 48 + 32 * i, to, 2 * i, 2 * i + 1);
  }
};

struct Q6KBlocks : SuperFormat<FoursAndTwos, Q6KLayout::kBytes> {
  static void Pack(const FourRows& from, const Lanes& to, int) {
    to.PutHalves(from, 208, 0);
    Words scales[4];
    from.Load<4>(192, scales);
    for (int i = 0; i < 4; ++i) PutHalfScales(scales[i], to, 2 * i);
    for (int i = 0; i < 4; ++i) {
      const int block = i / 2 * 4 + i % 2;
      PutNibbles(from, 32 * i, to, block, block + 2);
    }
    for (int half = 0; half < 2; ++half)
      PutPairs(from, 128 + 32 * half, to, 4 * half, Planes::High(0), Planes::High(1));
  }
};

struct Iq4XsBlocks : SuperFormat<Fours, Iq4XsLayout::kBytes, kBareScaledTogether> {
  static void Pack(const FourRows& from, const Lanes& to, int) {
    to.PutHalves(from, 0, 0);
    const Words top = from.LoadOne(0) >> 16U;  // two bits of each scale, then four
    const Words low = from.LoadOne(4);
    for (uint32_t half = 0; half < 2; ++half) {
      Words four = low >> (16 * half) & 0xFFFFU;  // a nibble to each byte
      four = (four | four << 8U) & 0x00FF00FFU;
      four = (four | four << 4U) & 0x0F0F0F0FU;
      Words two = top >> (8 * half) & 0xFFU;
      two = (two | two << 12U) & 0x000F000FU;
      two = (two | two << 6U) & 0x03030303U;
      PutBlockScales(MinusThirtyTwo(four | two << 4U), to, static_cast<int>(4 * half), 0);
    }
    for (int block = 0; block < kSuperBlocks; ++block) PutSplitNibbles<Planes>(from, 8 + 16 * block, to, At(block));
  }
};

// ---- Groups of panels.

constexpr int kMostRows = kPanelRows * kFloatGroup;  // of a group

struct GroupRows {
  const uint8_t* row[kMostRows] = {};
  int64_t panels = 0;  // with rows
  int64_t columns = 0;

  FourRows Four(int64_t panel, int lane, int64_t at) const {
    const uint8_t* const* first = row + panel * kPanelRows + lane;
    return {{first[0] + at, first[1] + at, first[2] + at, first[3] + at}};
  }
};

template <typename Format>
void PackBlocks(const GroupRows& rows, uint8_t* group) {
  const int64_t blocks = rows.columns / Format::kColumns;
  for (int64_t b = 0; b < blocks; ++b) {
    uint8_t* record = group + b / Format::kBlocksPerRecord * Format::kRecordStride;
    for (int64_t panel = 0; panel < rows.panels; ++panel) {
      for (int lane = 0; lane < kPanelRows; lane += 4) {
        Format::Pack(rows.Four(panel, lane, b * Format::kBytes), {record + kVector * panel, lane},
                     static_cast<int>(b % Format::kBlocksPerRecord));
      }
    }
  }
}

// Columns of kWidth bytes, four rows at a time; a line of each row before the next.
template <int kWidth>
void PackColumns(const GroupRows& rows, uint8_t* group) {
  constexpr int64_t kPanelBytes = kPanelRows * kWidth, kStride = kFloatGroup * kPanelBytes, kLine = 64 / kWidth;
  constexpr int64_t kTogether = 16 / kWidth;  // columns
  const int64_t whole = rows.columns / kTogether * kTogether;
  for (int64_t line = 0; line < rows.columns; line += kLine) {
    const int64_t end = std::min(line + kLine, rows.columns), vectors_end = std::min(end, whole);
    for (int64_t panel = 0; panel < rows.panels; ++panel) {
      for (int lane = 0; lane < kPanelRows; lane += 4) {
        uint8_t* to = group + panel * kPanelBytes + lane * kWidth;
        for (int64_t k = line; k < vectors_end; k += kTogether) {
          const FourRows from = rows.Four(panel, lane, k * kWidth);
          if constexpr (kWidth == 4) {
            Words w[4];
            from.Load<4>(0, w);
            for (int i = 0; i < 4; ++i) StoreVector(to + (k + i) * kStride, w[i]);
          } else {
            Shorts w[4];
            from.LoadColumns(0, w);
            for (int i = 0; i < 8; ++i) {
              std::memcpy(to + (k + i) * kStride, reinterpret_cast<const uint8_t*>(&w[i / 2]) + i % 2 * 8, 8);
            }
          }
        }
        for (int64_t k = std::max(line, vectors_end); k < end; ++k) {
          const FourRows from = rows.Four(panel, lane, k * kWidth);
          for (int i = 0; i < 4; ++i) std::memcpy(to + k * kStride + i * kWidth, from.row[i], kWidth);
        }
      }
    }
  }
}

// One row per packing, in Packing's order.
struct PackingRow {
  Format format;
  int record_columns;
  int64_t record_stride;
  int group;
  int64_t panel_step;
  void (*pack)(const GroupRows& rows, uint8_t* group);
};

template <int kWidth>
constexpr PackingRow FloatRow(Format format) {
  constexpr int64_t kColumnBytes = kPanelRows * kWidth;
  return {format, 1, kFloatGroup * kColumnBytes, kFloatGroup, kColumnBytes, &PackColumns<kWidth>};
}

template <typename Layout>
constexpr PackingRow BlockRow(Format format) {
  return {format,
          Layout::kColumns * Layout::kBlocksPerRecord,
          Layout::kRecordStride,
          kQuantGroup,
          kVector,
          &PackBlocks<Layout>};
}

constexpr PackingRow kPackingTable[kPackings] = {
    FloatRow<4>(Format::kF32),
    FloatRow<2>(Format::kF16),
    FloatRow<2>(Format::kBF16),
    BlockRow<Q80Blocks>(Format::kQ8_0),
    BlockRow<Q6KBlocks>(Format::kQ6_K),
    BlockRow<Q5KBlocks>(Format::kQ5_K),
    BlockRow<Q4KBlocks>(Format::kQ4_K),
    BlockRow<Q3KBlocks>(Format::kQ3_K),
    BlockRow<Q2KBlocks>(Format::kQ2_K),
    BlockRow<Q40Blocks>(Format::kQ4_0),
    BlockRow<Q41Blocks>(Format::kQ4_1),
    BlockRow<Q50Blocks>(Format::kQ5_0),
    BlockRow<Q51Blocks>(Format::kQ5_1),
    BlockRow<Q40Blocks>(Format::kIQ4_NL),  // the same block; its codes are indices
    BlockRow<Iq4XsBlocks>(Format::kIQ4_XS),
    BlockRow<Mxfp4Blocks>(Format::kMXFP4),
};

const PackingRow& RowOf(Packing packing) { return kPackingTable[static_cast<int>(packing)]; }

uint64_t FileBytes(const PackingRow& row, int64_t columns) {
  return BytesOf(TraitsOf(row.format), static_cast<uint64_t>(columns));
}

// ---- Rows are copied to a place that the caches keep before they are taken apart: a copy reads memory in long
// stretches, which the prefetchers know. Block by block from all rows of a group, memory gave less than half its speed.

constexpr uint64_t kStageBytes = uint64_t{160} << 10;
constexpr uint64_t kLineBytes = 64;

// From row to row: as in the file, if not too many rows would fall on the same places of a cache.
constexpr uint64_t StagedStride(uint64_t row_bytes) {
  return row_bytes % 256 == 0 ? row_bytes + kLineBytes : row_bytes;
}

// What is staged at once: whole rows of a group or, where they are too long, of a panel; else as much of each as fits.
struct Portion {
  int64_t rows, columns;
};
Portion PortionOf(const PackingRow& row, int64_t count, int64_t columns) {
  for (const int64_t rows : {count, int64_t{kPanelRows}}) {
    if (static_cast<uint64_t>(rows) * StagedStride(FileBytes(row, columns)) <= kStageBytes) return {rows, columns};
  }
  const int64_t unit = std::max<int64_t>(row.record_columns, kBlockColumns);
  const uint64_t room = kStageBytes / static_cast<uint64_t>(count) - kLineBytes;
  return {count, static_cast<int64_t>(room / FileBytes(row, unit)) * unit};
}

// Rows of `bytes` that lie `row_bytes` apart.
void Stage(const uint8_t* from, uint64_t row_bytes, uint64_t bytes, int64_t count, uint8_t* staged) {
  const uint64_t stride = StagedStride(bytes);
  if (bytes == row_bytes && stride == row_bytes) {
    std::memcpy(staged, from, static_cast<uint64_t>(count) * row_bytes);
    return;
  }
  for (int64_t i = 0; i < count; ++i, from += row_bytes, staged += stride) std::memcpy(staged, from, bytes);
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
  return {(columns + row.record_columns - 1) / row.record_columns, row.record_stride, row.group, row.panel_step};
}

void PackGroup(Packing packing, const uint8_t* rows, uint64_t row_bytes, int64_t count, int64_t columns,
               uint8_t* group) {
  const PackingRow& row = RowOf(packing);
  const Portion portion = PortionOf(row, count, columns);
  alignas(kLineBytes) uint8_t staged[kStageBytes];
  for (int64_t first_row = 0; first_row < count; first_row += portion.rows) {
    const int64_t some_rows = std::min(portion.rows, count - first_row);
    GroupRows source = {};
    source.panels = (some_rows + kPanelRows - 1) / kPanelRows;
    for (int64_t first = 0; first < columns; first += portion.columns) {
      source.columns = std::min(portion.columns, columns - first);
      const uint64_t bytes = FileBytes(row, source.columns);
      Stage(rows + static_cast<uint64_t>(first_row) * row_bytes + FileBytes(row, first), row_bytes, bytes, some_rows,
            staged);
      for (int64_t i = 0; i < source.panels * kPanelRows; ++i) {
        source.row[i] = staged + static_cast<uint64_t>(std::min(i, some_rows - 1)) * StagedStride(bytes);
      }
      row.pack(source,
               group + first_row / kPanelRows * row.panel_step + first / row.record_columns * row.record_stride);
    }
  }
}

}  // namespace assay::cpu
