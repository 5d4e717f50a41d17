#pragma once

#include <stddef.h>
#include <stdint.h>

#include "backend/cpu/kernels/layout.h"

// What an instruction set offers, as plain function pointers. This header and what it includes are read by sources that
// are compiled with instruction-set flags: plain declarations only.
namespace assay::cpu {

// Products of one or more neighbouring panels with a tile of tokens.
struct DotArgs {
  const uint8_t* panel = nullptr;  // the first one's first record
  int64_t records = 0;
  const uint8_t* x = nullptr;     // codes (or floats) of the tile's first token
  int64_t x_stride = 0;           // bytes from token to token
  int64_t x_step = 0;             // bytes from a block of 32 columns to the next; not of kFloats and kShorts
  const uint8_t* meta = nullptr;  // OffsetMeta, MinimumMeta, SuperMeta or float scales
  int64_t meta_stride = 0;
  int64_t meta_step = 0;
  int offset_bits = 0;   // of expanded panels: codes stand for code - 2^offset_bits
  float* out = nullptr;  // of the first row of the panel and the first token
  int64_t out_stride = 0;
  int rows = kPanelRows;  // that exist, of all panels of the call
};
using DotFunction = void (*)(const DotArgs& args);

constexpr int kLargestTile = 8;

// The kernel of a tile of so many tokens takes `panels` panels of a group at once.
struct TileKernel {
  int panels = 0;
  DotFunction dot = nullptr;
};

struct PackingKernels {
  Encoding encoding = {};         // but for large batches, if long_encoding is another
  TileKernel tile[kLargestTile];  // [tokens - 1]
  // For large batches: a panel unpacked once into plain codes and scales, and the same products of that.
  Encoding long_encoding = {};
  int records = 1;              // of a panel that make one of the unpacked panel
  int64_t expanded_stride = 0;  // bytes from an unpacked record to the next, of a group
  int offset_bits = 0;
  void (*expand)(const uint8_t* panel, int64_t records, uint8_t* out) = nullptr;  // one panel of a group
  TileKernel expanded[kLargestTile];
  TileKernel fine[kLargestTile];  // the same products of int16 codes: fine arithmetic
};

// Where the codes of one token go. Null where not wanted.
struct EncodeArgs {
  const float* x = nullptr;
  int64_t columns = 0;       // the columns beyond, up to a multiple of 64, get zero codes
  int64_t step = 1;          // blocks from one of this token's to its next
  uint8_t* codes = nullptr;  // int8, or int16 as kernels/layout.h has them
  OffsetMeta* offset32 = nullptr;
  MinimumMeta* minimum32 = nullptr;
  OffsetMeta* offset16 = nullptr;
  SuperMeta* super32 = nullptr;  // these two: only where the columns fill records of 256
  SuperMeta* super16 = nullptr;
};

constexpr int kMostConvTaps = 8;

struct ConvArgs {
  const float* inputs = nullptr;  // [window - 1 + tokens][channels]
  const float* weight = nullptr;  // [channels][window]
  int tokens = 0, channels = 0, window = 0;
  float* out = nullptr;
};

// Attention of `heads` neighbouring query heads that share a key-value head, for `tokens` tokens from position `first`.
struct AttendArgs {
  const float* queries = nullptr;
  int64_t query_stride = 0;  // floats from token to token; heads are head_dim apart
  int heads = 0, tokens = 0, first = 0, head_dim = 0;
  const uint8_t* keys = nullptr;  // of the key-value head, cell 0
  const uint8_t* values = nullptr;
  int64_t cell_bytes = 0;  // from cell to cell
  int cells = 0;
  bool half = false;
  float scale = 1.0F;
  float softcap = 0.0F;          // 0: none
  const float* sinks = nullptr;  // of the heads; null: none
  int window = 0;
  float* out = nullptr;
  int64_t out_stride = 0;
  float* scratch = nullptr;  // AttendScratch floats
};

// The positions that `tokens` queries from `first` on see: [AttendBase(), first + tokens).
constexpr int AttendBase(int first, int window) { return window > 0 && first >= window ? first - window + 1 : 0; }
// Scores of one query over `span` positions, its factor, and room to a multiple of 16.
constexpr int AttendScoreStride(int span) { return (span + 16) / 16 * 16; }
constexpr int64_t AttendScratch(int heads, int tokens, int span, int head_dim) {
  const int64_t padded = (head_dim + 15) / 16 * 16;
  return int64_t{heads} * tokens * (AttendScoreStride(span) + padded) + 16 * padded;
}

constexpr int kMostStateVectors = 32;  // of 16 floats: head_dim up to 512

// One value head of the gated delta rule.
struct DeltaArgs {
  const float* queries = nullptr;  // normalised, [tokens][head_dim]
  const float* keys = nullptr;
  int64_t key_stride = 0;  // floats, of queries and keys
  const float* values = nullptr;
  int64_t value_stride = 0;
  const float* decays = nullptr;
  const float* betas = nullptr;
  int64_t gate_stride = 0;
  float* state = nullptr;  // [head_dim][head_dim]
  int tokens = 0, head_dim = 0;
  float out_scale = 1.0F;
  float* out = nullptr;
  int64_t out_stride = 0;
  // Given a log, the head's steps (key[d], delta[d], decay): `pending` of them are applied first, the deltas of the
  // batch are written behind them, and the state is not.
  float* steps = nullptr;
  int64_t step_stride = 0;
  int pending = 0;
};

struct ReplayArgs {
  const float* steps = nullptr;  // of one head: key[d], delta[d], decay
  int64_t step_stride = 0;
  float* state = nullptr;
  int tokens = 0, head_dim = 0;
};

// The first of the largest values of a row; any where not all are finite.
struct LargestOfRow {
  int64_t index;
  bool finite;  // all of them
};

struct KernelTable {
  const char* name = nullptr;
  int max_tile = 0;  // tokens

