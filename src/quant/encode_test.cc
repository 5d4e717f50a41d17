#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/half.h"
#include "base/rng.h"
#include "quant/formats.h"
#include "quant/testing/rivals.h"

namespace assay {
namespace {

std::vector<uint8_t> Encode(Format format, const std::vector<float>& x, const std::vector<float>& importance = {}) {
  const FormatTraits& traits = TraitsOf(format);
  std::vector<uint8_t> bytes(BytesOf(traits, x.size()));
  traits.encode(x.data(), bytes.data(), static_cast<int64_t>(x.size()),
                importance.empty() ? nullptr : importance.data());
  return bytes;
}

std::vector<float> Decode(Format format, const std::vector<uint8_t>& bytes) {
  const FormatTraits& traits = TraitsOf(format);
  std::vector<float> x(bytes.size() / static_cast<size_t>(traits.block_bytes) * static_cast<size_t>(traits.block_size));
  traits.decode(bytes.data(), x.data(), static_cast<int64_t>(x.size()));
  return x;
}

struct Source {
  std::string name;
  std::function<double(Rng&)> draw;
};

double Laplace(Rng& rng) {
  const double u = rng.Uniform() - 0.5;
  return -std::copysign(std::log(1.0 - 2.0 * std::abs(u) + 1e-12), u);
}

const std::vector<Source>& Sources() {
  static const std::vector<Source> sources = {
      {"gaussian", [](Rng& rng) { return 0.02 * rng.Normal(); }},
      {"laplace", [](Rng& rng) { return 0.02 * Laplace(rng); }},
      {"outliers", [](Rng& rng) { return 0.02 * rng.Normal() * (rng.Below(64) == 0 ? 10.0 : 1.0); }},
      {"shifted", [](Rng& rng) { return 0.02 * rng.Normal() - 0.03; }},
  };
  return sources;
}

std::vector<float> Draw(const Source& source, size_t count, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> x(count);
  for (float& value : x) value = static_cast<float>(source.draw(rng));
  return x;
}

std::vector<float> DrawImportance(size_t count, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> importance(count);
  for (float& value : importance) value = static_cast<float>(std::exp(1.5 * rng.Normal()));
  return importance;
}

double WeightedError(const std::vector<float>& x, const std::vector<float>& y, const std::vector<float>& weights) {
  double error = 0.0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double difference = static_cast<double>(x[i]) - y[i];
    error += weights[i] * difference * difference;
  }
  return error;
}

constexpr size_t kCount = 256 * 128;

class EncodeTest : public testing::TestWithParam<Format> {
 protected:
  const FormatTraits& traits() const { return TraitsOf(GetParam()); }
  std::vector<float> RoundTrip(const std::vector<float>& x, const std::vector<float>& importance = {}) const {
    return Decode(GetParam(), Encode(GetParam(), x, importance));
  }
};

TEST_P(EncodeTest, IsNoWorseThanThePublishedSearch) {
  for (const Source& source : Sources()) {
    const std::vector<float> x = Draw(source, kCount, 7);
    for (const bool with_importance : {false, true}) {
      const std::vector<float> importance = with_importance ? DrawImportance(kCount, 8) : std::vector<float>();
      const std::vector<float> weights = rivals::Weights(GetParam(), x, importance);
      const double ours = WeightedError(x, RoundTrip(x, importance), weights);
      const double theirs = WeightedError(x, rivals::PublishedSearch(GetParam(), x, importance), weights);
      EXPECT_LE(ours, theirs * 1.005) << source.name << (with_importance ? " with importance" : "");
    }
  }
}

TEST_P(EncodeTest, IsBetterThanTheExtremeValuesAlone) {
  for (const Source& source : Sources()) {
    const std::vector<float> x = Draw(source, kCount, 9);
    const std::vector<float> weights = rivals::Weights(GetParam(), x, {});
    const double ours = WeightedError(x, RoundTrip(x), weights);
    EXPECT_LT(ours, WeightedError(x, rivals::WithoutSearch(GetParam(), x), weights)) << source.name;
  }
}

// One step is the range of the block's values, with zero, over the number of codes (of levels at unequal distances:
// over the widest gap). With every group at the coarsest scale no value is off by more than one step, so no optimum may
// be worse than that.
TEST_P(EncodeTest, IsWithinAStepOfTheBlocksRange) {
  static const std::map<Format, double> kSteps = {
      {Format::kQ8_0, 255}, {Format::kQ6_K, 63}, {Format::kQ5_K, 31},           {Format::kQ4_K, 15},
      {Format::kQ3_K, 7},   {Format::kQ2_K, 3},  {Format::kQ4_0, 15},           {Format::kQ4_1, 15},
      {Format::kQ5_0, 31},  {Format::kQ5_1, 31}, {Format::kIQ4_NL, 226.0 / 23}, {Format::kIQ4_XS, 226.0 / 23},
      {Format::kMXFP4, 6}};
  const auto size = static_cast<size_t>(traits().block_size);
  for (const Source& source : Sources()) {
    const std::vector<float> x = Draw(source, kCount, 10), y = RoundTrip(x),
                             weights = rivals::Weights(GetParam(), x, {});
    for (size_t first = 0; first < kCount; first += size) {
      double largest = 0.0, error = 0.0, sum = 0.0;
      for (size_t i = first; i < first + size; ++i) {
        largest = std::max(largest, std::abs(static_cast<double>(x[i])));
        error += weights[i] * std::pow(static_cast<double>(x[i]) - y[i], 2);
        sum += weights[i];
      }
      EXPECT_LE(std::sqrt(error / sum), 2.0 * largest / kSteps.at(GetParam())) << source.name << " at " << first;
    }
  }
}

// What needs finer scales than powers of two.
class FineScaleTest : public EncodeTest {};

TEST_P(FineScaleTest, ImportanceMovesTheErrorToWhereItMattersLess) {
  const std::vector<float> x = Draw(Sources()[0], kCount, 12), importance = DrawImportance(kCount, 13);
  const double with = WeightedError(x, RoundTrip(x, importance), importance);
  EXPECT_LT(with, 0.98 * WeightedError(x, RoundTrip(x), importance));
}

TEST_P(EncodeTest, BlocksDoNotDependOnTheirNeighboursNorOnTheRun) {
  const std::vector<float> x = Draw(Sources()[1], 1024, 14), importance = DrawImportance(1024, 15);
  const std::vector<uint8_t> whole = Encode(GetParam(), x, importance);
  EXPECT_EQ(whole, Encode(GetParam(), x, importance));
  const std::vector<uint8_t> tail =
      Encode(GetParam(), {x.begin() + 768, x.end()}, {importance.begin() + 768, importance.end()});
  EXPECT_TRUE(std::equal(tail.begin(), tail.end(), whole.end() - static_cast<std::ptrdiff_t>(tail.size())));
}

// At sizes where every stored half is a normal one.
TEST_P(EncodeTest, PowersOfTwoScaleTheDecodedValuesExactly) {
  std::vector<float> x = Draw(Sources()[0], 1024, 16);
  for (float& value : x) value *= 64.0F;
  std::vector<float> scaled = x, expected = RoundTrip(x);
  for (float& value : scaled) value *= 32.0F;
  for (float& value : expected) value *= 32.0F;
  EXPECT_EQ(RoundTrip(scaled), expected);
}

// A second trip may not add more than a tenth of the first trip's error.
TEST_P(EncodeTest, ASecondTripChangesLittle) {
  const std::vector<float> x = Draw(Sources()[0], kCount, 17), once = RoundTrip(x), twice = RoundTrip(once);
  const std::vector<float> weights = rivals::Weights(GetParam(), x, {});
  EXPECT_LE(WeightedError(once, twice, weights), 0.1 * WeightedError(x, once, weights));
}

TEST_P(EncodeTest, ZerosStayZeros) {
  const std::vector<float> zeros(512, 0.0F);
  EXPECT_EQ(RoundTrip(zeros), zeros);
  EXPECT_EQ(RoundTrip(zeros, std::vector<float>(512, 1.0F)), zeros);
}

// Values far below the smallest half become zeros or the smallest decodable value, at most as large as the values.
TEST_P(EncodeTest, ValuesTooSmallForTheScalesVanishQuietly) {
  for (const float size : {1e-42F, 1e-30F, 1e-12F, 1e-8F}) {
    std::vector<float> x = Draw(Sources()[0], 256, 18);
    for (float& value : x) value *= 50.0F * size;
    for (const float value : RoundTrip(x)) EXPECT_LE(std::abs(value), 4.0F * size);
  }
}

// Sizes where the scales are subnormal halves: what can be said with them is said.
TEST_P(EncodeTest, SubnormalScalesStillCarryTheValues) {
  std::vector<float> x = Draw(Sources()[0], 256, 19);
  for (float& value : x) value *= 0x1p-12F;  // about 5e-6, 80 times the smallest half
  const std::vector<float> flat(256, 1.0F);
  EXPECT_LT(WeightedError(x, RoundTrip(x), flat), 0.3 * WeightedError(x, std::vector<float>(256, 0.0F), flat));
}

TEST_P(EncodeTest, HugeValuesDecodeToFiniteOnesOfTheirSigns) {
  for (const float size : {1e6F, 1e12F, 3.4e38F}) {
    std::vector<float> x(256);
    for (size_t i = 0; i < x.size(); ++i) x[i] = i % 2 == 0 ? size : -size;
    const std::vector<float> y = RoundTrip(x);
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_TRUE(std::isfinite(y[i]));
      ASSERT_GT(y[i] * (x[i] > 0 ? 1.0F : -1.0F), 60000.0F) << size << " at " << i;
    }
  }
}

