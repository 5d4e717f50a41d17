// The mixture of experts, on every backend: what the oracle computes, whatever the batch.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "conformance/conformance.h"
#include "conformance/on_every_backend.h"

namespace assay::conformance {
namespace {

constexpr double kUnit = kRoundingUnit;

class MixtureOfExpertsTest : public OnEveryBackend {};

struct MoeCase {
  MoeCase(Rng& rng, Format format, int expert_count, int used_count, int token_count)
      : experts(expert_count),
        used(used_count),
        tokens(token_count),
        gate(RandomMatrix(rng, format, kInner, kWidth, expert_count)),
        up(RandomMatrix(rng, format, kInner, kWidth, expert_count)),
        down(RandomMatrix(rng, format, kWidth, kInner, expert_count)),
        in(Normals(rng, static_cast<size_t>(token_count) * kWidth)),
        logits(Normals(rng, static_cast<size_t>(token_count) * static_cast<size_t>(expert_count))) {}

  static constexpr int kWidth = 256, kInner = 256;
  static constexpr float kBefore = 0.5F;  // what the sum is added to

  std::vector<float> Run(Backend& backend, int first, int count, Arithmetic arithmetic = Arithmetic::kEveryday) const {
    const auto g = gate.LoadInto(backend), u = up.LoadInto(backend), d = down.LoadInto(backend);
    std::vector<float> out(static_cast<size_t>(count * kWidth), kBefore);
    Backend::MoeWeights weights = {g.get(), u.get(), d.get()};
    if (!gate_bias.empty()) {
      weights.gate_bias = gate_bias.data(), weights.up_bias = up_bias.data(), weights.down_bias = down_bias.data();
    }
    Backend::MoeParams all = params;
    all.used = used;
    backend.Moe(in.data() + first * kWidth, logits.data() + first * experts, weights, all, count, arithmetic,
                out.data());
    return out;
  }

