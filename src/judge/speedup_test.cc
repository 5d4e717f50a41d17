#include "judge/speedup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace assay {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// Prompts whose speed-ups lie around `speedup`, by `scatter` up and down in turn.
LengthSpeedup Length(const std::string& k, double speedup, double scatter, size_t prompts = 8, size_t phase = 0) {
  LengthSpeedup length{k, {}};
  for (size_t i = 0; i < prompts; ++i) {
    length.logs[i] = std::log(speedup) + scatter * ((i >> phase) % 2 == 0 ? 1.0 : -1.0);
  }
  return length;
}

TEST(JudgeSpeedupsTest, GainsAndLossesAreSaidWithTheirIntervals) {
  const std::vector<LengthSpeedup> lengths = {Length("4", 1.25, 0.05), Length("8", 0.8, 0.05, 8, 1)};
  const SpeedupJudgement judgement = JudgeSpeedups("target with draft on code", lengths, 0.0);
  EXPECT_EQ(judgement.verdicts[0].outcome, "better");
  EXPECT_EQ(judgement.verdicts[0].about, "k=4");
  EXPECT_THAT(judgement.verdicts[0].sentence, StartsWith("gains 25.0% (95% interval +19.5% to +30.7%"));
  EXPECT_EQ(judgement.verdicts[1].outcome, "worse");
  EXPECT_THAT(judgement.verdicts[1].sentence, StartsWith("loses 20.0%"));
  EXPECT_EQ(judgement.best.outcome, "4");
  EXPECT_THAT(judgement.sentence,
              AllOf(StartsWith("target with draft on code: k=4: gains 25.0%"), EndsWith("; k=4 is the fastest.")));
}

TEST(JudgeSpeedupsTest, LengthsThatCannotBeToldApartHaveNoBest) {
  const std::vector<LengthSpeedup> lengths = {Length("4", 1.25, 0.05), Length("8", 1.27, 0.05, 8, 1),
                                              Length("16", 0.7, 0.05)};
  const SpeedupJudgement judgement = JudgeSpeedups("pair", lengths, 0.0);
  EXPECT_EQ(judgement.best.outcome, "none");
  EXPECT_THAT(judgement.sentence, AllOf(HasSubstr("k=4: gains"), HasSubstr("k=8: gains"), HasSubstr("k=16: loses"),
                                        EndsWith("; k=4 and k=8 cannot be told apart.")));
}

TEST(JudgeSpeedupsTest, WhatIsUndecidedSaysWhatWouldDecideIt) {
  const std::vector<LengthSpeedup> lengths = {Length("4", 1.05, 0.1)};
  const SpeedupJudgement judgement = JudgeSpeedups("pair", lengths, 0.0);
  EXPECT_EQ(judgement.verdicts[0].outcome, "not told apart");
  EXPECT_THAT(judgement.verdicts[0].sentence,
              AllOf(HasSubstr("cannot be told apart from the target alone"), HasSubstr("more prompts would tell")));
  EXPECT_THAT(judgement.verdicts[0].sentence, Not(HasSubstr("; 0 more")));
  EXPECT_EQ(judgement.best.name, "") << "one length is not the best of several";
}

TEST(JudgeSpeedupsTest, AnEffectThatHolmRefusesNeedsMorePromptsThanItHas) {
  // p is between 0.05 / 6 and 0.05: an interval of 95% leaves out 1, the family of six does not.
  const std::vector<LengthSpeedup> lengths = {Length("2", 1.06, 0.06), Length("4", 1.0, 0.06, 8, 1),
                                              Length("8", 1.0, 0.06, 8, 2)};
  ASSERT_LT(PromptEstimate(lengths[0].logs).p_value(), 0.05);
  const SpeedupJudgement judgement = JudgeSpeedups("pair", lengths, 0.0);
  EXPECT_EQ(judgement.verdicts[0].outcome, "not told apart");
  EXPECT_THAT(judgement.verdicts[0].sentence, Not(HasSubstr("; 0 more")));
}

TEST(JudgeSpeedupsTest, NothingIsSaidOfThreePromptsNorBelowTheNoiseFloor) {
  const std::vector<LengthSpeedup> few = {Length("4", 1.5, 0.01, 3)};
  EXPECT_EQ(JudgeSpeedups("pair", few, 0.0).verdicts[0].outcome, "too few");
  EXPECT_THAT(JudgeSpeedups("pair", few, 0.0).sentence, HasSubstr("3 prompts are too few to say anything, 4 would do"));
  const std::vector<LengthSpeedup> small = {Length("4", 1.02, 0.005)};
  EXPECT_EQ(JudgeSpeedups("pair", small, 0.01).verdicts[0].outcome, "better");
  const SpeedupJudgement below = JudgeSpeedups("pair", small, 0.03);
  EXPECT_EQ(below.verdicts[0].outcome, "below the floor");
  EXPECT_THAT(below.sentence, AllOf(HasSubstr("less than what this machine tells, 3.0%"), Not(HasSubstr("gains"))));
}

}  // namespace
}  // namespace assay