TEST_P(FineScaleTest, OneHugeOutlierKeepsItsValue) {
  std::vector<float> x = Draw(Sources()[0], 256, 20);
  x[37] = -40.0F;
  const std::vector<float> y = RoundTrip(x);
  EXPECT_NEAR(y[37], x[37], 0.5F);
  for (const float value : y) EXPECT_TRUE(std::isfinite(value));
}

TEST_P(FineScaleTest, ConstantsOfEitherSignAreNearlyExact) {
  for (const float constant : {0.75F, -0.75F, 1.0F / 3, -1.0F / 3}) {
    const std::vector<float> y = RoundTrip(std::vector<float>(256, constant));
    // A half scale and, in super-blocks, a stored scale of which the best multiple is taken.
    for (const float value : y) EXPECT_NEAR(value, constant, std::abs(constant) * 0x1p-9F);
  }
}

TEST_P(FineScaleTest, AnyImportanceGivesADefinedResult) {
  const std::vector<float> x = Draw(Sources()[0], 256, 21);
  std::vector<float> single(256, 0.0F);
  single[100] = 1.0F;
  const std::vector<float> y = RoundTrip(x, single);
  EXPECT_NEAR(y[100], x[100], 0.002F);
  EXPECT_EQ(RoundTrip(x, std::vector<float>(256, 0.0F)), RoundTrip(x));
  EXPECT_EQ(RoundTrip(x, std::vector<float>(256, 1e30F)), RoundTrip(x, std::vector<float>(256, 1.0F)));
  for (const float value : y) EXPECT_TRUE(std::isfinite(value));
}

