// The oracle itself, against values computed by hand. Whole models judge it too: engine/session_test.cc.

#include "backend/ref/ref_backend.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "base/error.h"

namespace assay {
namespace {

constexpr float kTolerance = 1e-6F;

std::vector<uint8_t> Bytes(const std::vector<float>& values) {
  std::vector<uint8_t> bytes(values.size() * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

class RefBackendTest : public testing::Test {
 protected:
  std::unique_ptr<Weight> Matrix(const std::vector<float>& values, int64_t rows, int64_t columns, int64_t experts = 1) {
    kept_.push_back(Bytes(values));
    return backend_->Load({"test", Format::kF32, rows, columns, experts, kept_.back()});
  }

  static void ExpectNear(const std::vector<float>& found, const std::vector<float>& expected) {
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], kTolerance) << "value " << i;
  }

  std::unique_ptr<Backend> backend_ = MakeRefBackend(2, "");
  std::vector<std::vector<uint8_t>> kept_;
};

TEST_F(RefBackendTest, MatMulTakesRowsOfTheWeightByTokens) {
  const auto weight = Matrix({1, 2, 3, 4, 5, 6}, 2, 3);
  const std::vector<float> in = {1, 0, -1, 2, 2, 2};
  std::vector<float> out(4);
  backend_->MatMul(std::vector<Backend::MatMulTarget>{{weight.get(), out.data()}}, in.data(), 2, Arithmetic::kEveryday);
  ExpectNear(out, {-2, -2, 12, 30});
}

TEST_F(RefBackendTest, EmbedScalesTheRowsAsked) {
  const auto table = Matrix({1, 2, 3, 4, 5, 6}, 3, 2);
  std::vector<float> out(4);
  const std::vector<int32_t> tokens = {2, 0};
  backend_->Embed(*table, tokens, 2.0F, out.data());
  ExpectNear(out, {10, 12, 2, 4});
}

TEST_F(RefBackendTest, RmsNormDividesByTheRootMeanSquareOfEachRow) {
  const std::vector<float> in = {3, 4, 99, 0, 2, 99};
  const std::vector<float> weight = {1, 2};
  std::vector<float> out = in;
  backend_->RmsNorm(in.data(), weight.data(), 0.0F, 2, 2, 3, out.data());
  const float first = std::sqrt(12.5F);
  ExpectNear(out, {3 / first, 8 / first, 99, 0, 4 / std::sqrt(2.0F), 99});
}

TEST_F(RefBackendTest, RopeTurnsPairsByPositionTimesFrequency) {
  // Position 3, two pairs.
  const std::vector<double> frequencies = {0.5, 0.05};
  const float a = 1.5F, b = 0.15F;
  std::vector<float> neox = {1, 0, 0, 1, 7};
  backend_->Rope(neox.data(), 1, 1, 5, 5, 3, {4, true, frequencies.data(), 1.0F});
  ExpectNear(neox, {std::cos(a), -std::sin(b), std::sin(a), std::cos(b), 7});
  std::vector<float> adjacent = {1, 0, 0, 1, 7};
  backend_->Rope(adjacent.data(), 1, 1, 5, 5, 3, {4, false, frequencies.data(), 1.0F});
  ExpectNear(adjacent, {std::cos(a), std::sin(a), -std::sin(b), std::cos(b), 7});
  std::vector<float> larger = {0, 1, 0, 0};
  backend_->Rope(larger.data(), 1, 1, 4, 4, 3, {4, true, frequencies.data(), 2.0F});
  ExpectNear(larger, {0, 2 * std::cos(b), 0, 2 * std::sin(b)});
}

TEST_F(RefBackendTest, AttentionWeighsValuesByTheSoftmaxOfWhatTheWindowShows) {
  // One key-value head of one dimension serving two query heads; three positions in a ring of four cells.
  const auto keys = backend_->Allocate(4 * sizeof(float));
  const auto values = backend_->Allocate(4 * sizeof(float));
  const KvLayer cache{keys.get(), values.get(), CacheType::kF32, 4};
  const std::vector<float> k = {0, 1, 2, 0.5F, -1};
  const std::vector<float> v = {1, 10, 100, 1000, 10000};
  backend_->StoreKv(cache, k.data(), v.data(), 5, 0, 1);  // position 4 takes the cell of position 0
  const std::vector<float> q = {1, 0};
  std::vector<float> out(2);
  backend_->Attention(q.data(), cache, 1, 4, {2, 1, 1, 2.0F, 2}, out.data());
  const float far = std::exp(1.0F), near = std::exp(-2.0F);
  EXPECT_NEAR(out[0], (far * 1000 + near * 10000) / (far + near), 1e-3);
  EXPECT_NEAR(out[1], 5500, 1e-3);
}

TEST_F(RefBackendTest, F16CacheRoundsWhatItKeeps) {
  const auto keys = backend_->Allocate(2 * sizeof(uint16_t));
  const auto values = backend_->Allocate(2 * sizeof(uint16_t));
  const KvLayer cache{keys.get(), values.get(), CacheType::kF16, 2};
  const float key = 0.0F, value = 1.0F + 0x1p-12F;
  backend_->StoreKv(cache, &key, &value, 1, 0, 1);
  const float query = 1.0F;
  float out = 0.0F;
  backend_->Attention(&query, cache, 1, 0, {1, 1, 1, 1.0F, 0}, &out);
  EXPECT_EQ(out, 1.0F);
}

TEST_F(RefBackendTest, ConvolutionSlidesOverCarriedAndNewInputs) {
  const std::vector<float> inputs = {1, 10, 2, 20, 3, 30};  // two channels, one carried row, two tokens
  const std::vector<float> weight = {1, 1, 0.5F, 0};
  std::vector<float> out(4);
  backend_->ConvSilu(inputs.data(), weight.data(), 2, 2, 2, out.data());
  const auto silu = [](float x) { return x / (1.0F + std::exp(-x)); };
  ExpectNear(out, {silu(3), silu(5), silu(5), silu(10)});
}

// One head of two dimensions, two tokens with unit keys along the axes and no decay (a = 0): the state becomes an outer
// product, and the query reads it back over sqrt(2).
TEST_F(RefBackendTest, DeltaRuleStoresValuesUnderKeys) {
  const DeltaNetParams params{1, 1, 2, 1e-6F};
  const std::vector<float> qkv = {1, 0, 2, 0, 5,  7,    // query e0, key 2 e0 (normalised), value (5, 7)
                                  1, 1, 0, 3, 11, 13};  // query (1, 1)/sqrt 2, key e1
  const std::vector<float> alpha = {0.3F, 0.3F}, beta = {40.0F, 40.0F};  // sigmoid(40) is 1
  const std::vector<float> dt_bias = {0}, a = {0};
  std::vector<float> state(4), out(4);
  backend_->DeltaNet(qkv.data(), alpha.data(), beta.data(), dt_bias.data(), a.data(), state.data(), 2, params, {},
                     out.data());
  ExpectNear(state, {5, 11, 7, 13});
  const float root = std::sqrt(2.0F);
  ExpectNear(out, {5 / root, 7 / root, 8, 10});
}

TEST_F(RefBackendTest, DeltaRuleDecaysForgetsAndWeighs) {
  const DeltaNetParams params{1, 1, 1, 1e-6F};
  const std::vector<float> qkv = {1, 1, 4};
  const std::vector<float> alpha = {0.5F}, beta = {0.0F}, dt_bias = {0.25F}, a = {-2.0F};
  std::vector<float> state = {3}, out(1);
  backend_->DeltaNet(qkv.data(), alpha.data(), beta.data(), dt_bias.data(), a.data(), state.data(), 1, params, {},
                     out.data());
  const float kept = 3.0F * std::exp(-2.0F * std::log1p(std::exp(0.75F)));
  ExpectNear(state, {kept + 0.5F * (4 - kept)});
  ExpectNear(out, state);
}

TEST_F(RefBackendTest, LoggedStepsReplayToTheSameBits) {
  const DeltaNetParams params{1, 2, 4, 1e-6F};
  constexpr int kTokens = 5;
  std::vector<float> qkv(kTokens * 16), alpha(kTokens * 2), beta(kTokens * 2), state(2 * 16), out(kTokens * 8);
  for (size_t i = 0; i < qkv.size(); ++i) qkv[i] = std::sin(static_cast<float>(i) * 1.7F);
  for (size_t i = 0; i < alpha.size(); ++i) alpha[i] = beta[i] = std::cos(static_cast<float>(i));
  for (size_t i = 0; i < state.size(); ++i) state[i] = std::sin(static_cast<float>(i));
  const std::vector<float> dt_bias = {0.1F, -0.2F}, a = {-1.0F, -0.5F};
  std::vector<float> log(kTokens * 2 * 9);
  std::vector<float> replayed = state, logged_out = out;
  // Two logged batches, of three tokens and of two behind them; then the first four steps are applied.
  const auto run = [&](float* into, int first, int tokens, const DeltaNetLog& kept, float* result) {
    backend_->DeltaNet(qkv.data() + first * 16, alpha.data() + first * 2, beta.data() + first * 2, dt_bias.data(),
                       a.data(), into, tokens, params, kept, result + first * 8);
  };
  run(replayed.data(), 0, 3, {log.data(), 0}, logged_out.data());
  run(replayed.data(), 3, 2, {log.data(), 3}, logged_out.data());
  EXPECT_EQ(replayed, state) << "a logged batch leaves the state alone";
  backend_->DeltaNetReplay(log.data(), 4, params, replayed.data());
  run(state.data(), 0, 4, {}, out.data());
  EXPECT_EQ(replayed, state);
  run(state.data(), 4, 1, {}, out.data());
  EXPECT_EQ(logged_out, out);
}

TEST_F(RefBackendTest, GatesAndActivations) {
  std::vector<float> x = {2, -1};
  const std::vector<float> gate = {0, 3};
  backend_->SigmoidGate(x.data(), gate.data(), 1, 2, 2, 2);
  ExpectNear(x, {1, -1 / (1 + std::exp(-3.0F))});
  x = {2, -1};
  backend_->SiluGate(x.data(), gate.data(), 2);
  ExpectNear(x, {0, -3 / (1 + std::exp(-3.0F))});
  std::vector<float> out(2);
  backend_->GatedActivation(Activation::kGeluTanh, gate.data(), x.data(), 2, out.data());
  EXPECT_NEAR(out[1], 2.9963627F * x[1], 1e-5);  // gelu_tanh(3), tabulated
  backend_->Add(x.data(), gate.data(), 1.0F, 2);
  EXPECT_NEAR(x[0], 0, kTolerance);
}

TEST_F(RefBackendTest, MixtureOfExpertsRenormalisesTheChosen) {
  // Three experts of width 1 and inner width 1: down * silu(gate x) * up x.
  const auto gate = Matrix({1, 1, 1}, 1, 1, 3);
  const auto up = Matrix({1, 2, 3}, 1, 1, 3);
  const auto down = Matrix({1, 1, 1}, 1, 1, 3);
  const std::vector<float> in = {1}, router = {0, 5, 5};
  std::vector<float> out = {100};
  backend_->Moe(in.data(), router.data(), {gate.get(), up.get(), down.get()}, {.used = 2}, 1, Arithmetic::kEveryday,
                out.data());
  const float silu = 1 / (1 + std::exp(-1.0F));
  EXPECT_NEAR(out[0], 100 + silu * 2.5F, 1e-5);
  out = {100};
  backend_->Moe(in.data(), router.data(), {gate.get(), up.get(), down.get()}, {.used = 1}, 1, Arithmetic::kEveryday,
                out.data());
  EXPECT_NEAR(out[0], 100 + silu * 2, 1e-5) << "of equals the lower index is taken";
  const std::vector<float> gate_weight = {0}, shared = {4};
  backend_->AddGatedShared(in.data(), gate_weight.data(), shared.data(), 1, 1, out.data());
  EXPECT_NEAR(out[0], 102 + silu * 2, 1e-5);
}

TEST_F(RefBackendTest, MixtureOfExpertsWithBiasesScalesAndTheSoftmaxOfAll) {
  const auto gate = Matrix({1, 1}, 1, 1, 2);
  const auto up = Matrix({1, 2}, 1, 1, 2);
  const auto down = Matrix({1, 3}, 1, 1, 2);
  const std::vector<float> in = {1}, router = {0, std::log(3.0F)};
  const std::vector<float> gate_bias = {9, 1}, up_bias = {9, 4}, down_bias = {9, 5}, expert_scale = {9, 0.5F};
  const Backend::MoeWeights weights = {gate.get(),       up.get(),       down.get(),
                                       gate_bias.data(), up_bias.data(), down_bias.data()};
  std::vector<float> out = {0};
  // The second expert, of share 3/4: 3 (silu(1 + 1) (2 + 4)) + 5.
  backend_->Moe(in.data(), router.data(), weights,
                {.used = 1, .renormalise = false, .scale = 2.0F, .expert_scale = expert_scale.data()}, 1,
                Arithmetic::kEveryday, out.data());
  const float silu = 2 / (1 + std::exp(-2.0F));
  EXPECT_NEAR(out[0], 0.75F * 2 * 0.5F * (3 * silu * 6 + 5), 1e-5);
}

TEST_F(RefBackendTest, ClampedSwigluHoldsBothBelowSevenAndUpAboveMinusSeven) {
  const std::vector<float> gate = {1, 100, -100, 1}, up = {2, 2, 2, -100};
  std::vector<float> out(4);
  backend_->GatedActivation(Activation::kClampedSwiglu, gate.data(), up.data(), 4, out.data());
  const auto sigmoid = [](float x) { return 1 / (1 + std::exp(-1.702F * x)); };
  ExpectNear(out, {sigmoid(1) * 3, 7 * sigmoid(7) * 3, 0, sigmoid(1) * -6});
}

TEST_F(RefBackendTest, LayerNormTakesTheMeanOffAndAddsItsBias) {
  const std::vector<float> in = {1, 3, 99, 5, 5, 99}, weight = {1, 2}, bias = {10, 20};
  std::vector<float> out = in;
  backend_->LayerNorm(in.data(), weight.data(), bias.data(), 0.25F, 2, 2, 3, out.data());
  const float norm = std::sqrt(1.25F);
  ExpectNear(out, {10 - 1 / norm, 20 + 2 / norm, 99, 10, 20, 99});
  backend_->LayerNorm(in.data(), weight.data(), nullptr, 0.25F, 1, 2, 3, out.data());
  ExpectNear(out, {-1 / norm, 2 / norm, 99, 10, 20, 99});
}

TEST_F(RefBackendTest, SumsScalesAndCaps) {
  std::vector<float> x = {1, 2, 3, 4};
  const std::vector<float> y = {10, 20};
  backend_->AddToRows(x.data(), y.data(), 2, 2);
  ExpectNear(x, {11, 22, 13, 24});
  backend_->Add(x.data(), y.data(), -0.5F, 2);
  ExpectNear(x, {6, 12, 13, 24});
  backend_->Scale(x.data(), 0.5F, 4);
  ExpectNear(x, {3, 6, 6.5F, 12});
  backend_->SoftCap(x.data(), 3.0F, 1);
  EXPECT_NEAR(x[0], 3 * std::tanh(1.0F), kTolerance);
  x = {3, 0};
  backend_->Activate(Activation::kGeluTanh, x.data(), 1);
  EXPECT_NEAR(x[0], 2.9963627F, 1e-6);  // tabulated
  backend_->Activate(Activation::kSilu, x.data(), 2);
  EXPECT_NEAR(x[1], 0, kTolerance);
}

TEST_F(RefBackendTest, AttentionCapsItsScoresAndSharesWithSinks) {
  const auto keys = backend_->Allocate(2 * sizeof(float)), values = backend_->Allocate(2 * sizeof(float));
  const KvLayer cache{keys.get(), values.get(), CacheType::kF32, 2};
  const std::vector<float> k = {0, 8}, v = {1, 2}, query = {1, 1}, sinks = {0, std::log(5.0F)};
  backend_->StoreKv(cache, k.data(), v.data(), 2, 0, 1);
  std::vector<float> out(2);
  AttentionParams params = {.heads = 2, .kv_heads = 1, .head_dim = 1, .softcap = 4.0F, .sinks = sinks.data()};
  backend_->Attention(query.data(), cache, 1, 1, params, out.data());
  const float weight = std::exp(4 * std::tanh(2.0F));
  ExpectNear(out, {(1 + 2 * weight) / (1 + weight + 1), (1 + 2 * weight) / (1 + weight + 5)});
}

// Four value heads over two key heads: which of them a head reads.
TEST_F(RefBackendTest, DeltaRuleReadsNeighboursOrEveryOther) {
  for (const bool neighbours : {false, true}) {
    const DeltaNetParams params{2, 4, 1, 1e-6F, neighbours};
    const std::vector<float> qkv = {1, 1, 1, -1, 1, 1, 1, 1};  // key heads +1 and -1, values 1
    const std::vector<float> zeros(4), beta(4, 40.0F);
    std::vector<float> state(4), out(4);
    backend_->DeltaNet(qkv.data(), zeros.data(), beta.data(), zeros.data(), zeros.data(), state.data(), 1, params, {},
                       out.data());
    ExpectNear(state, neighbours ? std::vector<float>{1, 1, -1, -1} : std::vector<float>{1, -1, 1, -1});
  }
}

TEST_F(RefBackendTest, HasNoVariants) { EXPECT_THROW(MakeRefBackend(1, "avx2"), Error); }

}  // namespace
}  // namespace assay
