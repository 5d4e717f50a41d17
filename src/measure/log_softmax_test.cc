#include "measure/log_softmax.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/rng.h"

namespace assay {
namespace {

std::vector<float> Row(size_t count, double spread, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> row(count);
  for (float& x : row) x = static_cast<float>(spread * rng.Normal());
  return row;
}

double ExactLogSum(const std::vector<float>& row) {
  double largest = -std::numeric_limits<double>::infinity();
  for (const float x : row) largest = std::max(largest, static_cast<double>(x));
  double sum = 0.0;
  for (const float x : row) sum += std::exp(static_cast<double>(x) - largest);
  return largest + std::log(sum);
}

TEST(LogSoftmaxTest, ExpIsWithinItsBoundOverItsRange) {
  for (int i = 0; i <= 870'000; ++i) {
    const auto x = static_cast<float>(-i * 1e-4);
    const double exact = std::exp(static_cast<double>(x));
    ASSERT_NEAR(static_cast<double>(ExpOfNonPositive(x)) / exact, 1.0, 3e-7) << x;
  }
  EXPECT_EQ(ExpOfNonPositive(0.0F), 1.0F);
  EXPECT_EQ(ExpOfNonPositive(-100.0F), 0.0F);
}

TEST(LogSoftmaxTest, TheSumIsThatOfDoublePrecision) {
  for (const size_t count : {1UL, 7UL, 16UL, 17UL, 4096UL, 50'001UL}) {
    for (const double spread : {0.0, 1.0, 30.0}) {
      const std::vector<float> row = Row(count, spread, count);
      EXPECT_NEAR(Normalise(row).log_sum, ExactLogSum(row), 3e-7) << count << " x " << spread;
    }
  }
}

TEST(LogSoftmaxTest, TheTopIsTheLowestOfTheLargest) {
  std::vector<float> row(100, 1.0F);
  row[37] = row[81] = 2.0F;
  EXPECT_EQ(Normalise(row).top, 37);
}

TEST(LogSoftmaxTest, SeesALogitThatIsNotFiniteWhereverItIs) {
  for (const float strange : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                              -std::numeric_limits<float>::infinity()}) {
    for (size_t at = 0; at < 53; ++at) {
      std::vector<float> row = Row(53, 1.0, 3);
      row[at] = strange;
      EXPECT_FALSE(Normalise(row).finite) << strange << " at " << at;
    }
  }
  EXPECT_TRUE(Normalise(std::vector<float>(53, std::numeric_limits<float>::max())).finite);
}

TEST(LogSoftmaxTest, DivergenceIsThatOfDoublePrecisionAlsoWhereItIsSmall) {
  for (const double change : {1e-3, 1e-2, 1.0}) {
    const std::vector<float> base = Row(20'000, 3.0, 5);
    std::vector<float> model = base;
    Rng rng(9);
    for (float& x : model) x += static_cast<float>(change * rng.Normal());
    const double base_sum = ExactLogSum(base);
    const double model_sum = ExactLogSum(model);
    double exact = 0.0;
    for (size_t i = 0; i < base.size(); ++i) {
      const double base_log = static_cast<double>(base[i]) - base_sum;
      exact += std::exp(base_log) * (base_log - (static_cast<double>(model[i]) - model_sum));
    }
    // Both normalisers are off by 3e-7 at most, and the probabilities by as much of themselves.
    EXPECT_NEAR(Divergence(base, Normalise(base), model, Normalise(model)), exact, 6e-7 + 6e-7 * change);
  }
}

TEST(LogSoftmaxTest, ADistributionDoesNotDivergeFromItself) {
  const std::vector<float> row = Row(4099, 5.0, 11);
  EXPECT_EQ(Divergence(row, Normalise(row), row, Normalise(row)), 0.0);
}

}  // namespace
}  // namespace assay
