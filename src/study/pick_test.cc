#include "study/pick.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace assay {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr size_t kPositions = 4000;
constexpr int kRounds = 5;

std::vector<float> BaseNll() {
  Rng rng(1);
  std::vector<float> nll(kPositions);
  for (float& value : nll) value = static_cast<float>(3.0 + rng.Normal());
  return nll;
}

// The base's log-likelihoods, worse by `loss_pct` of perplexity, with noise of which the standard error is `se_pct`.
std::vector<float> WorseNll(double loss_pct, double se_pct, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> nll = BaseNll();
  const double spread = se_pct / 100.0 * std::sqrt(static_cast<double>(kPositions));
  std::vector<double> noise(kPositions);
  double mean = 0.0;
  for (double& value : noise) mean += (value = rng.Normal()) / static_cast<double>(kPositions);
  for (size_t i = 0; i < kPositions; ++i) {
    nll[i] += static_cast<float>(std::log1p(loss_pct / 100.0) + spread * (noise[i] - mean));
  }
  return nll;
}

// Rates around a mean, each round with a drift that all rungs share and noise of their own.
std::vector<TimedRate> Rates(double mean, double noise, uint64_t seed, int rounds = kRounds) {
  Rng rng(seed);
  std::vector<TimedRate> rates;
  for (int round = 0; round < rounds; ++round) {
    const double drift = 1.0 - 0.1 * round;
    rates.push_back({.round = round, .tok_per_s = mean * drift * (1.0 + noise * rng.Normal())});
  }
  return rates;
}

struct RungSpec {
  const char* name;
  uint64_t bytes;
  double loss_pct, loss_se;
  double rate, rate_noise;
};

std::vector<RungEvidence> Make(const std::vector<RungSpec>& specs) {
  std::vector<RungEvidence> rungs;
  for (const RungSpec& spec : specs) {
    const uint64_t seed = 100 + rungs.size();
    const bool base = spec.loss_pct == 0.0 && spec.loss_se == 0.0;
    rungs.push_back({.name = spec.name,
                     .invalid = "",
                     .bytes = spec.bytes,
                     .position_nll = base ? BaseNll() : WorseNll(spec.loss_pct, spec.loss_se, seed),
                     .generation = Rates(spec.rate, spec.rate_noise, seed)});
  }
  return rungs;
}

LadderVerdict DecideOn(const std::vector<RungSpec>& specs) { return Decide(Make(specs), BaseNll(), {}); }

TEST(PerplexityDifferenceTest, GivesBackWhatWasPutInWithItsError) {
  const RangedEstimate loss = YesterdaysDifference(WorseNll(2.0, 0.1, 7), BaseNll());
  EXPECT_NEAR(loss.mean, 2.0, 0.01);
  EXPECT_NEAR(loss.high - loss.low, 2 * 1.96 * 0.1 * 1.02, 0.02);
  const RangedEstimate none = YesterdaysDifference(BaseNll(), BaseNll());
  EXPECT_EQ(none.low, 0.0);
  EXPECT_EQ(none.high, 0.0);
}

TEST(PerplexityDifferenceTest, OnePositionTellsNothing) {
  const std::vector<float> a = {1.0F};
  const std::vector<float> b = {9.0F};
  EXPECT_LT(YesterdaysDifference(a, b).low, -1e9);
  EXPECT_GT(YesterdaysDifference(a, b).high, 1e9);
}

// Student's quantiles as tables print them: through two differences whose mean is 1 and standard error 1, and so on.
TEST(SpeedRatioTest, TheIntervalIsStudents) {
  const auto half_width = [](int rounds) {
    std::vector<TimedRate> a;
    std::vector<TimedRate> b;
    for (int round = 0; round < rounds; ++round) {
      a.push_back({.round = round, .tok_per_s = std::exp(round % 2 == 0 ? 0.5 : -0.5)});
      b.push_back({.round = round, .tok_per_s = 1.0});
    }
    const RangedEstimate ratio = YesterdaysRatio(a, b);
    return (std::log(ratio.high) - std::log(ratio.low)) / 2;
  };
  // Standard error of an even number n of alternating +-1/2: sqrt(n/4/(n-1)/n).
  const auto quantile = [&](int n) { return half_width(n) / std::sqrt(0.25 / (n - 1)); };
  EXPECT_NEAR(quantile(2), 12.706, 0.001);
  EXPECT_NEAR(quantile(6), 2.571, 0.001);
  EXPECT_NEAR(quantile(10), 2.262, 0.001);
  EXPECT_NEAR(quantile(20), 2.093, 0.001);
  EXPECT_NEAR(quantile(200), 1.972, 0.001);
}

