// Element-wise operations, each element by itself and over all of float32, in units in the last place: a tail that is
// wrong is small, and no bound of the largest element sees it.
//
// u = 2^-24 is the relative error of one rounding. A relative error of k u is at most k units in the last place, and
// the oracle, which rounds a double once, adds a half; two floats so lie at most k + 1/2 units apart. Below the normal
// range a last rounding to a multiple of 2^-149 adds another half. The budgets, for any implementation that takes each
// step of the formula in float32 and a polynomial for the exponential:
//   exp       1.1 units: its last rounding 0.5, the product before it 0.18 (|r| <= 0.35 times a half), the argument's
//             reduction 0.2 (2^-26), the remainder of the series 0.09 (2^-27), the rest below 0.1; in relative terms 2
//             u
//   sigmoid   4 u: exp 2, the sum 1, the division 1; silu the same, its division has x above it
//   gelu      5 u + 6 u |t|: x sigmoid(t); t has 6 roundings (two of constants), and exp turns a relative error of t
//   into
//             |t| times as much
// A factor beside them is one more u.

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <functional>
#include <limits>

#include "conformance/conformance.h"

namespace assay::conformance {
namespace {

constexpr double kExp = 1.1, kSigmoid = 4, kGelu = 5, kGeluArgument = 6;
// e^x is infinite above, so that 1 + e^-x is below: kernels that divide by it give 0 for x < -kLargestExponent. The
// true sigmoid is below 2^-126 there, the true silu and gelu below kLost.
const double kLargestExponent = std::log(static_cast<double>(FLT_MAX));
constexpr double kLost = 88.8 / FLT_MAX;

class ElementwiseTest : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Backend> backend_ = MakeBackend(GetParam(), 2);
  std::unique_ptr<Backend> ref_ = MakeBackend("ref", 2);
};

// All exponents and signs with some thousand mantissas, zeros, denormals, infinities, NaN and where functions turn; and
// densely where exponentials are neither 0 nor infinite.
std::vector<float> EveryKindOfFloat() {
  std::vector<float> values;
  constexpr uint64_t kStep = 65521;  // a prime, so that mantissas differ from one exponent to the next
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += kStep) {
    values.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  }
  for (const float special : {0.0F, FLT_TRUE_MIN, FLT_MIN, 1.0F, 16.64F, 87.33F, 88.72F, 89.0F, 103.97F, 104.0F,
                              FLT_MAX, std::numeric_limits<float>::infinity(), std::nanf("")}) {
    for (const float sign : {1.0F, -1.0F}) {
      float below = sign * special, above = below;
      for (int i = 0; i < 50; ++i) {
        values.insert(values.end(), {below, above});
        below = std::nextafter(below, -FLT_MAX), above = std::nextafter(above, FLT_MAX);
      }
    }
  }
  Rng rng(1);
  for (int i = 0; i < 100000; ++i) values.push_back(static_cast<float>(220 * rng.Uniform() - 110));
  return values;
}

using UnitsOf = std::function<double(double x)>;  // how many units an element at x may be off

// Of the elements that are beyond their bound the first is shown; `skip` says which are not compared.
void ExpectUnits(std::span<const float> x, std::span<const float> found, std::span<const float> exact,
                 const UnitsOf& allowed, const std::function<bool(double)>& skip) {
  int64_t most = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (skip(static_cast<double>(x[i]))) continue;
    if (std::isnan(exact[i])) {
      EXPECT_TRUE(std::isnan(found[i])) << "at " << x[i];
      continue;
    }
    ASSERT_FALSE(std::isnan(found[i])) << "at " << x[i];
    const bool denormal = std::abs(exact[i]) < FLT_MIN;
    const double units = allowed(static_cast<double>(x[i])) + 0.5 + (denormal ? 0.5 : 0.0);
    const int64_t distance = UnitsApart(found[i], exact[i]);
    most = std::max(most, distance);
    ASSERT_LE(static_cast<double>(distance), units) << "at " << x[i] << ": " << found[i] << ", exactly " << exact[i];
  }
  testing::Test::RecordProperty("most_units", std::to_string(most));
}

bool NoneSkipped(double) { return false; }
// Infinities are not compared where inf * 0 is a matter of the formula's form.
bool NotFinite(double x) { return !std::isfinite(x); }

