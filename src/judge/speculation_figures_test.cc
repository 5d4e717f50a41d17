#include "judge/speculation_figures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace assay {
namespace {

using testing::ElementsAre;

// A text of `decoded` tokens after the first.
TimedText MakeText(int decoded, double seconds, std::vector<RoundRecord> rounds = {}) {
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

// A round's target side takes (0.9 + 0.1 n) plain steps for n tokens, a guess 0.2 of them. A plain step takes 10 ms.
RoundRecord Round(int drafted, int accepted) {
  return {.drafted = drafted,
          .accepted = accepted,
          .draft_seconds = 0.002 * drafted,
          .verify_seconds = 0.010 * (0.9 + 0.1 * (drafted + 1)) - 0.002,
          .settle_seconds = 0.001,
          .sample_seconds = 0.001};
}

CostCurve Curve() {
  CostCurve curve;
  for (int n = 1; n <= 5; ++n) curve.verify.push_back(0.9 + 0.1 * n);
  curve.speed_ratio = 5.0;
  return curve;
}

TEST(SpeculationFiguresTest, CountsGuessesByPositionUpToTheFirstRefusedOne) {
  // Rounds of four guesses: all taken, two taken, none taken; 5 + 3 + 1 tokens.
  const std::vector<RoundRecord> rounds = {Round(4, 4), Round(4, 2), Round(4, 0)};
  const std::vector<PairedText> texts = {MakePair(0, 0, MakeText(9, 0.09), MakeText(9, 0.06, rounds))};
  const SpeculationFigures figures = ComputeFigures(texts, Curve(), 4);
  EXPECT_EQ(figures.rounds, 3);
  EXPECT_EQ(figures.drafted, 12);
  EXPECT_EQ(figures.accepted, 6);
  EXPECT_THAT(figures.judged_at, ElementsAre(3, 2, 2, 1));
  EXPECT_THAT(figures.accepted_at, ElementsAre(2, 2, 1, 1));
  EXPECT_DOUBLE_EQ(*figures.acceptance(), 0.5);
  EXPECT_DOUBLE_EQ(*figures.per_guess(), 6.0 / 8.0);
  EXPECT_DOUBLE_EQ(figures.tokens_per_round, 3.0);
  EXPECT_NEAR(figures.speedup.value(), 1.5, 1e-12);
  EXPECT_NEAR(figures.tok_per_s, 150.0, 1e-9);
  EXPECT_NEAR(figures.baseline_tok_per_s, 100.0, 1e-9);
  EXPECT_FALSE(figures.speedup.enough()) << "one prompt gives no interval";
}

TEST(SpeculationFiguresTest, PredictsWhatAcceptanceAndPaidCostsGive) {
  const std::vector<RoundRecord> rounds = {Round(4, 4), Round(4, 2), Round(4, 0)};
  const double seconds = 3 * (0.008 + 0.014);
  const std::vector<PairedText> texts = {MakePair(0, 0, MakeText(9, 0.09), MakeText(9, seconds, rounds))};
  const SpeculationFigures figures = ComputeFigures(texts, Curve(), 4);
  EXPECT_DOUBLE_EQ(*figures.speed_ratio, 5.0);
  EXPECT_NEAR(figures.costs.draft, 0.2, 1e-12);
  // 1 + 2/3 + 2/3 * 1 + 2/3 * 1/2 + 2/3 * 1/2 * 1 = 3 tokens for 4 * 0.2 + 1.4 plain steps.
  EXPECT_NEAR(figures.predicted_speedup, 3.0 / 2.2, 1e-12);
  EXPECT_NEAR(figures.speedup.value(), figures.predicted_speedup, 1e-12) << "what is predicted is what is paid";
  EXPECT_NEAR(ExpectedTokens(*figures.break_even, 4), 2.2, 1e-9);
  EXPECT_NEAR(figures.books(), 0.0, 1e-12);
}

TEST(SpeculationFiguresTest, ALengthThatWasRunCostsWhatItsRoundsTook) {
  CostCurve curve = Curve();
  curve.verify[4] = 9.0;  // as if timed beside them, wrongly
  curve.verify[3] = 1.33;
  const std::vector<RoundRecord> rounds(kOwnRounds, Round(4, 4));
  const int decoded = 5 * kOwnRounds;
  const std::vector<PairedText> texts = {
      MakePair(0, 0, MakeText(decoded, 0.01 * decoded), MakeText(decoded, 1, rounds))};
  const SpeculationFigures figures = ComputeFigures(texts, curve, 4);
  EXPECT_NEAR(figures.costs.verify[4], 1.4, 1e-12);
  EXPECT_EQ(figures.costs.verify[3], 1.33);
  EXPECT_EQ(figures.costs.verify[0], 1.0);
}

TEST(SpeculationFiguresTest, RoundsOfDifferentLengthsCostWhatTheyAre) {
  // What n-grams do: nothing found in one round, two guesses in the other; looking up takes time in both.
  std::vector<RoundRecord> rounds = {Round(0, 0), Round(2, 1)};
  for (RoundRecord& round : rounds) round.draft_seconds = 0.001;
  const std::vector<PairedText> texts = {MakePair(0, 0, MakeText(3, 0.03), MakeText(3, 0.024, rounds))};
  const SpeculationFigures figures = ComputeFigures(texts, Curve(), 4);
  EXPECT_NEAR(figures.costs.draft, 0.1, 1e-12);
  EXPECT_NEAR(figures.predicted_speedup, (1.0 + 2.0) / (1.0 + 1.2 + 2 * 0.1), 1e-12);
}

TEST(SpeculationFiguresTest, WithoutGuessesThereIsNoAcceptance) {
  const std::vector<PairedText> texts = {
      MakePair(0, 0, MakeText(2, 0.02), MakeText(2, 0.02, {Round(0, 0), Round(0, 0)}))};
  const SpeculationFigures figures = ComputeFigures(texts, Curve(), 4);
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
      texts.push_back(MakePair(prompt, repetition, MakeText(10, 0.1 * drift), MakeText(10, 0.08 * drift)));
    }
  }
  const Estimate speedup = PromptEstimate(SpeedupLogs(texts));
  EXPECT_NEAR(speedup.interval().low, 1.25, 1e-9);
  EXPECT_NEAR(speedup.interval().high, 1.25, 1e-9);
}