std::string FormatName(const testing::TestParamInfo<Format>& row) { return std::string(TraitsOf(row.param).name); }

std::vector<Format> BlockFormats() {
  std::vector<Format> formats;
  for (const FormatTraits& traits : Formats()) {
    if (traits.block_size > 1) formats.push_back(traits.format);
  }
  return formats;
}

std::vector<Format> FormatsWithFineScales() {
  std::vector<Format> formats = BlockFormats();
  std::erase(formats, Format::kMXFP4);
  return formats;
}

INSTANTIATE_TEST_SUITE_P(Formats, EncodeTest, testing::ValuesIn(BlockFormats()), FormatName);
INSTANTIATE_TEST_SUITE_P(Formats, FineScaleTest, testing::ValuesIn(FormatsWithFineScales()), FormatName);

// By what is most often asked, with all values weighing the same.
TEST(EncodeLevels, TheRootMeanSquareErrorIsBelowThatOfThePublishedSearch) {
  const std::vector<float> flat(kCount, 1.0F);
  for (const Format format : {Format::kIQ4_NL, Format::kIQ4_XS, Format::kMXFP4}) {
    for (const Source& source : Sources()) {
      const std::vector<float> x = Draw(source, kCount, 25);
      const double ours = WeightedError(x, Decode(format, Encode(format, x)), flat);
      EXPECT_LT(ours, WeightedError(x, rivals::PublishedSearch(format, x, {}), flat))
          << TraitsOf(format).name << ", " << source.name;
    }
  }
}