  int experts, used, tokens;
  FileMatrix gate, up, down;
  std::vector<float> in, logits;
  std::vector<float> gate_bias, up_bias, down_bias;  // empty: none
  Backend::MoeParams params;
};

// One expert's part of the bounds. The codes' errors e of the input reach output r through g = G x and u = U x and
// h = silu(g) u: to first order as sum_c v_c e_c with v = D_r (silu'(g) u G + silu(g) U), a sum of independent errors
// like that of a product; and so those of the coded sums that minima meet. What is of second order (both factors off,
// silu's curvature, at most 1/2) and what floats round is added up at its worst; h's own codes are a product's.
void AddExpertBounds(const MoeCase& c, std::span<const float> x, int64_t expert, double share, Arithmetic arithmetic,
                     std::span<double> bounds) {
  constexpr size_t kWidth = MoeCase::kWidth, kInner = MoeCase::kInner;
  const FileMatrix gate = c.gate.Expert(expert), up = c.up.Expert(expert), down = c.down.Expert(expert);
  const std::vector<float> gates = gate.Decode(), ups = up.Decode(), downs = down.Decode();
  const std::vector<double> gate_minima = MinimaOf(gate), up_minima = MinimaOf(up);
  const std::vector<Allowance> of_gate = ProductAllowances(gate, x, 1, arithmetic),
                               of_up = ProductAllowances(up, x, 1, arithmetic);
  std::vector<double> by_gate(kInner), by_up(kInner), rest(kInner);
  std::vector<float> largest(kInner);  // the magnitudes that h may have
  for (size_t i = 0; i < kInner; ++i) {
    double g = 0, u = 0;
    for (size_t k = 0; k < kWidth; ++k) {
      g += static_cast<double>(gates[i * kWidth + k]) * static_cast<double>(x[k]);
      u += static_cast<double>(ups[i * kWidth + k]) * static_cast<double>(x[k]);
    }
    by_gate[i] = Sigmoid(g) * (1 + g * (1 - Sigmoid(g))) * u;
    by_up[i] = g * Sigmoid(g);
    const double h = by_up[i] * u, off_g = of_gate[i].bound, off_u = of_up[i].bound;
    rest[i] = 1.1 * off_g * off_u + off_g * off_g / 4 * (std::abs(u) + off_u) +
              (kSigmoidUnits + 1) * kUnit * std::abs(h) + std::abs(by_gate[i]) * of_gate[i].floats +
              std::abs(by_up[i]) * of_up[i].floats;
    largest[i] = static_cast<float>(std::abs(h) + std::abs(by_gate[i]) * off_g + std::abs(by_up[i]) * off_u + rest[i]);
  }
  const CodeSteps steps = StepsOf(gate, x, arithmetic);
  const size_t sums = gate_minima.empty() ? 0 : steps.minima.size();
  const std::vector<Allowance> of_down = ProductAllowances(down, largest, 1, arithmetic);
  for (size_t r = 0; r < kWidth; ++r) {
    std::vector<double> through(kWidth), through_sums(sums);
    double worst = 0, magnitude = 0;
    for (size_t i = 0; i < kInner; ++i) {
      const auto d = static_cast<double>(downs[r * kInner + i]);
      worst += std::abs(d) * rest[i], magnitude += std::abs(d) * static_cast<double>(largest[i]);
      if (steps.columns.front() == 0) continue;  // no codes
      for (size_t k = 0; k < kWidth; ++k) {
        through[k] += d * (by_gate[i] * static_cast<double>(gates[i * kWidth + k]) +
                           by_up[i] * static_cast<double>(ups[i * kWidth + k]));
      }
      for (size_t k = 0; k < sums; ++k) {
        through_sums[k] += d * (by_gate[i] * gate_minima[i * sums + k] + by_up[i] * up_minima[i * sums + k]);
      }
    }
    double squares = 0;
    for (size_t k = 0; k < kWidth; ++k) squares += std::pow(through[k] * steps.columns[k], 2);
    // Two neighbours may share one error: at worst they add up.
    for (size_t k = 0; k < sums; ++k) squares += 2 * std::pow(through_sums[k] * steps.minima[k], 2);
    bounds[r] += share * (kHalfSteps / 2 * std::sqrt(squares) + worst + of_down[r].bound) +
                 (c.used + 2) * kUnit * (share * magnitude + static_cast<double>(MoeCase::kBefore));
  }
}

std::vector<double> MoeBounds(const MoeCase& c, Arithmetic arithmetic) {
  constexpr size_t kWidth = MoeCase::kWidth;
  const auto experts = static_cast<size_t>(c.experts), used = static_cast<size_t>(c.used);
  std::vector<double> bounds(static_cast<size_t>(c.tokens) * kWidth);
  for (size_t t = 0; t < static_cast<size_t>(c.tokens); ++t) {
    const std::span<const float> logits = std::span(c.logits).subspan(t * experts, experts);
    std::vector<size_t> order(experts);
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::stable_sort(order, std::greater(), [&](size_t e) { return logits[e]; });
    order.resize(used);
    double total = 0;
    for (const size_t e : order) total += std::exp(static_cast<double>(logits[e]));
    for (const size_t e : order) {
      AddExpertBounds(c, std::span(c.in).subspan(t * kWidth, kWidth), static_cast<int64_t>(e),
                      std::exp(static_cast<double>(logits[e])) / total, arithmetic,
                      std::span(bounds).subspan(t * kWidth, kWidth));
    }
  }
  return bounds;
}

TEST_P(MixtureOfExpertsTest, WithTies) {
  Rng rng(11);
  MoeCase c(rng, Format::kF32, 8, 3, 33);
  for (int t = 0; t < c.tokens; t += 2) {
    std::fill_n(c.logits.begin() + t * c.experts + 2, 4, 9.0F);  // four of equal rank for three places
  }
  ExpectWithin(c.Run(*backend_, 0, c.tokens), c.Run(*ref_, 0, c.tokens), MoeBounds(c, Arithmetic::kEveryday));
}

TEST_P(MixtureOfExpertsTest, OfQuantisedExperts) {
  Rng rng(15);
  for (const Format format :
       {Format::kQ8_0, Format::kQ4_0, Format::kQ5_1, Format::kQ6_K, Format::kQ4_K, Format::kQ2_K}) {
    const MoeCase c(rng, format, 8, 2, 4);
    const std::vector<float> exact = c.Run(*ref_, 0, c.tokens);
    const std::vector<double> bounds = MoeBounds(c, Arithmetic::kEveryday);
    SCOPED_TRACE(TraitsOf(format).name);
    const std::vector<float> everyday = c.Run(*backend_, 0, c.tokens);
    ExpectWithin(everyday, exact, bounds);
    // They bite: gate and up exchanged, an expert's neighbour in its place, weights that are off by half.
    MoeCase exchanged = c, neighbour = c;
    std::swap(exchanged.gate, exchanged.up);
    EXPECT_GE(FirstBeyond(exchanged.Run(*ref_, 0, c.tokens), exact, bounds), 0);
    std::rotate(neighbour.logits.begin(), neighbour.logits.begin() + 1, neighbour.logits.end());
    EXPECT_GE(FirstBeyond(neighbour.Run(*ref_, 0, c.tokens), exact, bounds), 0);
    std::vector<float> scaled = exact;
    for (float& value : scaled) value = MoeCase::kBefore + (value - MoeCase::kBefore) * 0.5F;
    EXPECT_GE(FirstBeyond(scaled, exact, bounds), 0);
    // Fine arithmetic is, and everyday arithmetic is not.
    const std::vector<double> fine_bounds = MoeBounds(c, Arithmetic::kFine);
    ExpectWithin(c.Run(*backend_, 0, c.tokens, Arithmetic::kFine), exact, fine_bounds);
    EXPECT_GE(FirstBeyond(everyday, exact, fine_bounds), 0);
  }
}

// With everything that a mixture may have: the bits of its steps one by one.
TEST_P(MixtureOfExpertsTest, IsItsSteps) {
  Rng rng(22);
  for (const Format format : {Format::kF32, Format::kQ4_0}) {
    for (const bool renormalise : {false, true}) {
      constexpr int kExperts = 5, kUsed = 2;
      constexpr size_t kWidth = MoeCase::kWidth, kInner = MoeCase::kInner;
      MoeCase c(rng, format, kExperts, kUsed, 3);
      c.gate_bias = Normals(rng, kExperts * kInner), c.up_bias = Normals(rng, kExperts * kInner);
      c.down_bias = Normals(rng, kExperts * kWidth);
      const std::vector<float> expert_scale = Normals(rng, kExperts);
      c.params = {.renormalise = renormalise,
                  .scale = 1.5F,
                  .expert_scale = expert_scale.data(),
                  .activation = Activation::kClampedSwiglu};
      const std::vector<float> found = c.Run(*backend_, 0, c.tokens);
      for (size_t t = 0; t < static_cast<size_t>(c.tokens); ++t) {
        const std::span<const float> logits = std::span(c.logits).subspan(t * kExperts, kExperts);
        const std::span<const float> x = std::span(c.in).subspan(t * kWidth, kWidth);
        std::vector<size_t> order(kExperts);
        std::iota(order.begin(), order.end(), size_t{0});
        std::ranges::stable_sort(order, std::greater(), [&](size_t e) { return logits[e]; });
        const auto exponential = [&](size_t e) {
          return std::exp(static_cast<double>(logits[e]) - static_cast<double>(logits[order[0]]));
        };
        std::vector<size_t> summed(kExperts);
        std::iota(summed.begin(), summed.end(), size_t{0});
        if (renormalise) summed = {order[0], order[1]};
        double sum = 0;
        for (const size_t e : summed) sum += exponential(e);
        std::vector<float> expected(kWidth, MoeCase::kBefore);
        for (size_t rank = 0; rank < kUsed; ++rank) {
          const size_t e = order[rank];
          const auto product = [&](const FileMatrix& matrix, const std::vector<float>& bias,
                                   std::span<const float> input) {
            const FileMatrix expert = matrix.Expert(static_cast<int64_t>(e));
            std::vector<float> out = MatMul(*backend_, *expert.LoadInto(*backend_), input, 1);
            backend_->AddToRows(out.data(), bias.data() + e * out.size(), 1, static_cast<int>(out.size()));
            return out;
          };
          std::vector<float> gate = product(c.gate, c.gate_bias, x);
          const std::vector<float> up = product(c.up, c.up_bias, x);
          backend_->GatedActivation(c.params.activation, gate.data(), up.data(), kInner, gate.data());
          const std::vector<float> down = product(c.down, c.down_bias, gate);
          const double share = exponential(e) / sum * 1.5 * static_cast<double>(expert_scale[e]);
          backend_->Add(expected.data(), down.data(), static_cast<float>(share), kWidth);
        }
        EXPECT_TRUE(SameBits(std::span(found).subspan(t * kWidth, kWidth), expected)) << "token " << t;
      }
    }
  }
}

TEST_P(MixtureOfExpertsTest, ShowsRouterLogitsThatAreNotFinite) {
  Rng rng(15);
  const float values[] = {std::nanf(""), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()};
  for (int place = 0; place < 8; ++place) {
    for (const float value : values) {
      MoeCase c(rng, Format::kF32, 8, 3, 3);
      c.logits[size_t{8} + static_cast<size_t>(place)] = value;  // of the second token
      for (Backend* backend : {backend_.get(), ref_.get()}) {
        const std::vector<float> out = c.Run(*backend, 0, 3);
        for (size_t i = 0; i < out.size(); ++i) ASSERT_EQ(std::isnan(out[i]), i / 256 == 1) << "value " << i;
      }
    }
  }
}

TEST_P(MixtureOfExpertsTest, HasTheSameBitsInEveryBatch) {
  Rng rng(12);
  for (const Format format : {Format::kF16, Format::kQ4_K}) {
    const MoeCase c(rng, format, 8, 3, 32);
    for (const Arithmetic arithmetic : {Arithmetic::kEveryday, Arithmetic::kFine}) {
      const std::vector<float> batch = c.Run(*backend_, 0, c.tokens, arithmetic);
      for (int t = 0; t < c.tokens; ++t) {
        const std::vector<float> alone = c.Run(*backend_, t, 1, arithmetic);
        ASSERT_TRUE(SameBits(alone, std::span(batch).subspan(static_cast<size_t>(t * 256), 256)))
            << "token " << t << ", " << ArithmeticName(arithmetic);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, MixtureOfExpertsTest, testing::ValuesIn(BackendsUnderTest()),
                         [](const auto& test) { return TestName(test.param); });

TEST(EveryInstructionSetAndThreadCount, GivesTheSameBitsOfAMixtureOfExperts) {
  Rng rng(14);
  const MoeCase c(rng, Format::kQ5_K, 6, 2, 9);
  for (const Arithmetic arithmetic : {Arithmetic::kEveryday, Arithmetic::kFine}) {
    const std::vector<float> first = c.Run(*MakeBackend(BackendsUnderTest().front(), 1), 0, c.tokens, arithmetic);
    for (const std::string& name : BackendsUnderTest()) {
      for (const int threads : {1, 2, 3}) {
        const std::vector<float> found = c.Run(*MakeBackend(name, threads), 0, c.tokens, arithmetic);
        EXPECT_TRUE(SameBits(found, first)) << name << ", " << threads << ", " << ArithmeticName(arithmetic);
      }
    }
  }
}

}  // namespace
}  // namespace assay::conformance
