#include "backend/cpu/product.h"

#include <algorithm>
#include <vector>

namespace assay::cpu {
namespace {

// Panels of one task. Enough of them that the threads share evenly, and for long batches so many that a tile of tokens,
// once in the first-level cache, is used by several.
constexpr int64_t kMostPanels = 8;
constexpr int64_t kLongPanels = 4;
constexpr int64_t kTasksPerThread = 6;

const PackingKernels& KernelsOf(const KernelTable& kernels, Packing packing) {
  return kernels.packings[static_cast<int>(packing)];
}

bool IsLong(const KernelTable& kernels, Packing packing, int tokens, Arithmetic arithmetic) {
  const PackingKernels& own = KernelsOf(kernels, packing);
  if (own.expand == nullptr) return false;
  // Fine arithmetic has kernels for unpacked panels alone, and takes float weights as they are.
  if (arithmetic == Arithmetic::kFine) return own.encoding != Encoding::kFloats;
  // Beyond the batches whose bits are promised, half-precision weights take the faster integer path, which rounds
  // otherwise.
  const bool same_bits = own.encoding == own.long_encoding;
  return tokens > (same_bits ? MostTokensInTiles(kernels) : kInvariantTokens);
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

// Takes one tile of tokens through `count` panels from `first` on; `panel_at(i)` is where panel i of the weight lies.
template <typename PanelAt>
void RunTile(const Product& product, int64_t first, int64_t count, const TileKernel& kernel, int token, DotArgs args,
             const PanelAt& panel_at) {
  const int64_t rows = product.weight->rows;
  args.out_stride = rows;
  for (int64_t i = first; i < first + count; i += kernel.panels) {
    const int64_t left = rows - i * kPanelRows;
    if (left <= 0) return;
    args.panel = panel_at(i);
    args.out = product.out + token * rows + i * kPanelRows;
    args.rows = static_cast<int>(std::min<int64_t>(kPanelRows * kernel.panels, left));
    kernel.dot(args);
  }
}

// Unpacks the panels once and takes all tokens through them.
void RunLong(const PackingKernels& kernels, const TileKernel* tiles, int max_tile, const Task& task,
             const Activations& activations) {
  const Product& product = *task.product;
  const CpuWeight& weight = *product.weight;
  const int64_t records = (weight.records() + kernels.records - 1) / kernels.records;
  const int64_t group_bytes = records * kernels.expanded_stride;
  thread_local AlignedBytes scratch;
  scratch.Reserve(static_cast<size_t>(group_bytes * (task.count / kQuantGroup)));
  const auto expanded_at = [&, base = scratch.data()](int64_t panel) {
    const int64_t i = panel - task.first;
    return base + i / kQuantGroup * group_bytes + i % kQuantGroup * kVector;
  };
  for (int64_t i = task.first; i < task.first + task.count; ++i) {
    kernels.expand(weight.panel(product.expert, i), weight.records(), expanded_at(i));
  }
  DotArgs args;
  args.records = records;
  args.offset_bits = kernels.offset_bits;
  ForTiles(product.tokens, max_tile, [&](int token, int count) {
    activations.Fill(kernels.long_encoding, product.first + token, args);
    RunTile(product, task.first, task.count, tiles[count - 1], token, args, expanded_at);
  });
}

// A group of panels meets all tiles of tokens while it is in the cache.
void RunShort(const PackingKernels& kernels, int max_tile, const Task& task, const Activations& activations) {
  const Product& product = *task.product;
  const CpuWeight& weight = *product.weight;
  DotArgs args;
  args.records = weight.records();
  for (int64_t i = 0; i < task.count; i += weight.group()) {
    ForTiles(product.tokens, max_tile, [&](int token, int count) {
      activations.Fill(kernels.encoding, product.first + token, args);
      RunTile(product, task.first + i, weight.group(), kernels.tile[count - 1], token, args,
              [&](int64_t panel) { return weight.panel(product.expert, panel); });
    });
  }
}

}  // namespace

Encoding EncodingFor(const KernelTable& kernels, Packing packing, int tokens, Arithmetic arithmetic) {
  const PackingKernels& own = KernelsOf(kernels, packing);
  return IsLong(kernels, packing, tokens, arithmetic) ? own.long_encoding : own.encoding;
}

void RunProducts(const KernelTable& kernels, ThreadPool& pool, std::span<const Product> products,
                 const Activations& activations, Arithmetic arithmetic) {
  int64_t panels = 0;
  for (const Product& product : products) panels += product.weight->panels();
  const int64_t share = std::clamp<int64_t>(panels / (pool.size() * kTasksPerThread) / kFloatGroup * kFloatGroup,
                                            kFloatGroup, kMostPanels);
  thread_local std::vector<Task> tasks;
  tasks.clear();
  for (const Product& product : products) {
    if (product.tokens == 0) continue;
    const bool is_long = IsLong(kernels, product.weight->packing(), product.tokens, arithmetic);
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
    if (IsLong(kernels, packing, task.product->tokens, arithmetic)) {
      const TileKernel* tiles = arithmetic == Arithmetic::kFine ? own.fine : own.expanded;
      RunLong(own, tiles, kernels.max_tile, task, activations);
    } else {
      RunShort(own, kernels.max_tile, task, activations);
    }
  });
}

}  // namespace assay::cpu
