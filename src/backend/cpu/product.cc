#include "backend/cpu/product.h"

#include <algorithm>
#include <vector>

namespace assay::cpu {
namespace {

// Up to here every token of a batch gets the bits that it gets alone, by the contract of Backend; beyond,
// half-precision weights take the faster integer path, whose rounding is another.
constexpr int kInvariantTokens = 32;
// Panels of one task. Enough of them that the threads share evenly, and for long batches so many that a tile of tokens,
// once in the first-level cache, is used by several.
constexpr int64_t kMostPanels = 8;
constexpr int64_t kLongPanels = 4;
constexpr int64_t kTasksPerThread = 6;

const PackingKernels& KernelsOf(const KernelTable& kernels, Packing packing) {
  return kernels.packings[static_cast<int>(packing)];
}

bool IsLong(const KernelTable& kernels, Packing packing, int tokens) {
  const PackingKernels& own = KernelsOf(kernels, packing);
  if (own.expand == nullptr) return false;
  return tokens > (own.encoding == own.long_encoding ? kernels.max_tile : kInvariantTokens);
}

// Calls body(first, count) for tiles of nearly equal sizes.
template <typename Body>
void ForTiles(int tokens, int most, const Body& body) {
  const int tiles = (tokens + most - 1) / most;
  for (int i = 0, first = 0; i < tiles; ++i) {
    const int count = (tokens - first + tiles - i - 1) / (tiles - i);
    body(first, count);
    first += count;
  }
}

struct Task {
  const Product* product;
  int64_t first, count;  // panels
};

// One tile of tokens through `count` panels that start at panel `first` of the weight.
struct TileRun {
  const Product& product;
  const Activations& activations;
  Encoding encoding;
  int64_t records, panel_bytes;
  int offset_bits = 0;

  void operator()(const TileKernels& kernels, const uint8_t* panels, int64_t first, int64_t count, int token) const {
    DotArgs args;
    args.panel_bytes = panel_bytes;
    args.records = records;
    args.offset_bits = offset_bits;
    args.out_stride = product.weight->rows;
    activations.Fill(encoding, product.first + token, args);
    for (int64_t i = 0; i < count;) {
      const bool several = i + kernels.panels <= count;
      const int64_t row = (first + i) * kPanelRows;
      args.panel = panels + i * panel_bytes;
      args.out = product.out + token * product.weight->rows + row;
      args.rows = static_cast<int>(std::min<int64_t>(kPanelRows * kernels.panels, product.weight->rows - row));
      (several ? kernels.several : kernels.single)(args);
      i += several ? kernels.panels : 1;
    }
  }
};

// Unpacks the panels once and takes all tokens through them.
void RunLong(const PackingKernels& kernels, int max_tile, const Task& task, const Activations& activations) {
  const Product& product = *task.product;
  const CpuWeight& weight = *product.weight;
  const int64_t blocks =
      kernels.blocks > 0 ? weight.records() * kernels.blocks : (weight.records() + kBlockColumns - 1) / kBlockColumns;
  const int64_t panel_bytes = blocks * kernels.expanded_block_bytes;
  thread_local AlignedBytes scratch;
  scratch.Reserve(static_cast<size_t>(panel_bytes * task.count));
  for (int64_t i = 0; i < task.count; ++i) {
    kernels.expand(weight.panel(product.expert, task.first + i), weight.records(), scratch.data() + i * panel_bytes);
  }
  const TileRun run = {product, activations, kernels.long_encoding, blocks, panel_bytes, kernels.offset_bits};
  ForTiles(product.tokens, max_tile, [&](int token, int count) {
    run(kernels.expanded[count - 1], scratch.data(), task.first, task.count, token);
  });
}

void RunShort(const PackingKernels& kernels, int max_tile, const Task& task, const Activations& activations) {
  const Product& product = *task.product;
  const CpuWeight& weight = *product.weight;
  const TileRun run = {product, activations, kernels.encoding, weight.records(), weight.panel_bytes()};
  ForTiles(product.tokens, max_tile, [&](int token, int count) {
    run(kernels.tile[count - 1], weight.panel(product.expert, task.first), task.first, task.count, token);
  });
}

}  // namespace

Encoding EncodingFor(const KernelTable& kernels, Packing packing, int tokens) {
  const PackingKernels& own = KernelsOf(kernels, packing);
  return IsLong(kernels, packing, tokens) ? own.long_encoding : own.encoding;
}

void RunProducts(const KernelTable& kernels, ThreadPool& pool, std::span<const Product> products,
                 const Activations& activations) {
  int64_t panels = 0;
  for (const Product& product : products) panels += product.weight->panels();
  const int64_t share = std::clamp<int64_t>(panels / (pool.size() * kTasksPerThread) / kPanelGroup * kPanelGroup,
                                            kPanelGroup, kMostPanels);
  thread_local std::vector<Task> tasks;
  tasks.clear();
  for (const Product& product : products) {
    if (product.tokens == 0) continue;
    const bool is_long = IsLong(kernels, product.weight->packing(), product.tokens);
    const int64_t step = is_long ? std::min(share, kLongPanels) : share;
    for (int64_t first = 0; first < product.weight->panels(); first += step) {
      tasks.push_back({&product, first, std::min(step, product.weight->panels() - first)});
    }
  }
  const std::vector<Task>& shared = tasks;  // the caller's, for all threads
  pool.ParallelFor(static_cast<int64_t>(shared.size()), [&](int64_t i) {
    const Task& task = shared[static_cast<size_t>(i)];
    const Packing packing = task.product->weight->packing();
    const PackingKernels& own = KernelsOf(kernels, packing);
    const bool is_long = IsLong(kernels, packing, task.product->tokens);
    (is_long ? RunLong : RunShort)(own, kernels.max_tile, task, activations);
  });
}

}  // namespace assay::cpu
