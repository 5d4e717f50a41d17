#include "judge/pick.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace assay {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr size_t kWindows = 40;
constexpr int kRounds = 10;

struct RungSpec {
  std::string name;
  uint64_t bytes;
  double loss_pct, loss_noise;  // of perplexity; the noise is of one window, in percent
  double rate, rate_noise;      // the noise is relative, of one round
};

const RungSpec kF16 = {"F16", 1000, 0.0, 0.0, 100, 0.005};

// The base's log-likelihoods, worse by the loss; the noise's own mean is taken out of it.
RunRecord Quality(const RungSpec& spec, uint64_t seed) {
  Rng rng(seed);
  RunRecord record;
  record.kind = "perplexity";
  record.model.file = "model-" + spec.name + ".gguf";
  record.model.digest = record.model.quant = spec.name;
  record.model.file_bytes = spec.bytes;
  std::vector<double> noise(kWindows);
  double mean = 0.0;
  for (double& value : noise) mean += (value = rng.Normal()) / static_cast<double>(kWindows);
  Series series{"window_nll", {}};
  for (size_t i = 0; i < kWindows; ++i) {
    const double loss = std::log1p(spec.loss_pct / 100.0) + spec.loss_noise / 100.0 * (noise[i] - mean);
    series.values.push_back(static_cast<float>(3.0 + 0.1 * static_cast<double>(i % 7) + loss));
  }
  record.series.push_back(std::move(series));
  return record;
}

// Rates around a mean, each round with a drift that all rungs share and noise of their own.
RunRecord Speed(const RungSpec& spec, const std::string& test, uint64_t seed) {
  Rng rng(seed);
  RunRecord record;
  record.kind = "throughput";
  record.test = test;
  record.model.file = "model-" + spec.name + ".gguf";
  for (int round = 0; round < kRounds; ++round) {
    const double rate = spec.rate * (1.0 - 0.01 * round) * std::exp(spec.rate_noise * rng.Normal());
    record.samples.push_back({.round = round, .tokens = 100, .seconds = 100.0 / rate});
  }
  return record;
}

RungRuns Measured(const RungSpec& spec, uint64_t seed) {
  return {spec.name, Quality(spec, seed), Speed(spec, "tg64", seed + 1000), Speed(spec, "pp512", seed + 2000)};
}

// The base is a rung when it is among the specifications.
LadderRuns Ladder(const std::vector<RungSpec>& specs, const RungSpec& base = kF16) {
  LadderRuns runs;
  runs.base = Measured(base, 1);
  RungRuns placebo{"placebo", {}, Speed(base, "placebo tg64", 3), Speed(base, "placebo pp512", 4)};
  runs.placebo = placebo;
  for (const RungSpec& spec : specs) {
    runs.rungs.push_back(spec.name == base.name ? runs.base : Measured(spec, 100 + runs.rungs.size()));
  }
  return runs;
}

LadderJudgement Judge(const std::vector<RungSpec>& specs, double max_loss_pct = 1.0) {
  return JudgeLadder(Ladder(specs), {.max_loss_pct = max_loss_pct});
}

std::string Outcome(const LadderJudgement& judgement, const std::string& name, const std::string& about) {
  for (const Verdict& verdict : judgement.verdicts) {
    if (verdict.name == name && verdict.about == about) return verdict.outcome;
  }
  return "absent";
}

TEST(PickTest, TakesTheFastestRungWithinTheToleratedLoss) {
  const LadderJudgement judgement = Judge({kF16,
                                           {"Q8_0", 530, 0.05, 0.1, 180, 0.005},
                                           {"Q4_K_M", 300, 0.7, 0.3, 260, 0.005},
                                           {"Q2_K", 200, 30.0, 3, 330, 0.005}});
  const LadderDecision& decision = judgement.decision;
  EXPECT_EQ(decision.reason, PickReason::kTaken);
  ASSERT_EQ(decision.pick, 2U);
  EXPECT_TRUE(decision.rungs[2].pick);
  EXPECT_FALSE(decision.rungs[1].pick);
  EXPECT_EQ(decision.rungs[2].loss, Loss::kWithin);
  EXPECT_EQ(decision.rungs[3].loss, Loss::kBeyond);
  EXPECT_THAT(
      judgement.sentence(),
      AllOf(StartsWith("Take Q4_K_M: "), HasSubstr("times F16 (95% interval 2."), HasSubstr("at 30% of its size"),
            HasSubstr("for +0.70% of perplexity (95% interval "), HasSubstr("1% is tolerated")));
  EXPECT_THAT(judgement.sentence(), Not(HasSubstr("\n")));
}

