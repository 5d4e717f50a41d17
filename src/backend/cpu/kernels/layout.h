#pragma once

#include <stddef.h>
#include <stdint.h>

// How weights lie in memory (docs/kernels.md). Plain declarations only: see kernels.h.
namespace assay::cpu {

// A panel is 16 rows; lane r of every vector belongs to row r. It goes along the columns as a sequence of records.
// Neighbouring panels form a group, and alternate in memory vector by vector, so that a kernel that takes a whole group
// reads one ascending stream, which is what the prefetchers of processors are good at. The panels that complete a
// weight's last group are zeros.
//
// Of the float formats a record is one column, and groups alternate record by record. Of the quantised formats a record
// is
//   header: scales and minima, 16 rows side by side
//   for each block of 32 columns: the bit planes of its codes
// in vectors of 64 bytes. A vector of codes holds 4 columns (a quad) of 16 rows: byte 4 * row + column % 4. Planes pack
// several quads into the bits of one vector:
//   4 bits: vector j holds quad 2j in the low and quad 2j + 1 in the high nibbles
//   2 bits: vector i holds quads 4i to 4i + 3 at bits 0, 2, 4 and 6
//   1 bit:  bit j of the one vector is quad j's
// A high plane's vector comes before the low plane's that are used with it: 5 bits are the vector of high bits and four
// of nibbles; 6 bits twice a vector of high bits and two of nibbles; 3 bits one and two.
constexpr int kPanelRows = 16;
constexpr int kQuantGroup = 2;  // panels; also of the panels unpacked for large batches
constexpr int kFloatGroup = 4;
constexpr int kBlockColumns = 32;
constexpr int kVector = 64;
constexpr int kVectorStride = kVector * kQuantGroup;  // from a vector of a panel to the next

// Vectors of a plane in a block.
constexpr int kPlane8 = 8;
constexpr int kPlane4 = 4;
constexpr int kPlane2 = 2;
constexpr int kPlane1 = 1;

// Formats with a scale of 16 bits (half precision; BF16 where it is a power of two) for each block of 32 have records
// of two blocks. Their header is one vector with the scales of both, then one with the minima if there are any.
constexpr int kSmallBlocks = 2;
// K formats have records of 256 columns. Their header is one vector: d[16 rows], dmin[16 rows] (or nothing) in half
// precision. Then, four times: a vector of 8-bit scales for two blocks, and the two blocks. A block's half of the
// scales is [16 rows] scales and [16 rows] minima, or the scales of its two sub-blocks (Q2_K: scale and minimum in one
// byte, as in the file). So a record is read from its first byte to its last. Where a block has but one scale and no
// minimum (IQ4_XS), a vector of scales is for four blocks, and there are two.
constexpr int kSuperBlocks = 8;
constexpr int kScaledTogether = 2;      // blocks that share a vector of scales
constexpr int kBareScaledTogether = 4;  // the same where there is nothing but one scale a block

// The vectors of a K record before the scales of a block, and before the block, given the vectors of a block and how
// many blocks share a vector of scales.
constexpr int SuperScalesAt(int block, int block_vectors, int together) {
  return 1 + block / together * (1 + together * block_vectors);
}
constexpr int SuperBlockAt(int block, int block_vectors, int together) {
  return SuperScalesAt(block, block_vectors, together) + 1 + block % together * block_vectors;
}
constexpr int SuperVectors(int block_vectors, int together) {
  return SuperScalesAt(kSuperBlocks, block_vectors, together);
}

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
  kIQ4_NL,
  kIQ4_XS,
  kMXFP4
};
constexpr int kPackings = 16;

// What a product needs of the activations besides their codes.
enum class Encoding : uint8_t {
  kFloats,     // no codes: float32 itself
  kOffset32,   // int8 codes; sums of 32
  kMinimum32,  // the same sums times the scale
  kOffset16,   // sums of 16
  kSuper32,    // kMinimum32 in 16 bits, with a scale for 256 columns
  kSuper16,    // the same for sums of 16
  kShorts,     // int16 codes: two per weight of F16 and BF16 in large batches
};
constexpr int kEncodings = 7;

// Activations as codes are int8 or, in fine arithmetic, int16 of at most kFineMost in magnitude: the largest for which
// no sum leaves 32 bits. That of a block of Q6_K is the nearest to it: 32 columns * 32 (code) * 128 (scale) * kFineMost
// < 2^31; next is IQ4_XS with 32 * 127 * 32 * kFineMost. Fine codes of four columns lie as 0, 2, 1, 3: pairs as a
// vector of weights has them in its even and its odd bytes.
constexpr int kFineMost = 16383;

// For a block of 32 activations; x stands for scale * code.
struct OffsetMeta {
  float scale;
  int32_t minus_sum[2];  // minus the sums of the codes
};
struct MinimumMeta {
  float scale;
  float sum;  // scale * sum of the codes
};
// Of a record of 256 columns, sum_scale * sums[] are the x added up over each 32 columns (then the even block has its
// own sum and the next one's) or each 16 (the block's own).
struct SuperMeta {
  float scale;
  int16_t sums[2];
  float sum_scale;  // the same in all blocks of the record
};

}  // namespace assay::cpu
