#include "judge/round_costs.h"

#include <gtest/gtest.h>

#include <cmath>

namespace assay {
namespace {

TEST(ExpectedTokensTest, IsTheGeometricSumOfThePaper) {
  EXPECT_DOUBLE_EQ(ExpectedTokens(0.0, 4), 1.0);
  EXPECT_DOUBLE_EQ(ExpectedTokens(1.0, 4), 5.0);
  for (const double a : {0.3, 0.7, 0.95}) {
    EXPECT_NEAR(ExpectedTokens(a, 8), (1.0 - std::pow(a, 9)) / (1.0 - a), 1e-12);
  }
  const std::vector<double> by_position = {0.9, 0.5};
  EXPECT_DOUBLE_EQ(ExpectedTokens(by_position), 1.0 + 0.9 + 0.45);
}

TEST(BreakEvenTest, AtThatAcceptanceARoundGivesWhatItCosts) {
  const RoundCosts costs{.draft = 0.3, .verify = {1.0, 1.1, 1.2, 1.3, 1.4}};
  for (int k = 1; k <= 4; ++k) {
    const auto acceptance = BreakEvenAcceptance(k, costs);
    ASSERT_TRUE(acceptance.has_value());
    EXPECT_NEAR(ExpectedTokens(*acceptance, k), costs.Round(k), 1e-9);
  }
}

TEST(BreakEvenTest, SomeCostsNeverPayAndSomeAlways) {
  EXPECT_EQ(BreakEvenAcceptance(1, {.draft = 1.2, .verify = {1.0, 1.1}}), std::nullopt);
  EXPECT_EQ(BreakEvenAcceptance(1, {.draft = 0.0, .verify = {1.0, 1.0}}), 0.0);
}

}  // namespace
}  // namespace assay