TEST(PickTest, EverythingThatIsSaidIsAVerdict) {
  const LadderJudgement judgement =
      Judge({kF16, {"Q8_0", 530, 0.0, 0.1, 180, 0.005}, {"Q4_K_M", 300, 0.7, 0.3, 260, 0.005}});
  EXPECT_EQ(Outcome(judgement, "perplexity", "Q8_0"), "not told apart");
  EXPECT_EQ(Outcome(judgement, "perplexity", "Q4_K_M"), "worse");
  EXPECT_EQ(Outcome(judgement, "loss", "Q4_K_M"), "within");
  EXPECT_EQ(Outcome(judgement, "speed tg64", "Q8_0"), "better");
  EXPECT_EQ(Outcome(judgement, "speed pp512", "Q8_0"), "better");
  EXPECT_EQ(Outcome(judgement, "pareto", "Q4_K_M"), "yes");
  EXPECT_EQ(Outcome(judgement, "pareto", "F16"), "no");
  EXPECT_EQ(Outcome(judgement, "pick", ""), "Q4_K_M");
  EXPECT_EQ(Outcome(judgement, "perplexity", "F16"), "absent") << "the base is not compared with itself";
  EXPECT_EQ(judgement.verdicts.back().name, "pick");
  EXPECT_THAT(judgement.verdicts[2].sentence, StartsWith("Q8_0 against F16: in tg64 it is faster (1."));
}

TEST(PickTest, ABaseThatIsNoRungIsComparedWithAllTheSame) {
  const LadderJudgement judgement =
      Judge({{"Q8_0", 530, 0.05, 0.1, 180, 0.005}, {"Q4_K_M", 300, 0.7, 0.3, 260, 0.005}});
  EXPECT_EQ(judgement.decision.pick, 1U);
  EXPECT_THAT(judgement.sentence(), AllOf(HasSubstr("times F16"), HasSubstr("at 30% of its size")));
  const LadderJudgement alone = Judge({{"Q4_K_M", 300, 0.7, 0.3, 260, 0.005}});
  EXPECT_EQ(alone.decision.reason, PickReason::kOneRung);
  EXPECT_THAT(alone.sentence(), AllOf(StartsWith("No pick: Q4_K_M alone"), HasSubstr("times F16"),
                                      HasSubstr("for +0.70% of perplexity")));
}

TEST(PickTest, ALossThatMayReachBeyondTheToleranceIsNotTakenAndSaysWhatWouldTell) {
  const LadderJudgement judgement =
      Judge({kF16, {"Q8_0", 530, 0.05, 0.1, 180, 0.005}, {"Q4_K_M", 300, 0.8, 1.2, 260, 0.005}});
  ASSERT_EQ(judgement.decision.pick, 1U);
  EXPECT_EQ(judgement.decision.rungs[2].loss, Loss::kUndecided);
  EXPECT_THAT(judgement.sentence(), HasSubstr("more windows would tell) stays within it, too, cannot be told"));
}

// At 95% alone it would be within: beside all that is said with it, it is not.
TEST(PickTest, TheLossesAreJudgedWithAllThatIsSaidBesideThem) {
  const RungSpec borderline = {"Q4_K_M", 300, 0.8, 0.4, 260, 0.005};
  const LadderRuns runs = Ladder({kF16, {"Q8_0", 530, 0.05, 0.1, 180, 0.005}, borderline});
  const LadderDecision decision = Decide(runs, true, {});
  const Estimate& loss = decision.rungs[2].quality.estimate;
  ASSERT_LT(loss.interval().high, 1.0);
  ASSERT_GT(loss.interval(decision.level).high, 1.0);
  EXPECT_EQ(decision.rungs[2].loss, Loss::kUndecided);
}

TEST(PickTest, OfRungsThatAreAsFastTheSmallestIsTaken) {
  const LadderJudgement judgement =
      Judge({kF16, {"Q8_0", 530, 0.05, 0.1, 202, 0.02}, {"Q6_K", 410, 0.2, 0.1, 200, 0.02}});
  ASSERT_EQ(judgement.decision.pick, 2U);
  EXPECT_THAT(judgement.decision.alike, ElementsAre(1U));
  EXPECT_THAT(judgement.sentence(), AllOf(HasSubstr("it is smaller than Q8_0, whose speed cannot be told from its own"),
                                          HasSubstr("would tell)")));
}

TEST(PickTest, ASmallerRungThatIsSlowerIsNotTaken) {
  const LadderJudgement judgement =
      Judge({kF16, {"Q5_K_M", 350, 0.3, 0.1, 240, 0.01}, {"Q5_1", 340, 0.3, 0.1, 190, 0.01}});
  EXPECT_EQ(judgement.decision.pick, 1U);
}

