#include "judge/speculation_guards.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <utility>

#include "base/rng.h"
#include "judge/testing/worlds.h"

namespace assay {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string Show(int32_t token) { return std::string(1, static_cast<char>('a' + token)); }

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

TEST(ExercisedGuardTest, EqualTextsShowNothingWithoutAGuessTakenAndOneRefused) {
  EXPECT_FALSE(CheckExercised(12, 7).warning);
  for (const auto& [drafted, accepted] : {std::pair(0, 0), std::pair(12, 0), std::pair(12, 12)}) {
    const GuardResult guard = CheckExercised(drafted, accepted);
    EXPECT_TRUE(guard.warning) << guard.evidence;
    EXPECT_FALSE(guard.tripped);
  }
}

// Logarithms of a ratio, one for each of 8 prompts, scattered by 2%.
Estimate Ratios(double value) {
  std::vector<double> logs;
  Rng rng(5);
  for (int i = 0; i < 8; ++i) logs.push_back(std::log(value) + 0.02 * rng.Normal());
  return {logs, "prompt", Order::kExchangeable, Scale::kRatio};
}

TEST(BooksGuardTest, PartsThatDoNotSumUpAreRefused) {
  EXPECT_FALSE(CheckBooks({10.0, 9.9, Ratios(1.0)}).tripped);
  const GuardResult missing = CheckBooks({10.0, 9.7, Ratios(1.0)});
  EXPECT_TRUE(missing.tripped);
  EXPECT_THAT(missing.evidence, HasSubstr("leave +3.00% of their time unaccounted"));
  EXPECT_TRUE(CheckBooks({10.0, 10.3, Ratios(1.0)}).tripped) << "parts of more than was taken";
  EXPECT_TRUE(CheckBooks({10.0, std::nan(""), Ratios(1.0)}).tripped);
}

// The flaw of study-audit.md: the target alone was timed by another program, and every draft seemed to gain.
TEST(BooksGuardTest, ABaselineOfAnotherHarnessIsRefused) {
  const GuardResult slow = CheckBooks({10.0, 10.0, Ratios(1.10)});
  EXPECT_TRUE(slow.tripped);
  EXPECT_THAT(slow.evidence, HasSubstr("of its own step a token"));
  EXPECT_TRUE(CheckBooks({10.0, 10.0, Ratios(0.9)}).tripped) << "and a faster one";
}

TEST(BooksGuardTest, AnHonestNoisyRunIsRefusedOnceInAHundredAtMost) {
  // Steps that scatter by 5% between prompts, with a difference of 1% that is there and tolerated.
  const Rate rate = RateOf(4000, 11, [](Rng& rng) {
    std::vector<double> logs;
    for (int i = 0; i < 8; ++i) logs.push_back(0.01 + 0.05 * rng.Normal());
    return CheckBooks({10.0, 10.0, {logs, "prompt", Order::kExchangeable, Scale::kRatio}}).tripped;
  });
  EXPECT_LE(rate.value(), rate.limit(0.01));
}

TEST(BooksGuardTest, OfThreePromptsOnlyThePartsAreJudged) {
  const std::vector<double> logs(3, std::log(1.5));
  const GuardResult guard = CheckBooks({10.0, 10.0, {logs, "prompt", Order::kExchangeable, Scale::kRatio}});
  EXPECT_FALSE(guard.tripped);
  EXPECT_THAT(guard.evidence, HasSubstr("too few prompts"));
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

TEST(BackendGuardTest, EqualRoundsWithoutLogitsCannotBeJudged) {
  for (const BackendEvidence& run : {Evidence("cpu", {1, 2}, {}), Evidence("cpu", {1, 2}, {"x", "y"})}) {
    const GuardResult guard = CheckBackend(run, std::vector{Evidence("other", {1, 2}, {"x"})});
    EXPECT_FALSE(guard.tripped) << "two honest engines have equal greedy rounds";
    EXPECT_TRUE(guard.warning);
    EXPECT_THAT(guard.evidence, HasSubstr("cannot be judged"));
  }
  EXPECT_FALSE(CheckBackend(Evidence("cpu", {1, 2}, {}), std::vector{Evidence("other", {1, 0}, {})}).warning);
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
