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

DotArgs ArgsFor(const Product& product, int64_t panel, int64_t panels) {
  const CpuWeight& weight = *product.weight;
  DotArgs args;
  args.panel = weight.panel(product.expert, panel);
  args.panel_bytes = weight.panel_bytes();
  args.records = weight.records();
  args.out_stride = weight.rows;
  args.rows = static_cast<int>(std::min(panels * kPanelRows, weight.rows - panel * kPanelRows));
  return args;
}

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
  ForTiles(product.tokens, max_tile, [&](int first, int count) {
    for (int64_t i = 0; i < task.count; ++i) {
      DotArgs args = ArgsFor(product, task.first + i, 1);
      args.panel = scratch.data() + i * panel_bytes;
      args.records = blocks;
      activations.Fill(kernels.long_encoding, product.first + first, args);
      args.out = product.out + first * weight.rows + (task.first + i) * kPanelRows;
      kernels.expanded[count - 1](args);
    }
  });
}

void RunShort(const PackingKernels& kernels, int max_tile, const Task& task, const Activations& activations) {
  const Product& product = *task.product;
  const auto run = [&](int first, int64_t panel, int64_t panels, DotFunction dot) {
    DotArgs args = ArgsFor(product, panel, panels);
    activations.Fill(kernels.encoding, product.first + first, args);
    args.out = product.out + first * product.weight->rows + panel * kPanelRows;
    dot(args);
  };
  ForTiles(product.tokens, max_tile, [&](int first, int count) {
    const int64_t together = kernels.panels[count - 1];
    int64_t i = 0;
    for (; i + together <= task.count; i += together) {
      run(first, task.first + i, together, kernels.tile[count - 1]);
    }
    for (; i < task.count; ++i) run(first, task.first + i, 1, kernels.single[count - 1]);
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
  const int64_t share = std::clamp<int64_t>(panels / (pool.size() * kTasksPerThread), 1, kMostPanels);
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