TEST(SpeedRatioTest, DriftThatHitsBothOfARoundCancels) {
  const RangedEstimate ratio = YesterdaysRatio(Rates(220.0, 0.0, 1), Rates(200.0, 0.0, 2));
  EXPECT_NEAR(ratio.mean, 1.1, 1e-9);
  EXPECT_NEAR(ratio.low, 1.1, 1e-9);
}

TEST(SpeedRatioTest, RoundsOfDifferentSessionsAreNoPairs) {
  std::vector<TimedRate> a = Rates(200.0, 0.0, 1);
  const std::vector<TimedRate> b = Rates(100.0, 0.0, 2);
  a[4].session = 2;
  a[4].tok_per_s = 1.0;
  EXPECT_NEAR(YesterdaysRatio(a, b).low, 2.0, 1e-9);
  for (TimedRate& rate : a) rate.session = 2;
  EXPECT_GT(YesterdaysRatio(a, b).high, 1e9) << "without pairs nothing is known";
}

TEST(PickTest, TakesTheFastestRungWithinTheToleratedLoss) {
  const LadderVerdict verdict = DecideOn({{"F16", 1000, 0.0, 0.0, 100, 0.005},
                                          {"Q8_0", 530, 0.05, 0.02, 180, 0.005},
                                          {"Q4_K_M", 300, 0.7, 0.05, 260, 0.005},
                                          {"Q2_K", 200, 30.0, 0.5, 330, 0.005}});
  ASSERT_EQ(verdict.pick, 2U);
  EXPECT_TRUE(verdict.rungs[2].pick);
  EXPECT_FALSE(verdict.rungs[1].pick);
  EXPECT_EQ(verdict.rungs[1].loss, Loss::kWithin);
  EXPECT_EQ(verdict.rungs[3].loss, Loss::kBeyond);
  EXPECT_THAT(verdict.sentence, AllOf(StartsWith("Take Q4_K_M: "), HasSubstr("times F16 (95% interval 2.5"),
                                      HasSubstr("at 30% of its size"), HasSubstr("for +0.70% of perplexity"),
                                      HasSubstr("1% is tolerated")));
  EXPECT_THAT(verdict.sentence, Not(HasSubstr("\n")));
}

TEST(PickTest, ARungWhoseIntervalReachesBeyondTheToleranceIsNotTaken) {
  const LadderVerdict verdict = DecideOn({{"F16", 1000, 0.0, 0.0, 100, 0.005},
                                          {"Q8_0", 530, 0.05, 0.02, 180, 0.005},
                                          {"Q4_K_M", 300, 0.8, 0.2, 260, 0.005}});
  ASSERT_EQ(verdict.pick, 1U);
  EXPECT_EQ(verdict.rungs[2].loss, Loss::kUndecided);
  EXPECT_THAT(verdict.sentence, HasSubstr("more windows would tell whether Q4_K_M may be taken too"));
}

TEST(PickTest, OfRungsThatAreAsFastTheSmallestIsTaken) {
  const LadderVerdict verdict = DecideOn(
      {{"F16", 1000, 0.0, 0.0, 100, 0.01}, {"Q8_0", 530, 0.05, 0.02, 202, 0.02}, {"Q6_K", 410, 0.2, 0.02, 200, 0.02}});
  ASSERT_EQ(verdict.pick, 2U);
  EXPECT_THAT(verdict.sentence, HasSubstr("smaller than Q8_0, whose speed cannot be told from its own"));
}

TEST(PickTest, NoPickWhenTheNoiseIsLargerThanTheDifferences) {
  const LadderVerdict verdict = DecideOn(
      {{"Q8_0", 530, 0.5, 2.0, 200, 0.3}, {"Q6_K", 410, 0.6, 2.0, 205, 0.3}, {"Q5_K_M", 350, 0.7, 2.0, 210, 0.3}});
  EXPECT_EQ(verdict.pick, std::nullopt);
  EXPECT_THAT(verdict.sentence, HasSubstr("Q8_0, Q6_K and Q5_K_M cannot be told apart"));
  for (const RungVerdict& rung : verdict.rungs) EXPECT_TRUE(rung.pareto) << "noise dominates nobody";
}

TEST(PickTest, TheBaseIsNotTakenOnlyBecauseTheOthersAreUncertain) {
  const LadderVerdict verdict = DecideOn(
      {{"F16", 1000, 0.0, 0.0, 100, 0.005}, {"Q8_0", 530, 0.1, 3.0, 180, 0.005}, {"Q2_K", 200, 40.0, 3.0, 300, 0.005}});
  EXPECT_EQ(verdict.pick, std::nullopt);
  EXPECT_THAT(verdict.sentence, AllOf(HasSubstr("whether Q8_0 stays within the 1%"), HasSubstr("measure more")));
}

