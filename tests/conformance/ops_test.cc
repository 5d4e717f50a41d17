// Every operation but the products, on every backend: what the oracle computes, whatever the batch.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "base/half.h"
#include "conformance/conformance.h"

namespace assay::conformance {
namespace {

constexpr double kEpsilon = 0x1p-24;

class OpsTest : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Backend> backend_ = MakeBackend(GetParam(), 2);
  std::unique_ptr<Backend> ref_ = MakeBackend("ref", 2);
};

void ExpectClose(std::span<const float> found, std::span<const float> exact, double bound) {
  ASSERT_EQ(found.size(), exact.size());
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_NEAR(found[i], exact[i], bound) << "value " << i << " of " << found.size();
  }
}

float Most(std::span<const float> values) {
  float most = 0;
  for (const float value : values) most = std::max(most, std::abs(value));
  return most;
}

std::vector<float> Absolute(std::vector<float> values) {
  for (float& value : values) value = std::abs(value);
  return values;
}

TEST_P(OpsTest, RmsNormOfStridedRows) {
  Rng rng(1);
  for (const int width : {1, 15, 100, 1024}) {
    for (const int64_t rows : {1, 3, 40}) {
      const int64_t stride = width + 5;
      const std::vector<float> in = Normals(rng, static_cast<size_t>(rows * stride));
      const std::vector<float> weight = Normals(rng, static_cast<size_t>(width));
      std::vector<float> found = in, exact = in;
      backend_->RmsNorm(found.data(), weight.data(), 1e-6F, rows, width, stride, found.data());
      ref_->RmsNorm(exact.data(), weight.data(), 1e-6F, rows, width, stride, exact.data());
      ExpectClose(found, exact, (width / 2.0 + 8) * kEpsilon * Most(exact));
    }
  }
}

TEST_P(OpsTest, RopeOfBothPairings) {
  Rng rng(2);
  const std::vector<float> factors = Absolute(Normals(rng, 16, 4));
  for (const bool neox : {false, true}) {
    for (const bool scaled : {false, true}) {
      const RopeParams rope = {32, neox, 1e6F, scaled ? 0.125F : 1.0F, scaled ? factors.data() : nullptr};
      constexpr int kHeads = 3, kHeadDim = 48, kTokens = 9;
      std::vector<float> found = Normals(rng, kTokens * (kHeads * kHeadDim + 4)), exact = found;
      backend_->Rope(found.data(), kTokens, kHeads, kHeadDim, kHeads * kHeadDim + 4, 5000, rope);
      ref_->Rope(exact.data(), kTokens, kHeads, kHeadDim, kHeads * kHeadDim + 4, 5000, rope);
      ExpectClose(found, exact, 8 * kEpsilon * Most(exact));
    }
  }
}

// A cache filled from position 0 to `positions`, on both backends.
struct Caches {
  Caches(Backend& backend, Backend& ref, Rng& rng, CacheType type, int cells, int positions, int width) {
    for (Backend* b : {&backend, &ref}) {
      const auto bytes = static_cast<size_t>(cells * width) * (type == CacheType::kF16 ? 2 : 4);
      buffers.push_back(b->Allocate(bytes));
      buffers.push_back(b->Allocate(bytes));
    }
    tested = {buffers[0].get(), buffers[1].get(), type, cells};
    exact = {buffers[2].get(), buffers[3].get(), type, cells};
    const std::vector<float> keys = Normals(rng, static_cast<size_t>(positions * width));
    const std::vector<float> values = Normals(rng, keys.size());
    backend.StoreKv(tested, keys.data(), values.data(), positions, 0, width);
    ref.StoreKv(exact, keys.data(), values.data(), positions, 0, width);
  }
  std::vector<std::unique_ptr<Buffer>> buffers;
  KvLayer tested, exact;
};

TEST_P(OpsTest, CacheCellsHoldRoundedHalvesAndWrapAround) {
  Rng rng(3);
  for (const CacheType type : {CacheType::kF16, CacheType::kF32}) {
    Caches caches(*backend_, *ref_, rng, type, 7, 10, 21);
    EXPECT_EQ(std::memcmp(caches.tested.keys->data(), caches.exact.keys->data(), caches.tested.keys->bytes()), 0);
    EXPECT_EQ(std::memcmp(caches.tested.values->data(), caches.exact.values->data(), caches.tested.values->bytes()), 0);
  }
}

struct AttentionCase {
  AttentionParams params;
  CacheType type;
  int cells, first, tokens;
};

