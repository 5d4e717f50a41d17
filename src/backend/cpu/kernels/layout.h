#pragma once

#include <stddef.h>
#include <stdint.h>

// How weights lie in memory (docs/kernels.md). Plain declarations only: see kernels.h.
namespace assay::cpu {

// A panel is 16 rows; lane r of every vector belongs to row r. Panels are contiguous, and go along the columns as a
// sequence of records. Of the quantised formats a record is
//   header: scales and minima, 16 rows side by side
//   for each block of 32 columns: the bit planes of its codes
// A vector of codes holds 4 columns (a quad) of 16 rows: byte 4 * row + column % 4. Planes pack several quads into the
// bits of one vector:
//   4 bits: vector j holds quad j in the low and quad j + 4 in the high nibbles
//   2 bits: vector i holds quads 4i to 4i + 3 at bits 0, 2, 4 and 6
//   1 bit:  bit j of the one vector is quad j's
constexpr int kPanelRows = 16;
// A weight has a multiple of so many panels, the last ones zeros perhaps: kernels take them in such groups.
constexpr int kPanelGroup = 2;
constexpr int kBlockColumns = 32;

constexpr int kPlane8 = 512;
constexpr int kPlane4 = 256;
constexpr int kPlane2 = 128;
constexpr int kPlane1 = 64;

// Formats with a half-precision scale for each block of 32 have records of two blocks, so that records are whole cache
// lines: header [2 blocks][16 rows] scales, then the same of the minima if there are any.
constexpr int kSmallBlocks = 2;
constexpr int kHalfHeader = 64;
// K formats have records of 256 columns: header d[16 rows], dmin[16 rows] (or nothing) in half precision, then
// [8 or 16 sub-blocks][16 rows] 8-bit scales, and for Q4_K and Q5_K the same of the minima. Q2_K has scale and minimum
// in one byte, as in the file.
constexpr int kSuperBlocks = 8;
constexpr int kSuperHeader = 320;

enum class Packing : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ8_0,
  kQ6_K,
  kQ5_K,
  kQ4_K,
  kQ3_K,
  kQ2_K,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kIQ4_NL
};
constexpr int kPackings = 14;

// What a product needs of the activations besides their codes.
enum class Encoding : uint8_t {
  kFloats,     // no codes: float32 itself
  kOffset32,   // int8 codes; sums of 32
  kMinimum32,  // the same sums times the scale
  kOffset16,   // sums of 16
  kMinimum16,
  kShorts,  // int16 codes: two per weight of F16 and BF16 in large batches
};
constexpr int kEncodings = 6;

// For a block of 32 activations. Sums are minus the sums of the codes; x stands for scale * code.
struct OffsetMeta {
  float scale;
  int32_t minus_sum[2];
};
struct MinimumMeta {
  float scale;
  float sum[2];  // scale * sum of the codes
};

}  // namespace assay::cpu