TEST(PickTest, TheBaseIsTakenWhenAllOthersLoseTooMuch) {
  const LadderVerdict verdict = DecideOn({{"F16", 1000, 0.0, 0.0, 100, 0.005}, {"Q3_K_M", 250, 5.0, 0.2, 280, 0.005}});
  ASSERT_EQ(verdict.pick, 0U);
  EXPECT_THAT(verdict.sentence, HasSubstr("no faster rung stays within 1%"));
}

TEST(PickTest, NoPickWhenEveryRungLosesTooMuch) {
  const LadderVerdict verdict = DecideOn({{"Q3_K_M", 250, 5.0, 0.2, 280, 0.005}, {"Q2_K", 200, 30.0, 0.5, 330, 0.005}});
  EXPECT_EQ(verdict.pick, std::nullopt);
  EXPECT_THAT(verdict.sentence, HasSubstr("every rung loses more than 1%"));
}

TEST(PickTest, OneRungLeavesNothingToChoose) {
  const LadderVerdict verdict = DecideOn({{"Q4_K_M", 300, 0.7, 0.05, 260, 0.005}});
  EXPECT_EQ(verdict.pick, std::nullopt);
  EXPECT_TRUE(verdict.rungs[0].pareto);
  EXPECT_THAT(verdict.sentence, HasSubstr("Q4_K_M alone"));
}

TEST(PickTest, AnInvalidRungIsNeitherTakenNorOnTheFrontNorDominates) {
  std::vector<RungEvidence> rungs = Make({{"F16", 1000, 0.0, 0.0, 100, 0.005},
                                          {"Q8_0", 530, 0.05, 0.02, 180, 0.005},
                                          {"Q4_K_M", 300, 0.02, 0.02, 260, 0.005}});
  rungs[2].invalid = "logits that are not finite";
  rungs[2].position_nll.clear();
  const LadderVerdict verdict = Decide(rungs, BaseNll(), {});
  ASSERT_EQ(verdict.pick, 1U);
  EXPECT_FALSE(verdict.rungs[2].valid);
  EXPECT_FALSE(verdict.rungs[2].pareto);
  EXPECT_TRUE(verdict.rungs[1].pareto);
  for (RungEvidence& rung : rungs) rung.invalid = "broken";
  EXPECT_THAT(Decide(rungs, BaseNll(), {}).sentence, HasSubstr("no rung gave a valid measurement"));
}

TEST(PickTest, ADominatedRungIsSlowerAndLargerAndNoBetter) {
  const LadderVerdict verdict = DecideOn({{"F16", 1000, 0.0, 0.0, 100, 0.005},
                                          {"Q8_0", 530, 0.02, 0.02, 180, 0.005},
                                          {"Q5_1", 400, 2.0, 0.1, 170, 0.005},
                                          {"Q5_K_M", 350, 0.5, 0.05, 240, 0.005},
                                          {"Q2_K", 200, 30.0, 0.5, 330, 0.005}});
  EXPECT_FALSE(verdict.rungs[0].pareto) << "Q8_0 is smaller and faster, and its loss is none beyond the error";
  EXPECT_TRUE(verdict.rungs[1].pareto) << "the smaller ones lose more";
  EXPECT_FALSE(verdict.rungs[2].pareto) << "Q5_K_M is better in all";
  EXPECT_TRUE(verdict.rungs[3].pareto);
  EXPECT_TRUE(verdict.rungs[4].pareto);
}

TEST(PickTest, AnUncertainLossDominatesNobody) {
  const LadderVerdict verdict = DecideOn({{"F16", 1000, 0.0, 0.0, 100, 0.005}, {"Q8_0", 530, 0.5, 1.0, 180, 0.005}});
  EXPECT_TRUE(verdict.rungs[0].pareto);
}

TEST(PickTest, TheToleranceIsTheCallers) {
  const std::vector<RungEvidence> rungs = Make({{"F16", 1000, 0.0, 0.0, 100, 0.005},
                                                {"Q8_0", 530, 0.05, 0.02, 180, 0.005},
                                                {"Q3_K_M", 250, 5.0, 0.2, 280, 0.005}});
  EXPECT_EQ(Decide(rungs, BaseNll(), {.max_loss_pct = 1.0}).pick, 1U);
  EXPECT_EQ(Decide(rungs, BaseNll(), {.max_loss_pct = 10.0}).pick, 2U);
}

}  // namespace
}  // namespace assay