// x * sigmoid(gate).
TEST_P(ElementwiseTest, Sigmoid) {
  const std::vector<float> gate = EveryKindOfFloat();
  std::vector<float> found(gate.size(), 1.0F), exact = found;
  const auto n = static_cast<int>(gate.size());
  backend_->SigmoidGate(found.data(), gate.data(), 1, n, n, n);
  ref_->SigmoidGate(exact.data(), gate.data(), 1, n, n, n);
  const auto lost = [](double x) { return x < -kLargestExponent; };
  ExpectUnits(
      gate, found, exact, [](double) { return kSigmoid; }, lost);
  for (size_t i = 0; i < gate.size(); ++i) {
    if (lost(static_cast<double>(gate[i]))) {
      ASSERT_NEAR(found[i], exact[i], 1.0 / FLT_MAX) << "at " << gate[i];
    }
  }
}

// act(gate) * up, alone and with a factor, as GatedActivation and as SiluGate.
TEST_P(ElementwiseTest, SiluAndGelu) {
  const std::vector<float> gate = EveryKindOfFloat();
  const auto n = static_cast<int64_t>(gate.size());
  Rng rng(2);
  for (const bool factors : {false, true}) {
    std::vector<float> up(gate.size(), 1.0F);
    // Of magnitudes near 1, so that no product leaves the range that its function is in.
    for (float& value : up) value = factors ? static_cast<float>(1.0 + rng.Uniform() / 2) : 1.0F;
    const double factor = factors ? 1 : 0;
    const auto check = [&](const std::function<void(Backend&, float*)>& run, const UnitsOf& units,
                           const UnitsOf& exponent) {
      std::vector<float> found = up, exact = up;
      run(*backend_, found.data());
      run(*ref_, exact.data());
      const auto lost = [&](double x) { return exponent(x) < -kLargestExponent * (1 - 1e-6); };
      ExpectUnits(
          gate, found, exact, [&](double x) { return units(x) + factor; },
          [&](double x) { return NotFinite(x) || lost(x); });
      for (size_t i = 0; i < gate.size(); ++i) {
        if (std::isfinite(gate[i]) && lost(static_cast<double>(gate[i]))) {
          ASSERT_NEAR(found[i], exact[i], 1.5 * kLost) << "at " << gate[i];
        }
      }
    };
    const UnitsOf same = [](double x) { return x; };
    const UnitsOf of_silu = [](double) { return kSigmoid; };
    // Gelu's argument of the sigmoid, and what of exp's error reaches the sigmoid: E / (1 + E).
    const UnitsOf turn = [](double x) { return 1.59576912160573 * (x + 0.044715 * x * x * x); };
    const UnitsOf of_gelu = [&](double x) {
      const double t = turn(x);
      return kGelu + kGeluArgument * std::abs(t) / (1 + std::exp(t));
    };
    const auto gated = [&](Activation activation) {
      return [&, activation](Backend& b, float* out) { b.GatedActivation(activation, gate.data(), out, n, out); };
    };
    check(gated(Activation::kSilu), of_silu, same);
    check(gated(Activation::kGeluTanh), of_gelu, turn);
    check([&](Backend& b, float* out) { b.SiluGate(out, gate.data(), n); }, of_silu, same);
    const auto alone = [&](Activation activation) {
      return [&, activation](Backend& b, float* out) {
        std::copy(gate.begin(), gate.end(), out);
        b.Activate(activation, out, n);
      };
    };
    check(alone(Activation::kSilu), of_silu, same);
    check(alone(Activation::kGeluTanh), of_gelu, turn);
  }
}

// g sigmoid(t) (u + 1) with t = 1.702 g, where the exponential turns the two roundings of t into 2 u |t| / (1 + e^t);
// the sum and the last product are one u each.
TEST_P(ElementwiseTest, ClampedSwiglu) {
  const std::vector<float> gate = EveryKindOfFloat();
  const auto n = static_cast<int64_t>(gate.size());
  Rng rng(6);
  std::vector<float> up(gate.size()), found(gate.size()), exact(gate.size());
  for (float& value : up) value = static_cast<float>(20 * rng.Uniform() - 10);
  backend_->GatedActivation(Activation::kClampedSwiglu, gate.data(), up.data(), n, found.data());
  ref_->GatedActivation(Activation::kClampedSwiglu, gate.data(), up.data(), n, exact.data());
  const auto turn = [](double x) { return 1.702 * std::min(x, 7.0); };
  const auto lost = [&](double x) { return turn(x) < -kLargestExponent * (1 - 1e-6); };
  ExpectUnits(
      gate, found, exact, [&](double x) { return kSigmoid + 2 + 2 * std::abs(turn(x)) / (1 + std::exp(turn(x))); },
      lost);
  for (size_t i = 0; i < gate.size(); ++i) {
    if (std::isfinite(gate[i]) && lost(static_cast<double>(gate[i]))) {
      ASSERT_NEAR(found[i], exact[i], 8 * kLost) << "at " << gate[i];
    }
  }
}

