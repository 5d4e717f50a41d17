#include "measure/throughput.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "measure/environment.h"

namespace assay {
namespace {

GgufTensor Matrix(uint64_t columns, uint64_t rows, uint64_t experts = 1) {
  return {.name = "t", .shape = {columns, rows, experts}, .format = Format::kF16, .data = {}};
}

TEST(ThroughputTestTest, NamesAreThoseOfLlamaBench) {
  EXPECT_EQ((ThroughputTest{.kind = ThroughputTest::Kind::kPrompt, .tokens = 512}.name()), "pp512");
  EXPECT_EQ((ThroughputTest{.kind = ThroughputTest::Kind::kGenerate, .tokens = 128, .depth = 1024}.name()),
            "tg128 @ d1024");
}

TEST(RoundOrderTest, EveryRoundIsAPermutationAndRepeatsWithItsSeed) {
  for (int round = 0; round < 50; ++round) {
    std::vector<int> order = RoundOrder(7, round, 42);
    EXPECT_EQ(order, RoundOrder(7, round, 42));
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5, 6}));
  }
}

TEST(RoundOrderTest, NoCellKeepsItsPlace) {
  // Over 50 rounds each of 4 cells comes first several times (12.5 expected, sd 3.1): drift favours none.
  std::vector<int> first(4);
  for (int round = 0; round < 50; ++round) ++first[static_cast<size_t>(RoundOrder(4, round, 1).front())];
  for (const int count : first) EXPECT_GE(count, 3);
}

TEST(PromptParametersTest, CountsWhatATokenIsMultipliedWith) {
  const GgufTensor small = Matrix(8, 4);       // 32
  const GgufTensor large = Matrix(8, 16);      // 128
  const GgufTensor experts = Matrix(8, 4, 8);  // 256, of which a quarter is used
  ModelSpec spec;
  spec.token_embedding = &large;
  spec.output = &large;
  LayerSpec dense;
  dense.attention = AttentionSpec{};
  dense.attention->q = {&large};
  dense.attention->k = {&small};
  dense.attention->v = {&small};
  dense.attention->output = {&large};
  dense.ffn = FfnSpec{};
  dense.ffn->gate = dense.ffn->up = dense.ffn->down = {&small};
  spec.layers.push_back(dense);
  EXPECT_EQ(PromptParameters(spec), 2 * 128U + 2 * 32 + 3 * 32);

  LayerSpec sparse;
  sparse.delta_net = DeltaNetSpec{};
  sparse.delta_net->qkv = {&large};
  sparse.delta_net->output = {&small};
  sparse.moe = MoeSpec{};
  sparse.moe->experts = 8;
  sparse.moe->used = 2;
  sparse.moe->router = {&small};
  sparse.moe->gate = sparse.moe->up = sparse.moe->down = {&experts};
  sparse.moe->shared = FfnSpec{};
  sparse.moe->shared->up = {&small};
  spec.layers = {sparse};
  EXPECT_EQ(PromptParameters(spec), 128U + 32 + 32 + 3 * 256 / 4 + 32);
}

TEST(CacheBytesReadTest, GrowsWithThePositionUpToTheWindow) {
  LayerSpec full;
  full.attention = AttentionSpec{};
  full.attention->kv_heads = 2;
  full.attention->head_dim = 8;
  LayerSpec windowed = full;
  windowed.attention->window = 10;
  LayerSpec recurrent;
  recurrent.delta_net = DeltaNetSpec{};
  ModelSpec spec;
  spec.layers = {full, windowed, recurrent};
  constexpr uint64_t kCell = 2 * 2 * 8;  // keys and values
  EXPECT_EQ(CacheBytesRead(spec, CacheType::kF16, 0), 2 * kCell * 2);
  EXPECT_EQ(CacheBytesRead(spec, CacheType::kF16, 99), (100 + 10) * kCell * 2);
  EXPECT_EQ(CacheBytesRead(spec, CacheType::kF32, 99), (100 + 10) * kCell * 4);
}

TEST(EnvironmentTest, IsComplete) {
  const Environment environment = CaptureEnvironment();
  EXPECT_NE(environment.cpu, "");
  EXPECT_EQ(environment.machine.size(), 16U);
  EXPECT_EQ(environment, CaptureEnvironment());
  EXPECT_GE(environment.cores, 1);
  EXPECT_GT(environment.memory_bytes, uint64_t{1} << 20);
  EXPECT_NE(environment.kernel, "");
  EXPECT_NE(environment.compiler, "");
  EXPECT_NE(environment.assay_version, "");
  EXPECT_NE(environment.build_type, "");
}

TEST(ConditionsWatchTest, CountsOnlyWhatHappenedSinceItsStart) {
  const ConditionsWatch watch;
  const Conditions conditions = watch.Finish();
  EXPECT_GE(conditions.involuntary_switches, 0);
  EXPECT_LT(conditions.major_faults, 1000);
}

}  // namespace
}  // namespace assay