TEST(PickTest, NothingIsTakenWhereSpeedAndSizeAreAlike) {
  const LadderJudgement judgement = Judge({kF16, {"A", 1000, 0.0, 0.0, 100, 0.01}, {"B", 1000, 0.0, 0.0, 100, 0.01}});
  EXPECT_EQ(judgement.decision.pick, std::nullopt);
  EXPECT_FALSE(judgement.decision.tells());
  EXPECT_THAT(judgement.sentence(), HasSubstr("F16, A and B cannot be told apart"));
  for (const RungVerdict& rung : judgement.decision.rungs) EXPECT_TRUE(rung.pareto) << "noise dominates nobody";
}

TEST(PickTest, TheBaseIsNotTakenOnlyBecauseTheOthersAreUncertain) {
  const LadderJudgement judgement =
      Judge({kF16, {"Q8_0", 530, 0.1, 20.0, 180, 0.005}, {"Q2_K", 200, 40.0, 20.0, 300, 0.005}});
  EXPECT_EQ(judgement.decision.pick, std::nullopt);
  EXPECT_THAT(judgement.sentence(), AllOf(StartsWith("No pick: whether Q8_0 ("), HasSubstr("more windows would tell"),
                                          HasSubstr("cannot be told")));
}

TEST(PickTest, TheBaseIsTakenWhenAllOthersLoseTooMuch) {
  const LadderJudgement judgement = Judge({kF16, {"Q3_K_M", 250, 5.0, 1.0, 280, 0.005}});
  ASSERT_EQ(judgement.decision.pick, 0U);
  EXPECT_THAT(judgement.sentence(), HasSubstr("no faster rung stays within 1%"));
}

TEST(PickTest, NoPickWhenEveryRungLosesTooMuch) {
  const LadderJudgement judgement =
      Judge({{"Q3_K_M", 250, 5.0, 1.0, 280, 0.005}, {"Q2_K", 200, 30.0, 3.0, 330, 0.005}});
  EXPECT_EQ(judgement.decision.pick, std::nullopt);
  EXPECT_THAT(judgement.sentence(), HasSubstr("every rung loses more than 1%"));
}

TEST(PickTest, TooFewRoundsAreSaidToBeTooFew) {
  LadderRuns runs = Ladder({kF16, {"Q8_0", 530, 0.05, 0.1, 180, 0.005}});
  for (RungRuns* rung : {&runs.base, &runs.rungs[0], &runs.rungs[1], &*runs.placebo}) {
    rung->tg.samples.resize(3);
    rung->pp.samples.resize(3);
  }
  const LadderJudgement judgement = JudgeLadder(runs, {});
  EXPECT_EQ(judgement.decision.reason, PickReason::kTooFewRounds);
  EXPECT_THAT(judgement.sentence(), HasSubstr("too few rounds to compare speeds (3; 4 would do)"));
  EXPECT_EQ(Outcome(judgement, "speed tg64", "Q8_0"), "too few");
  EXPECT_EQ(Outcome(judgement, "loss", "Q8_0"), "within") << "the quality stands on windows";
}

// The base against itself is a fifth slower: the machine favours whoever it favours, and no speed can be believed.
TEST(PickTest, APlaceboThatDiffersLeavesTheQualityAlone) {
  LadderRuns runs = Ladder({kF16, {"Q8_0", 530, 0.05, 0.1, 180, 0.005}, {"Q2_K", 200, 30.0, 3, 330, 0.005}});
  for (Sample& sample : runs.placebo->tg.samples) sample.seconds *= 1.25;
  const LadderJudgement judgement = JudgeLadder(runs, {});
  EXPECT_EQ(judgement.decision.reason, PickReason::kSpeedsInvalid);
  EXPECT_THAT(judgement.sentence(), StartsWith("No pick: the speeds are invalid (placebo: "));
  EXPECT_EQ(Outcome(judgement, "speed tg64", "Q8_0"), "invalid");
  EXPECT_EQ(Outcome(judgement, "pareto", "Q8_0"), "invalid");
  EXPECT_EQ(Outcome(judgement, "perplexity", "Q2_K"), "worse");
  EXPECT_EQ(Outcome(judgement, "loss", "Q2_K"), "beyond");
}

