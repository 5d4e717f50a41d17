#include "base/rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

namespace assay {
namespace {

// Computed by a separate program from the published algorithms, which itself gave the reference outputs of xoshiro256**
// for the state {1, 2, 3, 4} (11520, 0, 1509978240, ...) and of splitmix64 for seed 0 (0xE220A8397B1DCDAF, ...).
TEST(RngTest, GivesThePublishedSequence) {
  Rng zero(0);
  for (const uint64_t expected :
       {0x99EC5F36CB75F2B4U, 0xBF6E1F784956452AU, 0x1A5F849D4933E6E0U, 0x6AA594F1262D2D2CU, 0xBBA5AD4A1F842E59U}) {
    EXPECT_EQ(zero.Next(), expected);
  }
  Rng other(42);
  for (const uint64_t expected :
       {0x15780B2E0C2EC716U, 0x6104D9866D113A7EU, 0xAE17533239E499A1U, 0xECB8AD4703B360A1U, 0xFDE6DC7FE2EC5E64U}) {
    EXPECT_EQ(other.Next(), expected);
  }
}

TEST(RngTest, UniformStaysInItsRangeWithTheRightMeanAndVariance) {
  Rng rng(1);
  constexpr int kDraws = 200'000;
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double u = rng.Uniform();
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    squares += u * u;
  }
  // Five standard errors of the mean of u (variance 1/12) and of u^2 (variance 4/45).
  EXPECT_NEAR(sum / kDraws, 1.0 / 2, 5 * std::sqrt(1.0 / 12 / kDraws));
  EXPECT_NEAR(squares / kDraws, 1.0 / 3, 5 * std::sqrt(4.0 / 45 / kDraws));
}

TEST(RngTest, BelowFillsItsRangeEvenly) {
  Rng rng(2);
  constexpr int kBound = 7;
  constexpr int kDraws = 70'000;
  std::vector<int> counts(kBound, 0);
  for (int i = 0; i < kDraws; ++i) {
    const uint64_t value = rng.Below(kBound);
    ASSERT_LT(value, static_cast<uint64_t>(kBound));
    ++counts[value];
  }
  double chi_squared = 0;
  for (const int count : counts) {
    const double expected = static_cast<double>(kDraws) / kBound;
    chi_squared += (count - expected) * (count - expected) / expected;
  }
  EXPECT_LT(chi_squared, 16.81);  // 6 degrees of freedom, 1 %
  EXPECT_EQ(rng.Below(1), 0U);
}

TEST(RngTest, NormalHasMeanZeroAndVarianceOne) {
  Rng rng(3);
  constexpr int kDraws = 200'000;
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = rng.Normal();
    ASSERT_TRUE(std::isfinite(x));
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0.0, 5 * std::sqrt(1.0 / kDraws));
  EXPECT_NEAR(squares / kDraws, 1.0, 5 * std::sqrt(2.0 / kDraws));
}

}  // namespace
}  // namespace assay