const AttentionCase kAttentionCases[] = {
    {{4, 2, 64, 0.125F, 0}, CacheType::kF16, 64, 0, 33},   {{4, 4, 20, 0.2F, 0}, CacheType::kF32, 64, 3, 5},
    {{8, 1, 128, 0.09F, 0}, CacheType::kF32, 300, 250, 9}, {{8, 2, 256, 0.0625F, 0}, CacheType::kF16, 100, 99, 1},
    {{6, 2, 32, 0.2F, 10}, CacheType::kF16, 45, 60, 32},   {{2, 1, 16, 0.25F, 16}, CacheType::kF32, 60, 0, 40},
};

TEST_P(OpsTest, AttentionWithGroupsWindowsAndBothCacheTypes) {
  Rng rng(4);
  for (const AttentionCase& c : kAttentionCases) {
    const AttentionParams& p = c.params;
    Caches caches(*backend_, *ref_, rng, c.type, c.cells, c.first + c.tokens, p.kv_heads * p.head_dim);
    const std::vector<float> queries = Normals(rng, static_cast<size_t>(c.tokens * p.heads * p.head_dim));
    std::vector<float> found(queries.size()), exact(queries.size());
    backend_->Attention(queries.data(), caches.tested, c.tokens, c.first, p, found.data());
    ref_->Attention(queries.data(), caches.exact, c.tokens, c.first, p, exact.data());
    // A score is off by at most d eps |q| |k| scale (norms of about sqrt(d)), a weight by that factor of itself.
    const double score_error = 4.0 * p.head_dim * p.head_dim * kEpsilon * static_cast<double>(p.scale);
    ExpectClose(found, exact, (2 * score_error + (c.first + c.tokens) * kEpsilon) * 5);
  }
}

TEST_P(OpsTest, AttentionOfATokenHasTheSameBitsInEveryBatch) {
  Rng rng(5);
  for (const AttentionCase& c : kAttentionCases) {
    const AttentionParams& p = c.params;
    Caches caches(*backend_, *ref_, rng, c.type, c.cells, c.first + c.tokens, p.kv_heads * p.head_dim);
    const int width = p.heads * p.head_dim;
    const std::vector<float> queries = Normals(rng, static_cast<size_t>(c.tokens * width));
    std::vector<float> batch(queries.size()), alone(queries.size());
    backend_->Attention(queries.data(), caches.tested, c.tokens, c.first, p, batch.data());
    for (const int threads : {1, 3, 16}) {
      const auto other = MakeBackend(GetParam(), threads);
      for (int t = 0; t < c.tokens; ++t) {
        other->Attention(queries.data() + t * width, caches.tested, 1, c.first + t, p, alone.data() + t * width);
      }
      EXPECT_TRUE(SameBits(batch, alone)) << "first " << c.first << ", " << threads << " threads";
    }
  }
}

TEST_P(OpsTest, ConvolutionThenSilu) {
  Rng rng(6);
  for (const int channels : {5, 64, 600}) {
    for (const int tokens : {1, 4, 33}) {
      constexpr int kWindow = 4;
      const std::vector<float> in = Normals(rng, static_cast<size_t>((kWindow - 1 + tokens) * channels));
      const std::vector<float> weight = Normals(rng, static_cast<size_t>(kWindow * channels));
      std::vector<float> found(static_cast<size_t>(tokens * channels)), exact(found);
      backend_->ConvSilu(in.data(), weight.data(), tokens, channels, kWindow, found.data());
      ref_->ConvSilu(in.data(), weight.data(), tokens, channels, kWindow, exact.data());
      ExpectClose(found, exact, 16 * kEpsilon * kWindow * Most(in) * Most(weight));
      std::vector<float> alone(found.size());
      for (int t = 0; t < tokens; ++t) {
        backend_->ConvSilu(in.data() + t * channels, weight.data(), 1, channels, kWindow, alone.data() + t * channels);
      }
      EXPECT_TRUE(SameBits(found, alone));
    }
  }
}

