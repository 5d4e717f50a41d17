// What a session takes of memory: nothing that grows with the layers but their states and caches.

#include <gtest/gtest.h>

#include "engine/session.h"

namespace assay {
namespace {

// The shape of a qwen35 of 9B: 24 delta nets and 8 attention layers.
ModelSpec Shape9B() {
  static const GgufTensor gate;
  ModelSpec spec;
  spec.vocab = 248320;
  spec.width = 4096;
  spec.context_length = 262144;
  for (int i = 0; i < 32; ++i) {
    LayerSpec& layer = spec.layers.emplace_back();
    if (i % 4 == 3) {
      AttentionSpec& attention = layer.attention.emplace();
      attention.heads = 16;
      attention.kv_heads = 4;
      attention.head_dim = 256;
      attention.gate = {&gate};
    } else {
      DeltaNetSpec& delta_net = layer.delta_net.emplace();
      delta_net.key_heads = 16;
      delta_net.value_heads = 32;
      delta_net.head_dim = 128;
    }
    layer.ffn.emplace().width = 12288;
  }
  return spec;
}

TEST(SessionMemoryTest, Of9BIsStatesCacheAndAtMost64Megabytes) {
  constexpr uint64_t kCache = 2ULL * 8 * 4096 * 4 * 256 * 2;     // 8 layers, 4096 cells of 4 heads of 256 halves
  constexpr uint64_t kDeltaStates = 24ULL * 32 * 128 * 128 * 4;  // 24 layers, 32 matrices of 128 x 128 floats
  const SessionMemory memory = MemoryOf(Shape9B(), {.context = 4096});
  EXPECT_EQ(memory.cache, kCache);
  EXPECT_GE(memory.states, kDeltaStates);
  // Of a convolution, its window of four inputs for each layer: 24 x 4 x 8192 floats.
  EXPECT_LE(memory.states, kDeltaStates + 24ULL * 4 * 8192 * 4);
  EXPECT_EQ(memory.rollback, 0U);
  EXPECT_LE(memory.scratch, 64ULL << 20);
}

TEST(SessionMemoryTest, ScratchIsAsLargeForManyLayersAsForFew) {
  ModelSpec few = Shape9B();
  few.layers.resize(4);
  EXPECT_EQ(MemoryOf(few, {}).scratch, MemoryOf(Shape9B(), {}).scratch);
}

}  // namespace
}  // namespace assay
