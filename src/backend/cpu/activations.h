#pragma once

#include <cstdint>

#include "backend/backend.h"
#include "backend/cpu/aligned.h"
#include "backend/cpu/kernels/kernels.h"
#include "base/thread_pool.h"

namespace assay::cpu {

// Batches of up to so many tokens meet panels as they are, tile by tile; for larger ones it pays to unpack them first.
inline int MostTokensInTiles(const KernelTable& kernels) { return 3 * kernels.max_tile; }

// The set of encodings that a call needs.
class EncodingSet {
 public:
  void Add(Encoding encoding) { bits_ |= 1U << static_cast<unsigned>(encoding); }
  bool Has(Encoding encoding) const { return (bits_ >> static_cast<unsigned>(encoding) & 1U) != 0; }

 private:
  unsigned bits_ = 0;
};

// A batch of activations, encoded once for all weights that they meet.
class Activations {
 public:
  // Encodes; `x` [tokens][columns] must stay until the products are done. Memory is kept from call to call.
  void Encode(const KernelTable& kernels, ThreadPool& pool, const float* x, int tokens, int64_t columns,
              EncodingSet wanted, Arithmetic arithmetic);
  // The rows of another batch that `rows` names, encoded as they are there.
  void Gather(const Activations& from, const int32_t* rows, int count);

  // Sets the activations' side of a product that starts at token `first`.
  void Fill(Encoding encoding, int64_t first, DotArgs& args) const;

 private:
  // A kind of data: bytes for each token and block. Either a token's blocks lie together, or, in batches that are taken
  // in tiles, the tokens of a block: a tile is then one stream to the processor, which can follow but a few at a time.
  struct Plane {
    AlignedBytes bytes;
    int64_t stride = 0;  // from token to token; 0: not wanted
    int64_t step = 0;    // from block to block
    uint8_t* row(int64_t token) { return bytes.data() + token * stride; }
    const uint8_t* row(int64_t token) const { return bytes.data() + token * stride; }
  };
  Plane& MetaOf(Encoding encoding) { return meta_[static_cast<int>(encoding)]; }
  const Plane& MetaOf(Encoding encoding) const { return meta_[static_cast<int>(encoding)]; }
  static void ShapeRows(Plane& plane, int64_t blocks, int64_t block_bytes, int64_t tokens);
  static void ShapeBlocks(Plane& plane, int64_t blocks, int64_t block_bytes, int64_t tokens);

  const float* floats_ = nullptr;
  bool wants_floats_ = false;
  int64_t columns_ = 0;
  Plane copied_floats_;     // of Gather
  Plane codes_, shorts_;    // codes_: int8 or, in fine arithmetic, int16
  int64_t code_bytes_ = 0;  // of a block in codes_
  Plane meta_[kEncodings];
};

}  // namespace assay::cpu