TEST_P(OpsTest, ActivationsAndGates) {
  Rng rng(7);
  for (const size_t count : {size_t{1}, size_t{31}, size_t{20000}}) {
    // Also far out, where exponentials overflow or vanish.
    const std::vector<float> gate = Normals(rng, count, 30);
    const std::vector<float> up = Normals(rng, count);
    const auto n = static_cast<int64_t>(count);
    const auto check = [&](const std::function<void(Backend&, float*)>& run, double bound) {
      std::vector<float> found = up, exact = up;
      run(*backend_, found.data());
      run(*ref_, exact.data());
      ExpectClose(found, exact, bound);
    };
    const double product_bound = 8 * kEpsilon * Most(gate) * Most(up);
    for (const Activation activation : {Activation::kSilu, Activation::kGeluTanh}) {
      check([&](Backend& b, float* out) { b.GatedActivation(activation, gate.data(), out, n, out); }, product_bound);
    }
    check([&](Backend& b, float* out) { b.SiluGate(out, gate.data(), n); }, product_bound);
    check([&](Backend& b, float* out) { b.SigmoidGate(out, gate.data(), 1, static_cast<int>(n), n, n); },
          8 * kEpsilon * Most(up));
    check([&](Backend& b, float* out) { b.Add(out, gate.data(), n); }, 0);
  }
}

TEST_P(OpsTest, SigmoidGateOfStridedRows) {
  Rng rng(8);
  constexpr int kRows = 5, kWidth = 20, kStride = 24, kGateStride = 50;
  const std::vector<float> gate = Normals(rng, kRows * kGateStride);
  std::vector<float> found = Normals(rng, kRows * kStride), exact = found;
  backend_->SigmoidGate(found.data(), gate.data(), kRows, kWidth, kStride, kGateStride);
  ref_->SigmoidGate(exact.data(), gate.data(), kRows, kWidth, kStride, kGateStride);
  ExpectClose(found, exact, 8 * kEpsilon * Most(exact));
}

TEST_P(OpsTest, AddsTheGatedSharedExpert) {
  Rng rng(9);
  constexpr int kTokens = 5, kWidth = 72;
  const std::vector<float> in = Normals(rng, kTokens * kWidth), shared = Normals(rng, kTokens * kWidth);
  const std::vector<float> gate = Normals(rng, kWidth);
  std::vector<float> found = Normals(rng, kTokens * kWidth), exact = found;
  backend_->AddGatedShared(in.data(), gate.data(), shared.data(), kTokens, kWidth, found.data());
  ref_->AddGatedShared(in.data(), gate.data(), shared.data(), kTokens, kWidth, exact.data());
  ExpectClose(found, exact, 2 * kWidth * kEpsilon * Most(in) * Most(gate) * Most(shared));
}

// Inputs of a delta-net layer, and runs of it on any backend.
struct DeltaNetCase {
  DeltaNetCase(Rng& rng, int key_heads, int value_heads, int head_dim, int token_count)
      : params{key_heads, value_heads, head_dim, 1e-6F},
        tokens(token_count),
        qkv(Normals(rng, static_cast<size_t>(token_count * qkv_width()))),
        alpha(Normals(rng, static_cast<size_t>(token_count * value_heads))),
        beta(Normals(rng, alpha.size())),
        dt_bias(Normals(rng, static_cast<size_t>(value_heads))),
        a(Absolute(Normals(rng, dt_bias.size()))),
        state(Normals(rng, static_cast<size_t>(value_heads * head_dim * head_dim), 0.3)) {
    for (float& value : a) value = -value;
  }

  int qkv_width() const { return (2 * params.key_heads + params.value_heads) * params.head_dim; }
  int out_width() const { return params.value_heads * params.head_dim; }
  int step_width() const { return params.value_heads * (2 * params.head_dim + 1); }

  // Tokens [first, first + count) on the given state.
  std::vector<float> Run(Backend& backend, int first, int count, std::vector<float>& on, const DeltaNetLog& log) const {
    std::vector<float> out(static_cast<size_t>(count * out_width()));
    backend.DeltaNet(qkv.data() + first * qkv_width(), alpha.data() + first * params.value_heads,
                     beta.data() + first * params.value_heads, dt_bias.data(), a.data(), on.data(), count, params, log,
                     out.data());
    return out;
  }

  DeltaNetParams params;
  int tokens;
  std::vector<float> qkv, alpha, beta, dt_bias, a, state;
};

std::vector<DeltaNetCase> DeltaNetCases() {
  Rng rng(10);
  std::vector<DeltaNetCase> cases;
  cases.emplace_back(rng, 2, 4, 128, 12);
  cases.emplace_back(rng, 2, 2, 64, 33);
  cases.emplace_back(rng, 1, 3, 20, 7);
  return cases;
}

