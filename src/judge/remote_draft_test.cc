#include "judge/remote_draft.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "judge/burst_figures.h"

namespace assay {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const RemoteClaim kClaim = {.name = "grpc://two",
                            .drafter = {.backend = "cpu: AVX-512",
                                        .device = "a Xeon",
                                        .machine = "m2",
                                        .process = "p2",
                                        .model_digest = "d",
                                        .address = "grpc://two:1"},
                            .home_machine = "m1",
                            .home_process = "p1"};

BurstRecord Burst() {
  return {.who = 0, .compute_seconds = 0.004, .wire_seconds = 0.001, .sent_bytes = 40, .received_bytes = 60};
}

GuardResult Check(const DrafterRecord& who, const BurstRecord& burst) {
  const ShownBurst bursts[] = {{Burst(), &kClaim.drafter, 3}, {burst, &who, 2}, {Burst(), &kClaim.drafter, 4}};
  return CheckRemote(kClaim, bursts);
}

TEST(RemoteGuardTest, AnHonestRunPassesAndSaysWhoDrafted) {
  const GuardResult guard = Check(kClaim.drafter, Burst());
  EXPECT_FALSE(guard.tripped || guard.warning) << guard.evidence;
  EXPECT_THAT(guard.evidence,
              AllOf(HasSubstr("9 guesses"), HasSubstr("grpc://two:1, a Xeon, machine m2, model d, 0.01 s")));
}

TEST(RemoteGuardTest, OneBurstWithoutItsEvidenceRefusesTheRun) {
  const std::pair<std::function<void(DrafterRecord&, BurstRecord&)>, const char*> faults[] = {
      {[](DrafterRecord& who, BurstRecord&) { who.address = ""; }, "at home"},
      {[](DrafterRecord& who, BurstRecord&) { who.process = "p1"; }, "in the target's own process"},
      {[](DrafterRecord& who, BurstRecord&) { who.address = "grpc://three:1"; }, "came from grpc://three:1"},
      {[](DrafterRecord& who, BurstRecord&) { who.device = ""; }, "no device"},
      {[](DrafterRecord& who, BurstRecord&) { who.machine = ""; }, "no device"},
      {[](DrafterRecord& who, BurstRecord&) { who.process = ""; }, "no device"},
      {[](DrafterRecord& who, BurstRecord&) { who.model_digest = ""; }, "no digest"},
      {[](DrafterRecord& who, BurstRecord&) { who.model_digest = "e"; }, "digest e drafted, not d"},
      {[](DrafterRecord&, BurstRecord& burst) { burst.compute_seconds = 0.0; }, "no time"},
      {[](DrafterRecord&, BurstRecord& burst) { burst.compute_seconds = std::nan(""); }, "no time"},
      {[](DrafterRecord&, BurstRecord& burst) { burst.received_bytes = 0; }, "no bytes"},
  };
  for (const auto& [break_it, reason] : faults) {
    DrafterRecord who = kClaim.drafter;
    BurstRecord burst = Burst();
    break_it(who, burst);
    const GuardResult guard = Check(who, burst);
    EXPECT_TRUE(guard.tripped) << reason;
    EXPECT_THAT(guard.evidence, AllOf(HasSubstr("of 9 guesses that were taken 2 do not"), HasSubstr(reason)));
  }
  const ShownBurst nobody[] = {{Burst(), &kClaim.drafter, 3}, {{}, nullptr, 1}};
  EXPECT_THAT(CheckRemote(kClaim, nobody).evidence, HasSubstr("nobody"));
}

TEST(RemoteGuardTest, FailuresAndTheTargetsOwnMachineAreToldAndOnlyFailuresAreNoRemoteRun) {
  const BurstRecord failed = {.failed = true};
  const ShownBurst bursts[] = {{Burst(), &kClaim.drafter, 3}, {failed, nullptr, 0}, {{}, nullptr, 0}};
  const GuardResult guard = CheckRemote(kClaim, bursts);
  EXPECT_FALSE(guard.tripped);
  EXPECT_TRUE(guard.warning);
  EXPECT_THAT(guard.evidence, HasSubstr("1 of 2 bursts failed"));
  const GuardResult alone = CheckRemote(kClaim, std::span(bursts).subspan(1));
  EXPECT_TRUE(alone.tripped);
  EXPECT_THAT(alone.evidence, HasSubstr("answered none of 1 bursts"));
  RemoteClaim here = kClaim;
  here.home_machine = kClaim.drafter.machine;
  const GuardResult loopback = CheckRemote(here, std::span(bursts).first(1));
  EXPECT_FALSE(loopback.tripped);
  EXPECT_TRUE(loopback.warning);
  EXPECT_THAT(loopback.evidence, HasSubstr("the target's own machine"));
}

// A target of 10 ms a token whose rounds of four guesses verify in 12 ms and give three tokens, drafted in 8 ms.
constexpr RemoteRound kRound = {
    .plain = 10.0, .tokens = 3.0, .draft = 8.0, .verify = 12.0, .wire = 4.0, .in_time = 0.0};

TEST(RemoteRoundTest, WithoutDraftingAheadDraftWireAndVerificationFollowOneAnother) {
  EXPECT_DOUBLE_EQ(kRound.Seconds(), 24.0);
  EXPECT_DOUBLE_EQ(kRound.Speedup(), 1.25);
  EXPECT_DOUBLE_EQ(kRound.WindowAlone().value(), 10.0);
  EXPECT_FALSE(kRound.WindowAtHome(7.0).has_value()) << "no faster drafter, no gain, however short the wire";
  EXPECT_DOUBLE_EQ(kRound.WindowAtHome(13.0).value(), 5.0);
}

TEST(RemoteRoundTest, DraftingAheadHidesTheDraftAndTheWireOfTheBurstsThatAreInTime) {
  RemoteRound ahead = kRound;
  ahead.in_time = 0.75;
  EXPECT_DOUBLE_EQ(ahead.Seconds(), 0.25 * 24.0 + 0.75 * 12.0);
  // Against the same draft at home what is hidden pays for what is not: R < a / (1 - a) min(D, V).
  EXPECT_DOUBLE_EQ(ahead.WindowAtHome(8.0).value(), 3.0 * 8.0);
  ahead.in_time = 1.0;
  EXPECT_DOUBLE_EQ(ahead.Seconds(), 12.0);
  EXPECT_TRUE(std::isinf(ahead.WindowAlone().value()));
  ahead.draft = 40.0;  // a drafter that cannot keep up
  EXPECT_DOUBLE_EQ(ahead.Seconds(), 40.0);
  EXPECT_FALSE(ahead.WindowAlone().has_value());
}

// At the window's end the draft gains nothing, within it something, beyond it it loses.
TEST(RemoteRoundTest, TheWindowEndsWhereTheSpeedUpIsOne) {
  for (const double in_time : {0.0, 0.3, 0.9}) {
    RemoteRound round = kRound;
    round.in_time = in_time;
    const double end = round.WindowAlone().value();
    for (const double share : {0.5, 1.0, 2.0}) {
      round.wire = share * end;
      EXPECT_EQ(round.Speedup() > 1.0 + 1e-12, share < 1.0) << in_time << ", " << share;
      EXPECT_EQ(round.Speedup() < 1.0 - 1e-12, share > 1.0) << in_time << ", " << share;
    }
  }
}

TEST(BurstFiguresTest, AreMeansOfTheBurstsThatWereAnswered) {
  const auto round = [](int accepted, double waited, BurstRecord burst) {
    RoundRecord record{.drafted = 4, .accepted = accepted, .draft_seconds = waited, .verify_seconds = 0.012};
    record.burst = burst;
    return record;
  };
  PairedText text;
  text.baseline.tokens.assign(11, 1);
  text.baseline.decode_seconds = 0.100;
  text.speculative.tokens.assign(11, 1);
  text.speculative.decode_seconds = 0.080;
  text.speculative.drafters = {kClaim.drafter};
  const BurstRecord late = {.who = 0,
                            .compute_seconds = 0.008,
                            .queue_seconds = 0.001,
                            .wire_seconds = 0.003,
                            .sent_bytes = 30,
                            .received_bytes = 50};
  BurstRecord in_time = late;
  in_time.in_time = true;
  in_time.wire_seconds = 0.0;
  in_time.queue_seconds = 0.0;
  text.speculative.rounds = {round(2, 0.012, late), round(4, 0.0, in_time), round(0, 0.020, {.failed = true}),
                             round(0, 0.0, {})};
  const std::optional<BurstFigures> figures = ComputeBurstFigures(std::span(&text, 1));
  ASSERT_TRUE(figures.has_value());
  EXPECT_EQ(figures->bursts, 3);
  EXPECT_EQ(figures->failed, 1);
  EXPECT_DOUBLE_EQ(figures->queue_seconds, 0.0005);
  EXPECT_DOUBLE_EQ(figures->sent_bytes, 30.0);
  EXPECT_DOUBLE_EQ(figures->received_bytes, 50.0);
  EXPECT_NEAR(figures->overhead_seconds, (0.004 - 0.008) / 2, 1e-12);
  EXPECT_DOUBLE_EQ(figures->hidden, 0.5);
  EXPECT_DOUBLE_EQ(figures->round.plain, 0.010);
  EXPECT_DOUBLE_EQ(figures->round.tokens, 4.0);
  EXPECT_DOUBLE_EQ(figures->round.draft, 0.008);
  EXPECT_DOUBLE_EQ(figures->round.verify, 0.012);
  EXPECT_DOUBLE_EQ(figures->round.wire, 0.004) << "of the one that was waited for";
  EXPECT_DOUBLE_EQ(figures->round.in_time, 0.5);
  EXPECT_NEAR(figures->round_seconds, figures->round.Seconds(), 1e-12) << "a world that goes as predicted";
  RunRecord record;
  EXPECT_FALSE(RemoteRoundOf(record).has_value());
  record.metrics = BurstMetrics(*figures);
  ASSERT_TRUE(RemoteRoundOf(record).has_value());
  EXPECT_DOUBLE_EQ(RemoteRoundOf(record)->Seconds(), figures->round.Seconds());
  EXPECT_DOUBLE_EQ(RemoteRoundOf(record)->Speedup(), figures->round.Speedup());
  text.speculative.rounds = {round(0, 0.020, {.failed = true})};
  EXPECT_FALSE(ComputeBurstFigures(std::span(&text, 1)).has_value());
}

}  // namespace
}  // namespace assay
