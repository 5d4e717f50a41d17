#include "study/speculation_figures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace assay {
namespace {

using testing::ElementsAre;

// A text of `decoded` tokens after the first.
TimedText MakeText(int decoded, double seconds, std::vector<SpeculationRound> rounds = {}) {
  TimedText text;
  text.tokens.assign(static_cast<size_t>(decoded) + 1, 7);
  text.decode_seconds = seconds;
  text.prompt_seconds = 0.5;
  text.rounds = std::move(rounds);
  return text;
}

PairedText MakePair(size_t prompt, int repetition, TimedText baseline, TimedText speculative) {
  PairedText pair;
  pair.prompt = prompt;
  pair.repetition = repetition;
  pair.baseline = std::move(baseline);
  pair.speculative = std::move(speculative);
  return pair;
}

// A plain step takes 10 ms, verifying n tokens (0.9 + 0.1 n) times that, a guess 2 ms.
CostCurve Costs() {
  CostCurve curve;
  curve.plain_seconds = 0.010;
  for (int n = 1; n <= 5; ++n) {
    curve.verify.push_back(0.9 + 0.1 * n);
    curve.verify_spread.push_back(0.01);
  }
  curve.draft_seconds = 0.002;
  return curve;
}

TEST(SpeculationFiguresTest, CountsGuessesByPositionUpToTheFirstRefusedOne) {
  // Rounds of four guesses: all taken, two taken, none taken; 5 + 3 + 1 tokens.
  const std::vector<SpeculationRound> rounds = {{4, 4}, {4, 2}, {4, 0}};
  const std::vector<PairedText> texts = {MakePair(0, 0, MakeText(9, 0.09), MakeText(9, 0.06, rounds))};
  const SpeculationFigures figures = ComputeFigures(texts, Costs(), 4, 1);
  EXPECT_EQ(figures.rounds, 3);
  EXPECT_EQ(figures.drafted, 12);
  EXPECT_EQ(figures.accepted, 6);
  EXPECT_THAT(figures.judged_at, ElementsAre(3, 2, 2, 1));
  EXPECT_THAT(figures.accepted_at, ElementsAre(2, 2, 1, 1));
  EXPECT_DOUBLE_EQ(*figures.acceptance(), 0.5);
  EXPECT_DOUBLE_EQ(*figures.per_guess(), 6.0 / 8.0);
  EXPECT_DOUBLE_EQ(figures.tokens_per_round, 3.0);
  EXPECT_NEAR(figures.speedup, 1.5, 1e-12);
  EXPECT_NEAR(figures.tok_per_s, 150.0, 1e-9);
  EXPECT_NEAR(figures.baseline_tok_per_s, 100.0, 1e-9);
  EXPECT_TRUE(std::isinf(figures.speedup_interval.high)) << "one text gives no interval";
}

TEST(SpeculationFiguresTest, PredictsWhatAcceptanceAndCostsGive) {
  const std::vector<SpeculationRound> rounds = {{4, 4}, {4, 2}, {4, 0}};
  const std::vector<PairedText> texts = {MakePair(0, 0, MakeText(9, 0.09), MakeText(9, 0.06, rounds))};
  const SpeculationFigures figures = ComputeFigures(texts, Costs(), 4, 1);
  EXPECT_DOUBLE_EQ(*figures.speed_ratio, 5.0);
  EXPECT_NEAR(figures.verify_cost_per_round, 1.4, 1e-12);
  // 1 + 2/3 + 2/3 * 1 + 2/3 * 1/2 + 2/3 * 1/2 * 1 = 3 tokens for 4 * 0.2 + 1.4 plain steps.
  EXPECT_NEAR(figures.predicted_speedup, 3.0 / 2.2, 1e-12);
  EXPECT_NEAR(ExpectedTokens(*figures.break_even, 4), 2.2, 1e-9);
}

TEST(SpeculationFiguresTest, RoundsOfDifferentLengthsCostWhatTheyAre) {
  // What n-grams do: nothing found in one round, two guesses in the other. Guesses cost what the rounds took.
  const std::vector<SpeculationRound> rounds = {{0, 0, 0.001, 0.01}, {2, 1, 0.001, 0.012}};
  const std::vector<PairedText> texts = {MakePair(0, 0, MakeText(3, 0.03), MakeText(3, 0.024, rounds))};
  CostCurve costs = Costs();
  costs.draft_seconds.reset();
  const SpeculationFigures figures = ComputeFigures(texts, costs, 4, 1);
  EXPECT_EQ(figures.speed_ratio, std::nullopt);
  EXPECT_NEAR(figures.verify_cost_per_round, (1.0 + 1.2) / 2.0, 1e-12);
  EXPECT_NEAR(figures.costs.draft, 0.1, 1e-12);
  EXPECT_NEAR(figures.predicted_speedup, (1.0 + 2.0) / (1.0 + 1.2 + 2 * 0.1), 1e-12);
}

TEST(SpeculationFiguresTest, WithoutGuessesThereIsNoAcceptance) {
  const std::vector<PairedText> texts = {MakePair(0, 0, MakeText(2, 0.02), MakeText(2, 0.02, {{0, 0}, {0, 0}}))};
  const SpeculationFigures figures = ComputeFigures(texts, Costs(), 4, 1);
  EXPECT_EQ(figures.acceptance(), std::nullopt);
  EXPECT_EQ(figures.per_guess(), std::nullopt);
  EXPECT_NEAR(figures.predicted_speedup, 1.0, 1e-12);
}

TEST(SpeculationFiguresTest, DriftThatHitsBothOfAPairCancels) {
  Rng rng(3);
  std::vector<PairedText> texts;
  for (int repetition = 0; repetition < 4; ++repetition) {
    for (size_t prompt = 0; prompt < 6; ++prompt) {
      const double drift = 1.0 + rng.Uniform();
      texts.push_back(MakePair(prompt, repetition, MakeText(10, 0.1 * drift), MakeText(10, 0.08 * drift, {{4, 4}})));
    }
  }
  const SpeculationFigures figures = ComputeFigures(texts, Costs(), 4, 1);
  EXPECT_NEAR(figures.speedup, 1.25, 1e-9);
  EXPECT_NEAR(figures.speedup_interval.low, 1.25, 1e-9);
  EXPECT_NEAR(figures.speedup_interval.high, 1.25, 1e-9);
  EXPECT_NEAR(*figures.repeat_cv, 0.0, 1e-9);
}

TEST(SpeculationFiguresTest, TheIntervalHoldsTheSpeedupAndTextsOfOneTokenAreLeftOut) {
  Rng rng(4);
  std::vector<PairedText> texts;
  for (int repetition = 0; repetition < 4; ++repetition) {
    for (size_t prompt = 0; prompt < 6; ++prompt) {
      const double noise = 1.0 + 0.1 * rng.Normal();
      texts.push_back(MakePair(prompt, repetition, MakeText(10, 0.1), MakeText(10, 0.08 * noise, {{4, 4}})));
    }
  }
  texts.push_back(MakePair(6, 0, MakeText(0, 100.0), MakeText(0, 1.0)));
  const SpeculationFigures figures = ComputeFigures(texts, Costs(), 4, 1);
  EXPECT_LT(figures.speedup_interval.low, figures.speedup);
  EXPECT_GT(figures.speedup_interval.high, figures.speedup);
  EXPECT_NEAR(figures.speedup, 1.25, 0.08);
  EXPECT_NEAR(*figures.repeat_cv, 0.1, 0.06);
}

TEST(CostCurveTest, EachCostIsTheMedianMultipleOfItsOwnRound) {
  std::vector<CostSample> samples;
  for (const double pace : {1.0, 2.0, 1.0, 3.0, 1.0}) samples.push_back({{0.01 * pace, 0.012 * pace}, 0.004 * pace});
  samples.push_back({{0.01, 0.5}, 0.004});  // an interrupted one
  const CostCurve curve = SummarizeCosts(samples);
  EXPECT_NEAR(curve.verify[0], 1.0, 1e-12);
  EXPECT_NEAR(curve.verify[1], 1.2, 1e-12);
  EXPECT_NEAR(curve.verify_spread[1], 0.0, 1e-12);
  EXPECT_NEAR(curve.plain_seconds, 0.01, 1e-12);
  EXPECT_NEAR(*curve.draft_seconds, 0.004, 1e-12);
}

}  // namespace
}  // namespace assay