TEST_P(OpsTest, DeltaRuleLeavesTheOraclesOutputAndState) {
  for (const DeltaNetCase& c : DeltaNetCases()) {
    std::vector<float> found_state = c.state, exact_state = c.state;
    const std::vector<float> found = c.Run(*backend_, 0, c.tokens, found_state, {});
    const std::vector<float> exact = c.Run(*ref_, 0, c.tokens, exact_state, {});
    // Keys and queries have norm 1 and decays are below 1, so that errors add up over the tokens and do not grow.
    const double bound = 4 * c.tokens * (c.params.head_dim + 16) * kEpsilon * (Most(c.qkv) + Most(c.state));
    ExpectClose(found, exact, bound);
    ExpectClose(found_state, exact_state, bound);
  }
}

TEST_P(OpsTest, DeltaRuleIsTheSameInOneBatchAndTokenByToken) {
  for (const DeltaNetCase& c : DeltaNetCases()) {
    std::vector<float> state = c.state, stepped_state = c.state, stepped;
    const std::vector<float> batch = c.Run(*backend_, 0, c.tokens, state, {});
    for (int t = 0; t < c.tokens; ++t) {
      const std::vector<float> out = c.Run(*backend_, t, 1, stepped_state, {});
      stepped.insert(stepped.end(), out.begin(), out.end());
    }
    EXPECT_TRUE(SameBits(batch, stepped));
    EXPECT_TRUE(SameBits(state, stepped_state));
  }
}

TEST_P(OpsTest, DeltaRuleLogReplaysToTheSameBits) {
  for (const DeltaNetCase& c : DeltaNetCases()) {
    const int split = c.tokens / 2;
    std::vector<float> direct_state = c.state;
    const std::vector<float> direct = c.Run(*backend_, 0, c.tokens, direct_state, {});

    // Two logged batches on top of each other: the state waits, the outputs are those of the direct run.
    std::vector<float> state = c.state;
    std::vector<float> steps(static_cast<size_t>(c.tokens * c.step_width()));
    std::vector<float> logged = c.Run(*backend_, 0, split, state, {steps.data(), 0});
    const std::vector<float> second = c.Run(*backend_, split, c.tokens - split, state, {steps.data(), split});
    logged.insert(logged.end(), second.begin(), second.end());
    EXPECT_TRUE(SameBits(state, c.state));
    EXPECT_TRUE(SameBits(logged, direct));

    // Any prefix of the log gives the state after so many tokens.
    for (const int kept : {1, split, c.tokens}) {
      std::vector<float> replayed = c.state, expected = c.state;
      backend_->DeltaNetReplay(steps.data(), kept, c.params, replayed.data());
      c.Run(*backend_, 0, kept, expected, {});
      EXPECT_TRUE(SameBits(replayed, expected)) << kept << " of " << c.tokens << " tokens";
    }
  }
}

struct MoeCase {
  MoeCase(Rng& rng, Format format, int expert_count, int used_count, int token_count)
      : experts(expert_count),
        used(used_count),
        tokens(token_count),
        gate(RandomMatrix(rng, format, 64, 256, expert_count)),
        up(RandomMatrix(rng, format, 64, 256, expert_count)),
        // Rows of 64 suit the blocks of 32 only.
        down(RandomMatrix(rng, format == Format::kF32 ? format : Format::kQ8_0, 256, 64, expert_count)),
        in(Normals(rng, static_cast<size_t>(token_count * 256))),
        logits(Normals(rng, static_cast<size_t>(token_count * expert_count))) {}

  std::vector<float> Run(Backend& backend, int first, int count) const {
    const auto g = gate.LoadInto(backend), u = up.LoadInto(backend), d = down.LoadInto(backend);
    std::vector<float> out(static_cast<size_t>(count * 256), 0.5F);
    backend.Moe(in.data() + first * 256, logits.data() + first * experts, {g.get(), u.get(), d.get()}, used, count,
                Activation::kSilu, out.data());
    return out;
  }

  int experts, used, tokens;
  FileMatrix gate, up, down;
  std::vector<float> in, logits;
};

TEST_P(OpsTest, MixtureOfExpertsWithTies) {
  Rng rng(11);
  MoeCase c(rng, Format::kF32, 8, 3, 33);
  for (int t = 0; t < c.tokens; t += 2) {
    std::fill_n(c.logits.begin() + t * c.experts + 2, 4, 9.0F);  // four of equal rank for three places
  }
  const std::vector<float> found = c.Run(*backend_, 0, c.tokens);
  const std::vector<float> exact = c.Run(*ref_, 0, c.tokens);
  // 256 and 64 products a sum; gate, up and down values of about 0.05 * sqrt(256) = 0.8 and their products.
  ExpectClose(found, exact, 4.0 * (256 + 64) * kEpsilon * Most(exact));
}