// cap tanh(x / cap): the argument is off by u of itself, which tanh turns into at most half of u; tanh itself by 5 u of
// 1 in the form 1 - 2 / (1 + e^2x) (the exponential 2, sum, quotient and difference 1 each); the product is one more.
TEST_P(ElementwiseTest, SoftCapIsWithinUnitsOfTheCap) {
  const std::vector<float> x = EveryKindOfFloat();
  for (const float cap : {1.0F, 5.0F, 30.0F, 50.0F}) {
    std::vector<float> found = x, exact = x;
    backend_->SoftCap(found.data(), cap, static_cast<int64_t>(x.size()));
    ref_->SoftCap(exact.data(), cap, static_cast<int64_t>(x.size()));
    for (size_t i = 0; i < x.size(); ++i) {
      if (std::isnan(x[i])) {
        ASSERT_TRUE(std::isnan(found[i]));
      } else {
        ASSERT_NEAR(found[i], exact[i], 7 * kRoundingUnit * static_cast<double>(cap)) << "at " << x[i];
      }
    }
  }
}

TEST_P(ElementwiseTest, ScalesAndSumsOfRowsAreRoundedOnce) {
  const std::vector<float> x = EveryKindOfFloat();
  const auto n = static_cast<int64_t>(x.size());
  std::vector<float> y = x;
  std::rotate(y.begin(), y.begin() + 12345, y.end());
  for (const auto& [units, run] : std::vector<std::pair<double, std::function<void(Backend&, float*)>>>{
           {-0.5, [&](Backend&b, float*out) { b.Scale(out, 0.7F, n); }},
           {-0.5, [&](Backend&b, float*out) { b.AddToRows(out, y.data(), 10, static_cast<int>(n) / 10); }},
           // The oracle rounds twice: product and sum in double, then to float.
           {0.5, [&](Backend&b, float*out) { b.Add(out, y.data(), 0.7F, n); }}}) {
    std::vector<float> found = x, exact = x;
    run(*backend_, found.data());
    run(*ref_, exact.data());
    ExpectUnits(
        x, found, exact, [allowed = units](double) { return allowed; }, NoneSkipped);
  }
}

// The softmax of two scores, 0 and x <= 0, that the values 0 and 1 show: e^x / (1 + e^x) and so, far out, e^x itself
// down to the least denormal. Sum and quotient are two roundings more; e^0 is exact, and e^x's error counts by 1 / (1 +
// e^x).
TEST_P(ElementwiseTest, ExponentialOfSoftmax) {
  constexpr int kHeads = 4096;  // queries against the same two keys
  const AttentionParams params = {kHeads, 1, 1, 1.0F, 0};
  std::vector<float> scores;
  for (const float x : EveryKindOfFloat()) {
    if (x <= 0.0F && x > -200.0F) scores.push_back(x);
  }
  scores.resize((scores.size() + kHeads - 1) / kHeads * kHeads);
  std::vector<float> found(scores.size()), exact(scores.size());
  for (const auto& [backend, out] : {std::pair{backend_.get(), &found}, std::pair{ref_.get(), &exact}}) {
    const auto keys = backend->Allocate(2 * sizeof(float)), values = backend->Allocate(2 * sizeof(float));
    const KvLayer cache = {keys.get(), values.get(), CacheType::kF32, 2};
    const float pair[] = {0.0F, 1.0F};
    backend->StoreKv(cache, pair, pair, 2, 0, 1);
    for (size_t i = 0; i < scores.size(); i += kHeads) {
      backend->Attention(scores.data() + i, cache, 1, 1, params, out->data() + i);
    }
  }
  ExpectUnits(
      scores, found, exact, [](double x) { return x < -20 ? kExp : 2 * kExp + 3; }, NoneSkipped);
}

TEST_P(ElementwiseTest, SumsAreRoundedOnce) {
  const std::vector<float> x = EveryKindOfFloat();
  std::vector<float> y = x;
  Rng rng(3);
  std::rotate(y.begin(), y.begin() + 12345, y.end());
  std::vector<float> found = x, exact = x;
  backend_->Add(found.data(), y.data(), 1.0F, static_cast<int64_t>(x.size()));
  ref_->Add(exact.data(), y.data(), 1.0F, static_cast<int64_t>(x.size()));
  ExpectUnits(
      x, found, exact, [](double) { return -0.5; }, NoneSkipped);
}

