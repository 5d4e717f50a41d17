// Every operation but the products and the mixture of experts, on every backend: what the oracle computes, whatever the
// batch.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/half.h"
#include "conformance/conformance.h"
#include "conformance/on_every_backend.h"

namespace assay::conformance {
namespace {

constexpr double kUnit = kRoundingUnit;

class OpsTest : public OnEveryBackend {};

double Magnitude(float x) { return std::abs(static_cast<double>(x)); }

std::vector<float> Absolute(std::vector<float> values) {
  for (float& value : values) value = std::abs(value);
  return values;
}

TEST_P(OpsTest, RmsNormOfStridedRowsTakesRowByRow) {
  Rng rng(1);
  for (const int width : {1, 15, 100, 1024}) {
    for (const int64_t rows : {1, 3, 40}) {
      const int64_t stride = width + 5;
      const std::vector<float> in = Normals(rng, static_cast<size_t>(rows * stride));
      const std::vector<float> weight = Normals(rng, static_cast<size_t>(width));
      std::vector<float> together = in, alone = in;
      backend_->RmsNorm(together.data(), weight.data(), 1e-6F, rows, width, stride, together.data());
      for (int64_t r = 0; r < rows; ++r) {
        float* row = alone.data() + r * stride;
        backend_->RmsNorm(row, weight.data(), 1e-6F, 1, width, width, row);
      }
      EXPECT_TRUE(SameBits(together, alone)) << rows << " rows of " << width;
    }
  }
}

// The mean is off by e = (width + 2) u of the mean magnitude; the squares of what is left of it by (width + 4) u of
// their sum and by e^2; root, quotient, difference and two products by u each; the bias's sum by u of both.
std::vector<double> LayerNormBounds(std::span<const float> in, std::span<const float> weight,
                                    std::span<const float> bias, double eps) {
  const auto n = static_cast<double>(in.size());
  double mean = 0, magnitude = 0, squares = 0;
  for (const float x : in) mean += static_cast<double>(x) / n, magnitude += Magnitude(x) / n;
  for (const float x : in) squares += std::pow(static_cast<double>(x) - mean, 2) / n;
  const double e = (n + 2) * kUnit * magnitude, inverse = 1 / std::sqrt(squares + eps);
  const double relative = (n + 4) / 2 * kUnit + e * e * inverse * inverse / 2 + 5 * kUnit;
  std::vector<double> bounds;
  for (size_t i = 0; i < in.size(); ++i) {
    const double off = std::abs(static_cast<double>(in[i]) - mean), w = Magnitude(weight[i]);
    const double shift = bias.empty() ? 0.0 : Magnitude(bias[i]);
    bounds.push_back(w * inverse * (e + off * relative) + 2 * kUnit * (w * inverse * off + shift));
  }
  return bounds;
}

TEST_P(OpsTest, LayerNormOfStridedRows) {
  Rng rng(20);
  for (const int width : {2, 15, 100, 1024}) {
    for (const double middle : {0.0, 30.0}) {
      constexpr int kRows = 3;
      const int stride = width + 5;
      std::vector<float> in = Normals(rng, static_cast<size_t>(kRows * stride));
      for (float& value : in) value += static_cast<float>(middle);
      const std::vector<float> weight = Normals(rng, static_cast<size_t>(width));
      for (const std::vector<float>& bias : {std::vector<float>(), Normals(rng, weight.size())}) {
        std::vector<float> found = in, exact = in;
        const float* shift = bias.empty() ? nullptr : bias.data();
        backend_->LayerNorm(found.data(), weight.data(), shift, 1e-5F, kRows, width, stride, found.data());
        ref_->LayerNorm(exact.data(), weight.data(), shift, 1e-5F, kRows, width, stride, exact.data());
        for (size_t r = 0; r < kRows; ++r) {
          const auto row = [&](const std::vector<float>& values) {
            return std::span(values).subspan(r * static_cast<size_t>(stride), weight.size());
          };
          ExpectWithin(row(found), row(exact), LayerNormBounds(row(in), weight, bias, 1e-5));
          std::vector<float> alone(weight.size());
          backend_->LayerNorm(row(in).data(), weight.data(), shift, 1e-5F, 1, width, width, alone.data());
          EXPECT_TRUE(SameBits(row(found), alone));
        }
        for (size_t i = 0; i < in.size(); ++i) {
          if (i % static_cast<size_t>(stride) < weight.size()) continue;
          ASSERT_EQ(found[i], in[i]) << "between the rows";
        }
      }
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
    keys = Normals(rng, static_cast<size_t>(positions * width));
    values = Normals(rng, keys.size());
    backend.StoreKv(tested, keys.data(), values.data(), positions, 0, width);
    ref.StoreKv(exact, keys.data(), values.data(), positions, 0, width);
  }
  std::vector<std::unique_ptr<Buffer>> buffers;
  KvLayer tested, exact;
  std::vector<float> keys, values;  // by position, before they were rounded to the cache's type
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

constexpr float kSinks[] = {0.5F, -1.0F, 3.0F, 2.0F, 0.0F, -4.0F, 1.0F, 6.0F};

const AttentionCase kAttentionCases[] = {
    {{4, 2, 32, 0.2F, 0, 2.0F, nullptr}, CacheType::kF16, 64, 3, 33},
    {{8, 2, 64, 0.125F, 20, 0.0F, kSinks}, CacheType::kF32, 64, 9, 32},
    {{6, 1, 20, 0.2F, 0, 5.0F, kSinks}, CacheType::kF16, 64, 0, 5},
    {{4, 2, 64, 0.125F, 0}, CacheType::kF16, 64, 0, 33},
    {{4, 4, 20, 0.2F, 0}, CacheType::kF32, 64, 3, 5},
    {{8, 1, 128, 0.09F, 0}, CacheType::kF32, 300, 250, 9},
    {{8, 2, 256, 0.0625F, 0}, CacheType::kF16, 100, 99, 1},
    {{6, 2, 32, 0.2F, 10}, CacheType::kF16, 45, 60, 32},
    {{2, 1, 16, 0.25F, 16}, CacheType::kF32, 60, 0, 40},
};

double AsCached(float x, CacheType type) {
  return static_cast<double>(type == CacheType::kF16 ? HalfToFloat(FloatToHalf(x)) : x);
}

// Out is sum p_j v_j with p the softmax of scores s_j. A score of d products is off by (d + 1) u sum |q k| scale in any
// order of additions, s_j - max by u of itself, an exponential by 2 u: p_j moves by their sum eta_j, and out, whose
// weights stay normalised, by sum p_j |v_j - out| eta_j. The sums over n positions and the quotient add (n + 2) u of
// the sum of magnitudes, each of the two sums. A cap has a slope of at most 1 and adds 7 u of itself
// (elementwise_test); a sink is a position more, whose score is exact and whose value is 0.
std::vector<double> AttentionBounds(const AttentionCase& c, const Caches& caches, std::span<const float> queries) {
  const AttentionParams& p = c.params;
  const int d = p.head_dim, kv_width = p.kv_heads * d;
  std::vector<double> bounds;
  for (int i = 0; i < c.tokens * p.heads; ++i) {
    const float* query = queries.data() + i * d;
    const int position = c.first + i / p.heads, offset = i % p.heads / (p.heads / p.kv_heads) * d;
    const int start = p.window > 0 ? std::max(0, position - p.window + 1) : 0;
    const auto n = static_cast<size_t>(position + 1 - start);
    const auto cached = [&](const std::vector<float>& rows, size_t j, int k) {
      return AsCached(
          rows[(static_cast<size_t>(start) + j) * static_cast<size_t>(kv_width) + static_cast<size_t>(offset + k)],
          c.type);
    };
    std::vector<double> weights(n), etas(n);
    const auto cap = static_cast<double>(p.softcap);
    for (size_t j = 0; j < n; ++j) {
      for (int k = 0; k < d; ++k) {
        const double product = static_cast<double>(query[k]) * cached(caches.keys, j, k) * static_cast<double>(p.scale);
        weights[j] += product, etas[j] += (d + 1) * kUnit * std::abs(product);
      }
      if (cap > 0) weights[j] = cap * std::tanh(weights[j] / cap), etas[j] += 7 * kUnit * cap;
    }
    if (p.sinks != nullptr) weights.push_back(static_cast<double>(p.sinks[i % p.heads])), etas.push_back(0);
    const double top = *std::ranges::max_element(weights);
    double total = 0;
    for (size_t j = 0; j < weights.size(); ++j) {
      etas[j] += (top - weights[j] + 2) * kUnit;
      weights[j] = std::exp(weights[j] - top), total += weights[j];
    }
    for (int k = 0; k < d; ++k) {
      double out = 0, bound = 0;
      for (size_t j = 0; j < n; ++j) out += weights[j] / total * cached(caches.values, j, k);
      for (size_t j = 0; j < weights.size(); ++j) {
        const double value = j < n ? cached(caches.values, j, k) : 0.0;
        const double sums = 2 * (static_cast<double>(n) + 2) * kUnit * std::abs(value);
        bound += weights[j] / total * (std::abs(value - out) * etas[j] + sums);
      }
      bounds.push_back(bound);
    }
  }
  return bounds;
}

TEST_P(OpsTest, AttentionWithGroupsWindowsAndBothCacheTypes) {
  Rng rng(4);
  for (const AttentionCase& c : kAttentionCases) {
    const AttentionParams& p = c.params;
    Caches caches(*backend_, *ref_, rng, c.type, c.cells, c.first + c.tokens, p.kv_heads * p.head_dim);
    const std::vector<float> queries = Normals(rng, static_cast<size_t>(c.tokens * p.heads * p.head_dim));
    std::vector<float> found(queries.size()), exact(queries.size()), wrong(queries.size());
    backend_->Attention(queries.data(), caches.tested, c.tokens, c.first, p, found.data());
    ref_->Attention(queries.data(), caches.exact, c.tokens, c.first, p, exact.data());
    const std::vector<double> bounds = AttentionBounds(c, caches, queries);
    ExpectWithin(found, exact, bounds);
    // The bounds bite: a window that is one position short, and scores that miss one of their products, are beyond.
    AttentionParams shorter = p;
    shorter.window = (p.window > 0 ? p.window : c.first + c.tokens) - 1;
    ref_->Attention(queries.data(), caches.exact, c.tokens, c.first, shorter, wrong.data());
    EXPECT_GE(FirstBeyond(wrong, exact, bounds), 0) << "first " << c.first;
    if (p.softcap > 0.0F || p.sinks != nullptr) {
      AttentionParams plain = p;
      plain.softcap = p.softcap > 0.0F ? p.softcap * 1.01F : 0.0F;
      plain.sinks = p.softcap > 0.0F ? p.sinks : nullptr;
      ref_->Attention(queries.data(), caches.exact, c.tokens, c.first, plain, wrong.data());
      EXPECT_GE(FirstBeyond(wrong, exact, bounds), 0) << "first " << c.first;
    }
    std::vector<float> dropped = queries;
    for (size_t i = 0; i < dropped.size(); i += static_cast<size_t>(p.head_dim)) dropped[i] = 0.0F;
    ref_->Attention(dropped.data(), caches.exact, c.tokens, c.first, p, wrong.data());
    EXPECT_GE(FirstBeyond(wrong, exact, bounds), 0) << "first " << c.first;
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

// The sum of the taps is off by delta = window u sum |x w|; silu turns that into delta times its slope, which is at
// most (1 + |s|) sigmoid(s), and adds its own error; the oracle rounds once.
std::vector<double> ConvBounds(std::span<const float> in, std::span<const float> weight, int tokens, int channels,
                               int window) {
  std::vector<double> bounds;
  for (int t = 0; t < tokens; ++t) {
    for (int c = 0; c < channels; ++c) {
      double sum = 0, magnitude = 0;
      for (int w = 0; w < window; ++w) {
        const double product = static_cast<double>(in[static_cast<size_t>((t + w) * channels + c)]) *
                               static_cast<double>(weight[static_cast<size_t>(c * window + w)]);
        sum += product, magnitude += std::abs(product);
      }
      const double delta = window * kUnit * magnitude;
      bounds.push_back(delta * (1 + std::abs(sum) + delta) * Sigmoid(sum + delta) +
                       (kSigmoidUnits + 1) * kUnit * std::abs(sum) * Sigmoid(sum));
    }
  }
  return bounds;
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
      ExpectWithin(found, exact, ConvBounds(in, weight, tokens, channels, kWindow));
      std::vector<float> alone(found.size());
      for (int t = 0; t < tokens; ++t) {
        backend_->ConvSilu(in.data() + t * channels, weight.data(), 1, channels, kWindow, alone.data() + t * channels);
      }
      EXPECT_TRUE(SameBits(found, alone));
    }
  }
}

TEST_P(OpsTest, SigmoidGateOfStridedRows) {
  Rng rng(8);
  constexpr int kRows = 5, kWidth = 20, kStride = 24, kGateStride = 50;
  const std::vector<float> gate = Normals(rng, kRows * kGateStride);
  std::vector<float> found = Normals(rng, kRows * kStride), exact = found;
  backend_->SigmoidGate(found.data(), gate.data(), kRows, kWidth, kStride, kGateStride);
  ref_->SigmoidGate(exact.data(), gate.data(), kRows, kWidth, kStride, kGateStride);
  std::vector<double> bounds;  // a product beside the sigmoid, and the oracle's rounding
  for (const float value : exact) bounds.push_back((kSigmoidUnits + 2) * kUnit * Magnitude(value));
  ExpectWithin(found, exact, bounds);
}

TEST_P(OpsTest, AddsTheGatedSharedExpert) {
  Rng rng(9);
  constexpr int kTokens = 5, kWidth = 72;
  const std::vector<float> in = Normals(rng, kTokens * kWidth), shared = Normals(rng, kTokens * kWidth);
  const std::vector<float> gate = Normals(rng, kWidth);
  const std::vector<float> before = Normals(rng, kTokens * kWidth);
  std::vector<float> found = before, exact = before;
  backend_->AddGatedShared(in.data(), gate.data(), shared.data(), kTokens, kWidth, found.data());
  ref_->AddGatedShared(in.data(), gate.data(), shared.data(), kTokens, kWidth, exact.data());
  // The gate's sum is off by delta, which is a relative delta of its sigmoid; then a product and a sum, on both sides.
  std::vector<double> bounds;
  for (int t = 0; t < kTokens; ++t) {
    double logit = 0, delta = 0;
    for (int i = 0; i < kWidth; ++i) {
      const double product = static_cast<double>(in[static_cast<size_t>(t * kWidth + i)]) *
                             static_cast<double>(gate[static_cast<size_t>(i)]);
      logit += product, delta += kWidth * kUnit * std::abs(product);
    }
    for (int i = 0; i < kWidth; ++i) {
      const auto at = static_cast<size_t>(t * kWidth + i);
      const double added = Sigmoid(logit) * Magnitude(shared[at]);
      bounds.push_back(added * (delta + (kSigmoidUnits + 2) * kUnit) + 2 * kUnit * (Magnitude(before[at]) + added));
    }
  }
  ExpectWithin(found, exact, bounds);
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

struct DeltaNetBounds {
  std::vector<double> out, state;
};

// A row of the state is followed by its norm N and the norm E of its error. A token's map of the row, decay (I - beta k
// k'), has a norm below 1, so that E grows only by what the token itself rounds, on both sides (d columns; key and
// query are off by kappa = (d / 2 + 6) u: their sum of squares, root, quotient and product):
//   the decay and the product with it                 4 u N
//   delta = beta (v - S k), times a key of norm 1     beta N (kappa + (d + 1) u) + 4 u |delta|
//   the key in the update                             |delta| kappa
//   the update                                        2 u (N + |delta|),   |delta| <= beta (|v| + N)
// and N by beta |v|. An output is a product with a query of norm 1, over sqrt(d).
DeltaNetBounds BoundsOf(const DeltaNetCase& c) {
  const DeltaNetParams& p = c.params;
  const int d = p.head_dim;
  const double kappa = (d / 2.0 + 6) * kUnit, product = kappa + (d + 1) * kUnit;
  DeltaNetBounds bounds;
  bounds.out.resize(static_cast<size_t>(c.tokens * c.out_width()));
  for (int row = 0; row < p.value_heads * d; ++row) {
    const int h = row / d;
    double norm = 0, error = 0;
    for (int k = 0; k < d; ++k) norm = std::hypot(norm, Magnitude(c.state[static_cast<size_t>(row * d + k)]));
    for (int t = 0; t < c.tokens; ++t) {
      const auto gate = static_cast<size_t>(t * p.value_heads + h);
      const double value = Magnitude(c.qkv[static_cast<size_t>(t * c.qkv_width() + 2 * p.key_heads * d + row)]);
      const double x = static_cast<double>(c.alpha[gate]) + static_cast<double>(c.dt_bias[static_cast<size_t>(h)]);
      const double decay = std::exp(std::log1p(std::exp(x)) * static_cast<double>(c.a[static_cast<size_t>(h)]));
      const double beta = Sigmoid(static_cast<double>(c.beta[gate]));
      norm *= decay;
      const double delta = beta * (value + norm);
      error = error * decay + 4 * kUnit * norm + beta * norm * product + 4 * kUnit * delta + delta * kappa +
              2 * kUnit * (norm + delta);
      norm += beta * value;
      bounds.out[static_cast<size_t>(t * c.out_width() + row)] =
          (error + norm * (product + 3 * kUnit)) / std::sqrt(static_cast<double>(d));
    }
    bounds.state.insert(bounds.state.end(), static_cast<size_t>(d), error);
  }
  return bounds;
}

TEST_P(OpsTest, DeltaRuleLeavesTheOraclesOutputAndState) {
  for (const DeltaNetCase& c : DeltaNetCases()) {
    std::vector<float> found_state = c.state, exact_state = c.state, wrong_state = c.state;
    const std::vector<float> found = c.Run(*backend_, 0, c.tokens, found_state, {});
    const std::vector<float> exact = c.Run(*ref_, 0, c.tokens, exact_state, {});
    const DeltaNetBounds bounds = BoundsOf(c);
    ExpectWithin(found, exact, bounds.out);
    ExpectWithin(found_state, exact_state, bounds.state);
    // They bite: one element that the last token's key lacks is beyond both.
    DeltaNetCase dropped = c;
    const int last_key = (c.tokens - 1) * c.qkv_width() + c.params.key_heads * c.params.head_dim;
    dropped.qkv[static_cast<size_t>(last_key)] = 0.0F;
    EXPECT_GE(FirstBeyond(dropped.Run(*ref_, 0, c.tokens, wrong_state, {}), exact, bounds.out), 0);
    EXPECT_GE(FirstBeyond(wrong_state, exact_state, bounds.state), 0);
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

// Value heads that are neighbours share a key head: the same bits as heads that lie apart, reordered.
TEST_P(OpsTest, DeltaRuleOfNeighbours) {
  Rng rng(21);
  constexpr int kKeys = 2, kValues = 6, kDim = 20, kTokens = 5;
  constexpr int kOrder[] = {0, 3, 1, 4, 2, 5};  // where a head that lies apart comes from
  DeltaNetCase apart(rng, kKeys, kValues, kDim, kTokens), neighbours = apart;
  neighbours.params.neighbours_share = true;
  for (int h = 0; h < kValues; ++h) {
    const int from = kOrder[h];
    for (int t = 0; t < kTokens; ++t) {
      const int values = t * apart.qkv_width() + 2 * kKeys * kDim;
      std::copy_n(&neighbours.qkv[static_cast<size_t>(values + from * kDim)], kDim,
                  &apart.qkv[static_cast<size_t>(values + h * kDim)]);
      const auto to = static_cast<size_t>(t * kValues + h), source = static_cast<size_t>(t * kValues + from);
      apart.alpha[to] = neighbours.alpha[source], apart.beta[to] = neighbours.beta[source];
    }
    const auto to = static_cast<size_t>(h), source = static_cast<size_t>(from);
    apart.dt_bias[to] = neighbours.dt_bias[source], apart.a[to] = neighbours.a[source];
    std::copy_n(&neighbours.state[source * kDim * kDim], kDim * kDim, &apart.state[to * kDim * kDim]);
  }
  const std::vector<float> found = neighbours.Run(*backend_, 0, kTokens, neighbours.state, {});
  const std::vector<float> expected = apart.Run(*backend_, 0, kTokens, apart.state, {});
  for (int t = 0; t < kTokens; ++t) {
    for (int h = 0; h < kValues; ++h) {
      EXPECT_TRUE(SameBits(std::span(found).subspan(static_cast<size_t>((t * kValues + kOrder[h]) * kDim), kDim),
                           std::span(expected).subspan(static_cast<size_t>((t * kValues + h) * kDim), kDim)));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, OpsTest, testing::ValuesIn(BackendsUnderTest()),
                         [](const auto& test) { return TestName(test.param); });

// One result of every operation here.
std::vector<float> EveryOperation(Backend& backend) {
  Rng rng(13);
  std::vector<float> all;
  const auto keep = [&](const std::vector<float>& values) { all.insert(all.end(), values.begin(), values.end()); };
  std::vector<float> x = Normals(rng, 4000, 5), y = Normals(rng, 4000, 5);
  backend.RmsNorm(x.data(), y.data(), 1e-6F, 10, 390, 400, x.data());
  std::vector<double> frequencies(32);
  for (size_t i = 0; i < 32; ++i) frequencies[i] = std::pow(1e4, -2.0 * static_cast<double>(i) / 64);
  backend.Rope(x.data(), 5, 8, 100, 800, 77, {64, true, frequencies.data(), 1.0F});
  keep(x);
  backend.LayerNorm(x.data(), y.data(), y.data() + 1, 1e-5F, 10, 390, 400, x.data());
  backend.AddToRows(x.data(), y.data(), 10, 399);
  backend.Scale(x.data(), 0.3F, 3999);
  backend.Activate(Activation::kSilu, x.data(), 1999);
  backend.Activate(Activation::kGeluTanh, x.data() + 2000, 1999);
  keep(x);
  backend.SoftCap(x.data(), 3.0F, 3999);
  for (const Activation activation : {Activation::kSilu, Activation::kGeluTanh, Activation::kClampedSwiglu}) {
    backend.GatedActivation(activation, x.data(), y.data(), 4000, y.data());
    keep(y);
  }
  backend.SigmoidGate(x.data(), y.data(), 10, 399, 400, 400);
  backend.SiluGate(x.data(), y.data(), 3999);
  backend.Add(x.data(), y.data(), 0.7F, 3999);
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