TEST_P(OpsTest, MixtureOfExpertsShowsRouterLogitsThatAreNotFinite) {
  Rng rng(15);
  const float values[] = {std::nanf(""), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()};
  for (int place = 0; place < 8; ++place) {
    for (const float value : values) {
      MoeCase c(rng, Format::kF32, 8, 3, 3);
      c.logits[static_cast<size_t>(8 + place)] = value;  // of the second token
      for (Backend* backend : {backend_.get(), ref_.get()}) {
        const std::vector<float> out = c.Run(*backend, 0, 3);
        for (size_t i = 0; i < out.size(); ++i) ASSERT_EQ(std::isnan(out[i]), i / 256 == 1) << "value " << i;
      }
    }
  }
}

TEST_P(OpsTest, MixtureOfExpertsHasTheSameBitsInEveryBatch) {
  Rng rng(12);
  for (const Format format : {Format::kF16, Format::kQ4_K}) {
    const MoeCase c(rng, format, 8, 3, 32);
    const std::vector<float> batch = c.Run(*backend_, 0, c.tokens);
    for (int t = 0; t < c.tokens; ++t) {
      const std::vector<float> alone = c.Run(*backend_, t, 1);
      ASSERT_TRUE(SameBits(alone, std::span(batch).subspan(static_cast<size_t>(t * 256), 256))) << "token " << t;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, OpsTest, testing::ValuesIn(BackendsUnderTest()),
                         [](const auto& test) { return TestName(test.param); });

// One result of every operation.
std::vector<float> EveryOperation(Backend& backend) {
  Rng rng(13);
  std::vector<float> all;
  const auto keep = [&](const std::vector<float>& values) { all.insert(all.end(), values.begin(), values.end()); };
  std::vector<float> x = Normals(rng, 4000, 5), y = Normals(rng, 4000, 5);
  backend.RmsNorm(x.data(), y.data(), 1e-6F, 10, 390, 400, x.data());
  backend.Rope(x.data(), 5, 8, 100, 800, 77, {64, true, 1e4F, 1.0F, nullptr});
  keep(x);
  for (const Activation activation : {Activation::kSilu, Activation::kGeluTanh}) {
    backend.GatedActivation(activation, x.data(), y.data(), 4000, y.data());
    keep(y);
  }
  backend.SigmoidGate(x.data(), y.data(), 10, 399, 400, 400);
  backend.SiluGate(x.data(), y.data(), 3999);
  backend.Add(x.data(), y.data(), 3999);
  backend.AddGatedShared(x.data(), y.data(), y.data() + 7, 3, 501, x.data() + 2000);
  keep(x);
  std::vector<float> convolved(7 * 500);
  backend.ConvSilu(x.data(), y.data(), 5, 500, 4, convolved.data());
  keep(convolved);
  Rng cache_rng(14);
  for (const AttentionCase& c : kAttentionCases) {
    const AttentionParams& p = c.params;
    Caches caches(backend, backend, cache_rng, c.type, c.cells, c.first + c.tokens, p.kv_heads * p.head_dim);
    std::vector<float> queries = Normals(cache_rng, static_cast<size_t>(c.tokens * p.heads * p.head_dim));
    std::vector<float> out(queries.size());
    backend.Attention(queries.data(), caches.tested, c.tokens, c.first, p, out.data());
    keep(out);
  }
  for (const DeltaNetCase& c : DeltaNetCases()) {
    std::vector<float> state = c.state;
    keep(c.Run(backend, 0, c.tokens, state, {}));
    keep(state);
  }
  keep(MoeCase(cache_rng, Format::kQ5_K, 6, 2, 9).Run(backend, 0, 9));
  return all;
}

TEST(EveryInstructionSetAndThreadCount, GivesTheSameBits) {
  const std::vector<float> first = EveryOperation(*MakeBackend(BackendsUnderTest().front(), 1));
  for (const std::string& name : BackendsUnderTest()) {
    for (const int threads : {1, 2, 3}) {
      EXPECT_TRUE(SameBits(EveryOperation(*MakeBackend(name, threads)), first)) << name << ", " << threads;
    }
  }
}

}  // namespace
}  // namespace assay::conformance