  PackingKernels packings[kPackings];                     // by Packing
  void (*encode)(const EncodeArgs& args) = nullptr;       // to int8
  void (*encode_fine)(const EncodeArgs& args) = nullptr;  // to int16
  void (*encode_shorts)(const float* x, int64_t columns, int16_t* codes, float* scales) = nullptr;

  // Element by element, or one row.
  void (*rms_norm)(const float* in, const float* weight, float eps, int width, float* out) = nullptr;
  void (*layer_norm)(const float* in, const float* weight, const float* bias, float eps, int width,
                     float* out) = nullptr;  // bias may be null
  void (*l2_norm)(const float* in, float eps, int width, float* out) = nullptr;
  void (*silu)(float* x, int64_t count) = nullptr;
  void (*gelu)(float* x, int64_t count) = nullptr;
  void (*soft_cap)(float* x, float cap, int64_t count) = nullptr;
  void (*silu_product)(const float* gate, const float* up, int64_t count, float* out) = nullptr;
  void (*gelu_product)(const float* gate, const float* up, int64_t count, float* out) = nullptr;
  void (*clamped_swiglu)(const float* gate, const float* up, int64_t count, float* out) = nullptr;
  void (*sigmoid_product)(float* x, const float* gate, int64_t count) = nullptr;        // x *= sigmoid(gate)
  void (*add_scaled)(float factor, const float* y, int64_t count, float* x) = nullptr;  // x += factor * y
  float (*sum_of_products)(const float* a, const float* b, int64_t count) = nullptr;
  LargestOfRow (*largest_of_row)(const float* x, int64_t count) = nullptr;              // count > 0
  double (*sum_of_exponentials)(const float* x, int64_t count, float shift) = nullptr;  // of x - shift
  void (*to_half)(const float* in, int64_t count, uint8_t* out) = nullptr;
  void (*conv_silu)(const ConvArgs& args, int first_channel, int last_channel) = nullptr;

  void (*attend)(const AttendArgs& args) = nullptr;
  void (*delta)(const DeltaArgs& args, int first_row, int last_row) = nullptr;
  void (*replay)(const ReplayArgs& args, int first_row, int last_row) = nullptr;

  // Probes: each runs `rounds` rounds in registers and returns the operations done (a multiply-add counts two).
  double (*int8_loop)(int64_t rounds) = nullptr;
  double (*fma_loop)(int64_t rounds) = nullptr;
  double (*bf16_loop)(int64_t rounds) = nullptr;  // null: there is no such instruction
  // Reads everything once; returns a digest, so that nothing is optimised away.
  uint64_t (*read_all)(const void* data, size_t bytes) = nullptr;
};

// One source each, with its own compile flags. The tables are constants, which any processor may read; what they point
// to may be called only where the processor has the instructions. The x86 ones exist on x86 only.
extern const KernelTable kPortableKernels;
extern const KernelTable kAvx2Kernels;
extern const KernelTable kAvx512Kernels;

}  // namespace assay::cpu