// in / sqrt(mean square + eps) * weight: the mean has a relative error of (width + 2) u in any order of additions, its
// root half of that and one more, then a division and two products.
TEST_P(ElementwiseTest, RmsNormOfRowsOfAnyMagnitude) {
  Rng rng(4);
  for (const int width : {1, 15, 100, 1024}) {
    for (const double magnitude : {1e-25, 1e-12, 1e-3, 1.0, 1e6, 1e17}) {
      const std::vector<float> in = Normals(rng, static_cast<size_t>(width), magnitude);
      const std::vector<float> weight = Normals(rng, in.size());
      const double units = (width + 2) / 2.0 + 4;
      const auto norm = [&](Backend& b, const std::vector<float>& row) {
        std::vector<float> out(row.size());
        b.RmsNorm(row.data(), weight.data(), 1e-6F, 1, width, width, out.data());
        return out;
      };
      const std::vector<float> exact = norm(*ref_, in);
      ExpectUnits(
          in, norm(*backend_, in), exact, [&](double) { return units; }, NoneSkipped);
      // It bites: a norm that leaves out an element of usual size is beyond it in all others.
      if (width < 15 || magnitude < 1) continue;
      std::vector<float> dropped = in;
      dropped[static_cast<size_t>(width) / 2] = 0.0F;
      const std::vector<float> wrong = norm(*ref_, dropped);
      const double share = std::pow(static_cast<double>(in[static_cast<size_t>(width) / 2]) / magnitude, 2) / width;
      if (share * 0x1p22 < 4 * units) continue;  // the element was too small to matter
      EXPECT_GT(static_cast<double>(UnitsApart(wrong[0], exact[0])), units);
    }
  }
}

// A square above the largest float makes the mean infinite, and the row zeros: where kernels sum in float32 the range
// of a row ends at 2^64 / sqrt(width). The oracle's does not.
TEST_P(ElementwiseTest, RmsNormEndsWhereSquaresDo) {
  const std::vector<float> in(16, 0x1p64F), weight(16, 1.0F);
  std::vector<float> out(16);
  backend_->RmsNorm(in.data(), weight.data(), 1e-6F, 1, 16, 16, out.data());
  EXPECT_EQ(out, std::vector<float>(16, 0.0F));
}

// A rotated pair cancels, so that its elements are held to units of the pair's norm: sine and cosine, the products, and
// the sum are one rounding each, |a cos| + |b sin| is at most the norm, and the oracle rounds once more.
TEST_P(ElementwiseTest, RopeOfBothPairings) {
  Rng rng(5);
  std::vector<double> frequencies, slower;
  for (int i = 0; i < 16; ++i) {
    frequencies.push_back(std::pow(1e6, -2.0 * i / 32));
    slower.push_back(frequencies.back() / std::abs(8.0 + rng.Normal()));
  }
  for (const bool neox : {false, true}) {
    for (const bool scaled : {false, true}) {
      const float magnitude = scaled ? 1.25F : 1.0F;
      const RopeParams rope = {32, neox, (scaled ? slower : frequencies).data(), magnitude};
      constexpr int kHeads = 3, kHeadDim = 48, kTokens = 9, kStride = kHeads * kHeadDim + 4, kHalf = 16;
      const std::vector<float> in = Normals(rng, kTokens * kStride);
      std::vector<float> found = in, exact = in;
      backend_->Rope(found.data(), kTokens, kHeads, kHeadDim, kStride, 5000, rope);
      ref_->Rope(exact.data(), kTokens, kHeads, kHeadDim, kStride, 5000, rope);
      for (size_t i = 0; i < in.size(); ++i) {
        const size_t at = i % kStride % kHeadDim;
        if (i % kStride >= kHeads * kHeadDim || at >= 32) {
          ASSERT_EQ(found[i], in[i]) << "value " << i << ", which is not rotated";
          continue;
        }
        const size_t partner = neox ? (at < kHalf ? i + kHalf : i - kHalf) : i ^ 1;
        const double norm = std::hypot(static_cast<double>(in[i]), static_cast<double>(in[partner]));
        ASSERT_NEAR(found[i], exact[i], 4 * kRoundingUnit * norm * static_cast<double>(magnitude)) << "value " << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ElementwiseTest, testing::ValuesIn(BackendsUnderTest()),
                         [](const auto& test) { return TestName(test.param); });

}  // namespace
}  // namespace assay::conformance
