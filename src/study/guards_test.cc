#include "study/guards.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace assay {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string Show(Token token) { return std::string(1, static_cast<char>('a' + token)); }

TEST(LosslessGuardTest, TheFirstDifferenceIsShown) {
  const std::vector<OutputPair> outputs = {{"one", {1, 2, 3}, {1, 2, 3}}, {"two", {1, 2, 3}, {1, 4, 3}}};
  const GuardResult guard = CheckLossless(outputs, Show);
  EXPECT_TRUE(guard.tripped);
  EXPECT_THAT(guard.evidence,
              AllOf(HasSubstr("prompt two: token 2"), HasSubstr("token 4 \"e\""), HasSubstr("token 2 \"c\"")));
  EXPECT_FALSE(CheckLossless(std::span(outputs).first(1), Show).tripped);
}

TEST(LosslessGuardTest, AMissingTokenAndOneTooManyAreDifferences) {
  const std::vector<OutputPair> shorter = {{"p", {1, 2}, {1}}};
  EXPECT_THAT(CheckLossless(shorter, Show).evidence, HasSubstr("token 2 is the end"));
  const std::vector<OutputPair> longer = {{"p", {1}, {1, 2}}};
  EXPECT_THAT(CheckLossless(longer, Show).evidence, HasSubstr("the target alone gives the end"));
  EXPECT_TRUE(CheckLossless(longer, Show).tripped);
}

TEST(DecodedGuardTest, AFailureIsKeptAsEvidence) {
  const std::vector<std::string> failures = {"prompt 3, k=4: logits that are not finite"};
  const GuardResult guard = CheckDecoded(failures);
  EXPECT_TRUE(guard.tripped);
  EXPECT_THAT(guard.evidence, HasSubstr("logits that are not finite"));
  EXPECT_FALSE(CheckDecoded({}).tripped);
}

// The published table of study-audit.md in small: hardly a guess taken, verifying 5 tokens at 1.8 steps, and yet +25%.
TEST(PlausibleGuardTest, ASpeedupBeyondWhatTheCostsAllowIsRefused) {
  SpeedupEvidence evidence{
      .speedup = 1.25, .interval = {1.2, 1.3}, .tokens_per_round = 1.13, .verify_cost = 1.8, .cost_spread = 0.02};
  const GuardResult guard = CheckPlausible(evidence);
  EXPECT_TRUE(guard.tripped);
  EXPECT_THAT(guard.evidence, AllOf(HasSubstr("1.250"), HasSubstr("1.13 tokens a round"), HasSubstr("0.628")));
  evidence.tokens_per_round = 2.4;
  EXPECT_FALSE(CheckPlausible(evidence).tripped);
}

TEST(PlausibleGuardTest, SpreadWidensTheMarginAndNoNumberIsRefused) {
  SpeedupEvidence evidence{
      .speedup = 1.3, .interval = {1.25, 1.35}, .tokens_per_round = 2.0, .verify_cost = 2.0, .cost_spread = 0.0};
  EXPECT_TRUE(CheckPlausible(evidence).tripped);
  evidence.cost_spread = 0.1;
  EXPECT_FALSE(CheckPlausible(evidence).tripped);
  evidence.tokens_per_round = std::nan("");
  EXPECT_TRUE(CheckPlausible(evidence).tripped);
}

