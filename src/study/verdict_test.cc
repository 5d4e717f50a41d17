#include "study/verdict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace assay {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

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

TEST(JudgeSpeedupTest, TheIntervalDecides) {
  const SpeedupVerdict gain = JudgeSpeedup(1.234, {1.1, 1.4});
  EXPECT_EQ(gain.outcome, SpeedupOutcome::kGains);
  EXPECT_EQ(gain.sentence, "gains 23.4% (95% interval +10.0% to +40.0%)");
  const SpeedupVerdict loss = JudgeSpeedup(0.75, {0.7, 0.8});
  EXPECT_EQ(loss.outcome, SpeedupOutcome::kLoses);
  EXPECT_THAT(loss.sentence, StartsWith("loses 25.0%"));
  const SpeedupVerdict neither = JudgeSpeedup(1.05, {0.98, 1.12});
  EXPECT_EQ(neither.outcome, SpeedupOutcome::kUndecided);
  EXPECT_THAT(neither.sentence, StartsWith("cannot be told apart"));
  EXPECT_THAT(JudgeSpeedup(1.05, {0.0, std::numeric_limits<double>::infinity()}).sentence,
              HasSubstr("too few samples"));
}

TEST(PairSentenceTest, TakesTheLengthWhoseGainIsSurest) {
  const std::vector<CellOutcome> cells = {{"code", "4", true, 1.5, {1.4, 1.6}},
                                          {"code", "8", true, 1.6, {1.1, 2.1}},
                                          {"code", "16", false, 9.0, {8.0, 10.0}},
                                          {"math", "4", false, 9.0, {8.0, 10.0}}};
  const std::string sentence = PairSentence("target", "draft", cells);
  EXPECT_THAT(sentence, AllOf(StartsWith("target with draft: code: gains 50.0%"), HasSubstr("at k=4"),
                              HasSubstr("math: no valid measurement")));
}

}  // namespace
}  // namespace assay