// Each value of a block for itself, by all powers of two: no scale is better.
TEST(EncodeMXFP4, TheScaleIsTheBestOfAll) {
  const std::vector<float> importance = DrawImportance(1024, 24);
  for (const Source& source : Sources()) {
    const std::vector<float> x = Draw(source, 1024, 23);
    for (const std::vector<float>& weights : {std::vector<float>(1024, 1.0F), importance}) {
      const std::vector<float> y = Decode(Format::kMXFP4, Encode(Format::kMXFP4, x, weights));
      for (size_t first = 0; first < x.size(); first += 32) {
        double best = HUGE_VAL, ours = 0.0;
        for (size_t i = first; i < first + 32; ++i) ours += weights[i] * std::pow(static_cast<double>(x[i]) - y[i], 2);
        for (int power = -40; power < 10; ++power) {
          double error = 0.0;
          for (size_t i = first; i < first + 32; ++i) {
            double least = HUGE_VAL;
            for (const double level : {0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0}) {
              least = std::min(least, std::abs(std::abs(static_cast<double>(x[i])) - std::ldexp(level, power)));
            }
            error += weights[i] * least * least;
          }
          best = std::min(best, error);
        }
        EXPECT_LE(ours, best * (1 + 1e-6)) << source.name << " at " << first;
      }
    }
  }
}

// Weights trained for a format lie on its grid: encoding must give them back as they are.
TEST(EncodeGrid, ValuesOnTheGridOfASymmetricFormatAreKeptExactly) {
  const std::vector<std::pair<Format, int>> formats = {
      {Format::kQ4_0, -8}, {Format::kQ5_0, -16}, {Format::kQ8_0, -127}};
  for (const auto& [format, extreme] : formats) {
    Rng rng(22);
    std::vector<float> x(32 * 64);
    for (size_t i = 0; i < x.size(); i += 32) {
      const float d = HalfToFloat(FloatToHalf(static_cast<float>(0.001 + 0.01 * rng.Uniform())));
      for (size_t l = 0; l < 32; ++l) {
        x[i + l] =
            d * static_cast<float>(static_cast<int>(rng.Below(static_cast<uint64_t>(-2 * extreme - 1))) + extreme + 1);
      }
      x[i + rng.Below(32)] = d * static_cast<float>(extreme);
    }
    EXPECT_EQ(Decode(format, Encode(format, x)), x) << TraitsOf(format).name;
  }
}

TEST(EncodeFloats, RoundToNearestAndStayFinite) {
  EXPECT_EQ(Decode(Format::kF16, Encode(Format::kF16, {1.0F, 1e9F, -1e9F})),
            (std::vector<float>{1.0F, 65504.0F, -65504.0F}));
  const std::vector<float> bf16 = Decode(Format::kBF16, Encode(Format::kBF16, {1.0F, 3.402e38F, 1.00390625F}));
  EXPECT_EQ(bf16[0], 1.0F);
  EXPECT_TRUE(std::isfinite(bf16[1]));
  EXPECT_EQ(bf16[2], 1.0F);  // halfway between 1 and 1 + 2^-7: to even
  EXPECT_EQ(Decode(Format::kF32, Encode(Format::kF32, {0.1F})), std::vector<float>{0.1F});
}

}  // namespace
}  // namespace assay