std::string Repeat(const std::string& text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

TEST(RepetitionGuardTest, LoopsAreMeasuredAndOrdinaryTextIsNot) {
  const std::string prose =
      "It was late in the month of November when the travellers came to the foot of the hill. The road was deep with "
      "mud, the horses were tired, and the rain had not ceased since they left the inn at break of day.";
  EXPECT_EQ(RepeatedShare(prose), 0.0);
  EXPECT_EQ(RepeatedShare(""), 0.0);
  const std::string loop = Repeat("The drawing-room was a little too late. ", 8);
  EXPECT_EQ(RepeatedShare(loop), 1.0);
  const double share = RepeatedShare(prose + loop);
  EXPECT_NEAR(share, static_cast<double>(loop.size()) / static_cast<double>(loop.size() + prose.size()), 0.02);
}

TEST(RepetitionGuardTest, ACycleNeedsFiveRepeatsAndIndentationIsNone) {
  EXPECT_EQ(RepeatedShare(Repeat("she was not at home; ", 4)), 0.0);
  EXPECT_EQ(RepeatedShare(Repeat("she was not at home; ", 5)), 1.0);
  EXPECT_EQ(RepeatedShare("def f(x):\n" + std::string(24, ' ') + "return x\n"), 0.0);
}

TEST(RepetitionGuardTest, ItWarnsAndDoesNotInvalidate) {
  const std::vector<NamedText> texts = {{"plain", "Nothing happens twice here."},
                                        {"loop", Repeat("and he was not in the world, ", 9)}};
  const GuardResult guard = CheckRepetition(texts);
  EXPECT_TRUE(guard.warning);
  EXPECT_FALSE(guard.tripped);
  EXPECT_THAT(guard.evidence, AllOf(HasSubstr("1 of 2 texts"), HasSubstr("prompt loop: 100%")));
  EXPECT_FALSE(CheckRepetition(std::span(texts).first(1)).warning);
}

BackendEvidence Evidence(const std::string& backend, std::vector<float> accepted, std::vector<std::string> hashes) {
  const std::vector<float> drafted(accepted.size(), 4.0F);
  return {.backend = backend, .drafted = drafted, .accepted = std::move(accepted), .logit_hashes = std::move(hashes)};
}

// What voided the study's first remote measurement: the draft ran on the local backend, and acceptance showed it.
TEST(BackendGuardTest, TheSameRoundsWithTheSameLogitsAreASilentFallback) {
  const BackendEvidence run = Evidence("cpu", {4, 0, 2}, {"t1", "d1"});
  const std::vector<BackendEvidence> others = {Evidence("ref", {4, 0, 2}, {"t1", "d1"})};
  const GuardResult guard = CheckBackend(run, others);
  EXPECT_TRUE(guard.tripped);
  EXPECT_THAT(guard.evidence, AllOf(HasSubstr("says cpu"), HasSubstr("3 rounds"), HasSubstr("those of ref")));
}

TEST(BackendGuardTest, ADraftAloneThatFellBackIsSeen) {
  const BackendEvidence run = Evidence("cpu", {4, 0, 2}, {"t1", "d1"});
  EXPECT_TRUE(CheckBackend(run, std::vector{Evidence("ref", {4, 0, 2}, {"t2", "d1"})}).tripped);
}

TEST(BackendGuardTest, WithoutLogitsTheRoundsAloneDecide) {
  EXPECT_TRUE(CheckBackend(Evidence("cpu", {1, 2}, {}), std::vector{Evidence("ref", {1, 2}, {"x"})}).tripped);
}

TEST(BackendGuardTest, OtherBitsOrOtherRoundsOrTheSameBackendAreFine) {
  const BackendEvidence run = Evidence("cpu", {4, 0, 2}, {"t1", "d1"});
  const std::vector<BackendEvidence> others = {
      Evidence("ref", {4, 0, 2}, {"t2", "d2"}),  // greedy choices agree, the arithmetic does not
      Evidence("ref", {4, 1, 2}, {"t1", "d1"}),
      Evidence("cpu", {4, 0, 2}, {"t1", "d1"}),
  };
  const GuardResult guard = CheckBackend(run, others);
  EXPECT_FALSE(guard.tripped) << guard.evidence;
  EXPECT_THAT(guard.evidence, HasSubstr("2 runs of other backends; 1 with the same rounds"));
}

TEST(SpreadGuardTest, AWideIntervalAroundOneSupportsNothing) {
  EXPECT_TRUE(CheckSpread({1.1, {0.7, 1.5}, std::nullopt}).tripped);
  EXPECT_TRUE(CheckSpread({1.1, {0.0, std::numeric_limits<double>::infinity()}, std::nullopt}).tripped);
  EXPECT_FALSE(CheckSpread({1.01, {0.95, 1.07}, std::nullopt}).tripped) << "narrow: shown to be about equal";
  EXPECT_FALSE(CheckSpread({1.9, {1.4, 2.4}, 0.05}).tripped) << "wide, and yet a gain";
}

TEST(SpreadGuardTest, RepetitionsThatScatterAreNoise) {
  const GuardResult guard = CheckSpread({1.9, {1.4, 2.4}, 0.4});
  EXPECT_TRUE(guard.tripped);
  EXPECT_THAT(guard.evidence, HasSubstr("scatter by 40.0%"));
}

std::vector<Conditions> Steady(size_t count) {
  return std::vector<Conditions>(count, Conditions{.load_average = 2.0, .cpu_mhz = 3000.0});
}

TEST(SteadyGuardTest, ASteadyRunPassesAndEachDriftIsSeen) {
  const std::vector<double> even(9, 1.0);
  EXPECT_FALSE(CheckSteady({even, Steady(9), 2}).tripped);

  std::vector<double> slower = even;
  for (size_t i = 6; i < 9; ++i) slower[i] = 0.8;
  const GuardResult rate = CheckSteady({slower, Steady(9), 2});
  EXPECT_TRUE(rate.tripped);
  EXPECT_THAT(rate.evidence, HasSubstr("-20.0%"));

  std::vector<Conditions> throttled = Steady(9);
  for (size_t i = 6; i < 9; ++i) throttled[i].cpu_mhz = 2400.0;
  EXPECT_TRUE(CheckSteady({even, throttled, 2}).tripped);

  std::vector<Conditions> loaded = Steady(9);
  for (size_t i = 6; i < 9; ++i) loaded[i].load_average = 5.0;
  const GuardResult load = CheckSteady({even, loaded, 2});
  EXPECT_TRUE(load.tripped);
  EXPECT_THAT(load.evidence, HasSubstr("load of other programs by +3.0"));
}

TEST(SteadyGuardTest, TheRunsOwnLoadIsNoDrift) {
  std::vector<Conditions> waking = Steady(9);
  for (size_t i = 0; i < 9; ++i) waking[i].load_average = 0.2 * static_cast<double>(i);
  EXPECT_FALSE(CheckSteady({{}, waking, 2}).tripped);
}

TEST(SteadyGuardTest, WhatTheMachineDoesNotTellIsNotJudged) {
  const GuardResult guard = CheckSteady({{}, std::vector<Conditions>(9), 2});
  EXPECT_FALSE(guard.tripped);
  EXPECT_THAT(guard.evidence, HasSubstr("too few samples"));
}

TEST(MemoryGuardTest, PagesFromTheDiskInvalidate) {
  std::vector<Conditions> conditions = Steady(4);
  conditions[1].major_faults = 3;
  EXPECT_FALSE(CheckMemory(conditions).tripped);
  conditions[2].major_faults = 5000;
  const GuardResult guard = CheckMemory(conditions);
  EXPECT_TRUE(guard.tripped);
  EXPECT_THAT(guard.evidence, HasSubstr("5003 pages"));
}

TEST(DraftCostGuardTest, ALargerOrSlowerDraftWarnsWithTheRatio) {
  const GuardResult larger = CheckDraftCost({.draft_bytes = 300, .target_bytes = 200, .speed_ratio = 1.1});
  EXPECT_TRUE(larger.warning);
  EXPECT_FALSE(larger.tripped);
  EXPECT_THAT(larger.evidence, HasSubstr("1.50 times the bytes"));
  EXPECT_TRUE(CheckDraftCost({.draft_bytes = 100, .target_bytes = 200, .speed_ratio = 0.9}).warning);
  EXPECT_FALSE(CheckDraftCost({.draft_bytes = 100, .target_bytes = 200, .speed_ratio = 2.0}).warning);
}

}  // namespace
}  // namespace assay