TEST(PickTest, ASpeedBelowTheNoiseFloorIsNotSpokenOf) {
  const std::vector<RungSpec> specs = {kF16, {"Q8_0", 530, 0.05, 0.1, 103, 0.002}};
  EXPECT_EQ(Outcome(Judge(specs), "speed tg64", "Q8_0"), "better");
  LadderRuns runs = Ladder(specs);
  Rng rng(5);
  for (Sample& sample : runs.placebo->tg.samples) sample.seconds *= std::exp(0.08 * rng.Normal());
  const LadderJudgement judgement = JudgeLadder(runs, {});
  ASSERT_GT(judgement.floors[0].floor(), 0.03);
  EXPECT_EQ(Outcome(judgement, "speed tg64", "Q8_0"), "below the floor");
  EXPECT_EQ(Outcome(judgement, "pareto", "F16"), "yes") << "who is no faster beyond the floor dominates nobody";
  EXPECT_THAT(judgement.sentence(), HasSubstr("by less than this machine tells"));
}

TEST(PickTest, WithoutAPlaceboThereIsNoFloor) {
  LadderRuns runs = Ladder({kF16, {"Q8_0", 530, 0.05, 0.1, 180, 0.005}});
  runs.placebo.reset();
  const LadderJudgement judgement = JudgeLadder(runs, {});
  EXPECT_THAT(judgement.floors, IsEmpty());
  EXPECT_EQ(judgement.decision.pick, 1U);
}

TEST(PickTest, AnInvalidRungIsNeitherTakenNorOnTheFrontNorDominates) {
  LadderRuns runs = Ladder({kF16, {"Q8_0", 530, 0.05, 0.1, 180, 0.005}, {"Q4_K_M", 300, 0.02, 0.1, 260, 0.005}});
  const auto invalidate = [](RungRuns& rung) {
    rung.quality.guards.push_back({.name = "finite", .tripped = true, .evidence = "logits that are not finite"});
    rung.quality.series.clear();
    rung.tg = rung.pp = {};
  };
  invalidate(runs.rungs[2]);
  const LadderJudgement judgement = JudgeLadder(runs, {});
  ASSERT_EQ(judgement.decision.pick, 1U);
  EXPECT_FALSE(judgement.decision.rungs[2].valid);
  EXPECT_FALSE(judgement.decision.rungs[2].pareto);
  EXPECT_TRUE(judgement.decision.rungs[1].pareto);
  EXPECT_EQ(Outcome(judgement, "perplexity", "Q4_K_M"), "invalid");
  for (RungRuns* rung : {&runs.rungs[0], &runs.rungs[1]}) invalidate(*rung);
  EXPECT_THAT(JudgeLadder(runs, {}).sentence(), HasSubstr("no rung gave a valid measurement"));
}

TEST(PickTest, ADominatedRungIsSlowerAndLargerAndNoBetter) {
  const LadderDecision decision = Judge({kF16,
                                         {"Q8_0", 530, 0.02, 0.1, 180, 0.005},
                                         {"Q5_1", 400, 2.0, 0.5, 170, 0.005},
                                         {"Q5_K_M", 350, 0.5, 0.3, 240, 0.005},
                                         {"Q2_K", 200, 30.0, 3.0, 330, 0.005}})
                                      .decision;
  EXPECT_FALSE(decision.rungs[0].pareto) << "Q8_0 is smaller and faster, and surely loses less than is tolerated";
  EXPECT_FALSE(decision.rungs[2].pareto) << "Q5_K_M is better in all";
  EXPECT_TRUE(decision.rungs[3].pareto);
  EXPECT_TRUE(decision.rungs[4].pareto);
}

TEST(PickTest, ARungThatIsKnownToLoseMoreDominatesNobody) {
  const LadderDecision decision =
      Judge({kF16, {"Q5_K_M", 350, 0.3, 0.1, 240, 0.005}, {"Q4_K_M", 300, 0.8, 0.1, 270, 0.005}}).decision;
  EXPECT_TRUE(decision.rungs[1].pareto) << "half a percent is less than is tolerated, but it is there";
}

TEST(PickTest, AnUncertainLossDominatesNobody) {
  EXPECT_TRUE(Judge({kF16, {"Q8_0", 530, 0.5, 8.0, 180, 0.005}}).decision.rungs[0].pareto);
}

TEST(PickTest, TheToleranceIsTheCallers) {
  const std::vector<RungSpec> specs = {
      kF16, {"Q8_0", 530, 0.05, 0.1, 180, 0.005}, {"Q3_K_M", 250, 5.0, 1.0, 280, 0.005}};
  EXPECT_EQ(Judge(specs, 1.0).decision.pick, 1U);
  EXPECT_EQ(Judge(specs, 10.0).decision.pick, 2U);
}

}  // namespace
}  // namespace assay
