#include "judge/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "judge/testing/worlds.h"

namespace assay {
namespace {

using testing::HasSubstr;

std::vector<Sample> Samples(const std::vector<double>& seconds, int session = 1) {
  std::vector<Sample> samples;
  for (size_t i = 0; i < seconds.size(); ++i) {
    samples.push_back({.round = static_cast<int>(i), .tokens = 100, .seconds = seconds[i], .session = session});
  }
  return samples;
}

Compared Speed(const std::vector<double>& b, const std::vector<double>& a, double floor = 0.0) {
  return {.name = "tg64", .estimate = SpeedRatio(Samples(b), Samples(a)), .floor = floor};
}

TEST(ComparisonTest, SpeedsArePairedByRoundAndSession) {
  std::vector<Sample> a = Samples({1.0, 2.0, 4.0, 8.0});
  std::vector<Sample> b = Samples({0.5, 1.0, 2.0, 4.0});
  EXPECT_NEAR(SpeedRatio(b, a).value(), 2.0, 1e-12);
  b[3].session = 2;
  EXPECT_EQ(SpeedRatio(b, a).units(), 3);
}

TEST(ComparisonTest, RunsOfDifferentArithmeticAreNoPair) {
  RunRecord fine, everyday, old;
  fine.settings = {{std::string(kArithmeticSetting), "fine"}};
  everyday.settings = {{std::string(kArithmeticSetting), std::string(kEverydayArithmetic)}};
  EXPECT_NO_THROW(RequireSameArithmetic(fine, fine));
  EXPECT_NO_THROW(RequireSameArithmetic(everyday, old));
  EXPECT_THROW(RequireSameArithmetic(fine, everyday), Error);
  EXPECT_THROW(RequireSameArithmetic(old, fine), Error);
}

TEST(ComparisonTest, OtherWindowsAreNoPair) {
  const std::vector<float> four(4, 1.0F);
  const std::vector<float> five(5, 1.0F);
  EXPECT_THROW(PerplexityDifference(four, five), Error);
}

TEST(ComparisonTest, ADifferenceIsToldWithItsIntervalAndWhatIsOpenWithWhatWouldTell) {
  std::vector<Compared> family = {
      {.name = "perplexity",
       .estimate = PerplexityDifference(std::vector<float>{2.01F, 2.02F, 2.03F, 2.02F, 2.02F, 2.01F, 2.02F, 2.03F},
                                        std::vector<float>(8, 2.0F)),
       .more_is_better = false},
      Speed({1.0, 1.1, 0.9, 1.05, 0.97, 1.02}, {1.0, 1.0, 1.0, 1.0, 1.0, 1.0})};
  JudgeTogether(family);
  EXPECT_EQ(family[0].standing, Standing::kWorse);
  EXPECT_EQ(family[1].standing, Standing::kNotToldApart);
  const std::string sentence = ComparisonSentence(family, -12.5);
  EXPECT_THAT(sentence, HasSubstr("B is worse than A in perplexity, 2.0"));
  EXPECT_THAT(sentence, HasSubstr("more rounds would tell"));
  EXPECT_THAT(sentence, HasSubstr("B's file is 12.50 % smaller"));
}

TEST(ComparisonTest, TooFewRoundsSaySo) {
  std::vector<Compared> family = {Speed({0.5, 0.5, 0.5}, {1.0, 1.0, 1.0})};
  JudgeTogether(family);
  EXPECT_EQ(family[0].standing, Standing::kTooFew);
  EXPECT_THAT(ComparisonSentence(family, 0.0), HasSubstr("too few rounds to say anything (3; 4 would do)"));
}

TEST(ComparisonTest, ADifferenceBelowTheFloorIsNotSpoken) {
  const std::vector<double> b = {0.98, 0.981, 0.979, 0.98};
  std::vector<Compared> family = {Speed(b, {1.0, 1.0, 1.0, 1.0}, 0.01)};
  JudgeTogether(family);
  EXPECT_EQ(family[0].standing, Standing::kBetter);
  family[0].floor = 0.05;
  JudgeTogether(family);
  EXPECT_EQ(family[0].standing, Standing::kBelowFloor);
  EXPECT_THAT(ComparisonSentence(family, 0.0), HasSubstr("smaller than what this machine tells, 5.0 %"));
}

// What is judged beside more asks for more to be told.
TEST(ComparisonTest, WhatWouldTellCountsAllThatIsJudgedTogether) {
  const auto rounds = [](size_t others) {
    std::vector<Compared> family(others + 1, Speed({0.98, 1.02, 0.97, 1.01, 0.99}, {1.0, 1.0, 1.0, 1.0, 1.0}));
    JudgeTogether(family);
    return std::stoi(WhatWouldTell(family[0]));
  };
  EXPECT_GT(rounds(0), 0);
  EXPECT_GT(rounds(2), rounds(0));
  EXPECT_GT(rounds(50), rounds(2));
}

TEST(ComparisonTest, TheFloorIsTheFartherEndOfThePlacebosInterval) {
  const NoiseFloor floor{"tg64", SpeedRatio(Samples({1.0, 1.02, 0.98, 1.0}), Samples({1.0, 1.0, 1.0, 1.0}))};
  const Interval ends = floor.ratio.interval();
  EXPECT_NEAR(floor.floor(), std::max(ends.high - 1.0, 1.0 / ends.low - 1.0), 1e-12);
  EXPECT_GT(floor.floor(), 0.02);
  const NoiseFloor unknown{"tg64", SpeedRatio(Samples({1.0}), Samples({1.0}))};
  EXPECT_TRUE(std::isinf(unknown.floor()));
}

// compare and bench: one file under two names, perplexity and two tests, in rounds with hiccups and drift.
std::vector<Compared> OneFileTwice(Rng& rng, int rounds, bool placebo) {
  std::vector<Compared> family;
  for (const char* test : {"tg128", "pp512"}) {
    std::vector<double> a;
    std::vector<double> b;
    std::vector<double> again;
    double machine = 1.0;
    for (int i = 0; i < rounds; ++i) {
      machine *= std::exp(0.02 * rng.Normal());
      for (std::vector<double>* who : {&a, &b, &again}) who->push_back(machine * NoisySeconds(rng, 0.05));
    }
    Compared compared{.name = test, .estimate = SpeedRatio(Samples(b), Samples(a))};
    if (placebo) compared.floor = NoiseFloor{test, SpeedRatio(Samples(again), Samples(a))}.floor();
    family.push_back(std::move(compared));
  }
  const std::vector<double> windows = Alike(rng, 40, 0.3);
  std::vector<float> nll;
  for (const double x : windows) nll.push_back(static_cast<float>(3.0 + 0.01 * x));
  family.push_back({.name = "perplexity",
                    .estimate = PerplexityDifference(nll, std::vector<float>(nll.size(), 3.0F)),
                    .more_is_better = false});
  JudgeTogether(family);
  return family;
}

bool AnyTold(const std::vector<Compared>& family) {
  for (const Compared& c : family) {
    if (c.standing == Standing::kBetter || c.standing == Standing::kWorse) return true;
  }
  return false;
}

TEST(ComparisonCoverageTest, OneFileUnderTwoNamesIsRarelyToldApart) {
  for (const int rounds : {2, 4, 5, 10, 40, 100}) {
    for (const bool placebo : {false, true}) {
      const Rate rate = RateOf(2000, 7, [&](Rng& rng) { return AnyTold(OneFileTwice(rng, rounds, placebo)); });
      EXPECT_LE(rate.value(), rate.limit()) << rounds << " rounds, placebo " << placebo;
    }
  }
}

TEST(ComparisonCoverageTest, AModelThatIsTenPercentFasterIsFoundInTenRounds) {
  const Rate found = RateOf(1000, 9, [](Rng& rng) {
    std::vector<double> a;
    std::vector<double> b;
    std::vector<double> again;
    for (int i = 0; i < 10; ++i) {
      a.push_back(std::exp(0.03 * rng.Normal()));
      b.push_back(std::exp(0.03 * rng.Normal()) / 1.10);
      again.push_back(std::exp(0.03 * rng.Normal()));
    }
    std::vector<Compared> family = {Speed(b, a, NoiseFloor{"tg64", SpeedRatio(Samples(again), Samples(a))}.floor())};
    JudgeTogether(family);
    return family[0].standing == Standing::kBetter;
  });
  EXPECT_GE(found.value(), 0.9);
}

}  // namespace
}  // namespace assay