TEST(SpeculationFiguresTest, RepetitionsAddPrecisionAndNoUnits) {
  std::vector<PairedText> texts;
  for (int repetition = 0; repetition < 30; ++repetition) {
    for (size_t prompt = 0; prompt < 5; ++prompt) {
      const double taken = prompt % 2 == 0 ? 0.08 : 0.09;
      texts.push_back(MakePair(prompt, repetition, MakeText(10, 0.1), MakeText(10, taken)));
    }
  }
  texts.push_back(MakePair(6, 0, MakeText(0, 100.0), MakeText(0, 1.0)));  // nothing to time
  const Estimate all = PromptEstimate(SpeedupLogs(texts));
  const Estimate once = PromptEstimate(SpeedupLogs(std::span(texts).first(5)));
  EXPECT_EQ(all.units(), 5);
  EXPECT_EQ(all.unit(), "prompt");
  EXPECT_NEAR(all.interval().low, once.interval().low, 1e-12);
  EXPECT_NEAR(all.value(), std::exp((3 * std::log(1.25) + 2 * std::log(10.0 / 9.0)) / 5), 1e-12);
  EXPECT_NEAR(PromptEstimate(RepetitionLogs(texts)).value(), 1.0, 1e-12);
}

TEST(SpeculationFiguresTest, TwoLengthsAreComparedOverThePromptsThatBothHave) {
  const Estimate ratio = PromptRatio({{0, 0.1}, {1, 0.3}, {2, 9.0}}, {{0, 0.0}, {1, 0.2}, {3, 9.0}});
  EXPECT_EQ(ratio.units(), 2);
  EXPECT_NEAR(ratio.mean(), 0.1, 1e-12);
}

TEST(CostCurveTest, CostsAreMultiplesOfTheBaselinesOwnStep) {
  std::vector<CostSample> samples;
  for (size_t prompt = 0; prompt < 5; ++prompt) {
    const double pace = prompt % 2 == 0 ? 1.0 : 3.0;
    samples.push_back({prompt, 0.01 * pace, 0.0101 * pace, 0.00404 * pace, {0.012 * pace, 0.013 * pace}});
  }
  samples[1].guessing_seconds[0] = 0.5;  // an interrupted one
  const CostCurve curve = SummarizeCosts(samples);
  EXPECT_EQ(curve.verify[0], 1.0);
  EXPECT_NEAR(curve.verify[1], 1.2, 1e-12);
  EXPECT_NEAR(curve.verify[2], 1.3, 1e-12);
  EXPECT_NEAR(*curve.speed_ratio, 2.5, 1e-12);
  EXPECT_EQ(curve.baseline_step.units(), 5);
  EXPECT_NEAR(curve.baseline_step.value(), 1.0 / 1.01, 1e-12);
}

}  // namespace
}  // namespace assay
