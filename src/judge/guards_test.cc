#include "judge/guards.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "judge/testing/worlds.h"

namespace assay {
namespace {

using testing::HasSubstr;

Sample SampleOf(int round, double seconds, double work_seconds) {
  Sample sample{.round = round, .tokens = 100, .seconds = seconds};
  sample.conditions.work_seconds = work_seconds;
  return sample;
}

Estimate Ratio(const std::vector<double>& logs) { return {logs, "round", Order::kExchangeable, Scale::kRatio}; }

TEST(FiniteGuardTest, SaysWhichLogitWasNot) {
  EXPECT_FALSE(CheckFinite(std::nullopt).tripped);
  const GuardResult guard = CheckFinite("window 3, position 17");
  EXPECT_TRUE(guard.tripped);
  EXPECT_THAT(guard.evidence, HasSubstr("window 3"));
}

TEST(UnitsGuardTest, WarnsBelowFour) {
  EXPECT_TRUE(CheckUnits(3, "round").warning);
  EXPECT_FALSE(CheckUnits(3, "round").tripped);
  EXPECT_FALSE(CheckUnits(4, "round").warning);
}

// A laptop that throttles by a third during the run: both of a pair meet it, in an order that is drawn.
TEST(SteadyGuardTest, DriftThatHitsBothOfAPairPasses) {
  Rng rng(3);
  std::vector<Sample> a;
  std::vector<Sample> b;
  for (int round = 0; round < 20; ++round) {
    const double machine = 1.0 + 0.35 * round / 20.0;
    a.push_back(SampleOf(round, machine, machine * std::exp(0.02 * rng.Normal())));
    b.push_back(SampleOf(round, machine, machine * std::exp(0.02 * rng.Normal())));
  }
  const std::vector<MachineBias> subjects = {{"Q4_K_M", MachineRatio(b, a)}};
  EXPECT_FALSE(CheckSteady(subjects).tripped) << CheckSteady(subjects).evidence;
}

// One that is always measured first, while the processor is still cool.
TEST(SteadyGuardTest, AMachineThatFavoursOneTrips) {
  Rng rng(3);
  std::vector<Sample> a;
  std::vector<Sample> b;
  for (int round = 0; round < 20; ++round) {
    a.push_back(SampleOf(round, 1.0, std::exp(0.02 * rng.Normal())));
    b.push_back(SampleOf(round, 1.0, 0.93 * std::exp(0.02 * rng.Normal())));
  }
  const std::vector<MachineBias> subjects = {{"Q4_K_M", MachineRatio(b, a)}};
  const GuardResult guard = CheckSteady(subjects);
  EXPECT_TRUE(guard.tripped);
  EXPECT_THAT(guard.evidence, HasSubstr("Q4_K_M"));
}

TEST(SteadyGuardTest, WithoutFixedWorkItSaysThatItSawNothing) {
  EXPECT_THAT(CheckSteady({}).evidence, HasSubstr("too few"));
}

TEST(SteadyGuardTest, AnHonestRunIsRefusedOnceInAHundred) {
  const Rate rate = RateOf(3000, 5, [](Rng& rng) {
    std::vector<MachineBias> subjects;
    for (int s = 0; s < 7; ++s) {
      std::vector<double> logs;
      for (int i = 0; i < 10; ++i) logs.push_back(0.1 * rng.Normal());
      subjects.push_back({"x", Ratio(logs)});
    }
    return CheckSteady(subjects).tripped;
  });
  EXPECT_LE(rate.value(), rate.limit(0.01));
}

TEST(MemoryGuardTest, PagesAreCountedAsTheTimeThatTheyTake) {
  // 100 pages are 10 ms: of ten seconds nothing, of half a second 2%.
  const std::vector<Conditions> conditions = {{.major_faults = 60}, {.major_faults = 40}};
  EXPECT_FALSE(CheckMemory(conditions, 10.0).tripped);
  EXPECT_TRUE(CheckMemory(conditions, 0.5).tripped);
}

TEST(MemoryGuardTest, SwappingCountsToo) {
  const std::vector<Conditions> conditions = {{.swapped_pages = 5000}};
  EXPECT_TRUE(CheckMemory(conditions, 10.0).tripped);
}

TEST(SpreadGuardTest, ARateThatTheREADMEOnceShowedIsRefused) {
  // 551 +- 365 tok/s in five rounds.
  std::vector<Sample> samples;
  for (const double rate : {180.0, 950.0, 300.0, 520.0, 1000.0}) {
    samples.push_back({.round = static_cast<int>(samples.size()), .tokens = 64, .seconds = 64.0 / rate});
  }
  const std::vector<NamedEstimate> rates = {{"tg64 of Q5_K_M", RateEstimate(samples)}};
  const GuardResult guard = CheckSpread(rates);
  EXPECT_TRUE(guard.tripped);
  EXPECT_THAT(guard.evidence, HasSubstr("tg64 of Q5_K_M"));
}

TEST(SpreadGuardTest, ANoisyMachineInTenRoundsPasses) {
  const Rate refused = RateOf(1000, 11, [](Rng& rng) {
    std::vector<double> logs;
    for (int i = 0; i < 10; ++i) logs.push_back(0.15 * rng.Normal());
    const std::vector<NamedEstimate> rates = {{"tg64", Ratio(logs)}};
    return CheckSpread(rates).tripped;
  });
  EXPECT_LE(refused.value(), 0.01);
}

TEST(PlaceboGuardTest, TheSameThingTwiceMayNotDiffer) {
  Rng rng(7);
  std::vector<double> same;
  std::vector<double> other;
  for (int i = 0; i < 10; ++i) {
    same.push_back(0.05 * rng.Normal());
    other.push_back(0.10 + 0.02 * rng.Normal());
  }
  const std::vector<NoiseFloor> honest = {{"tg64", Ratio(same)}, {"pp512", Ratio(same)}};
  EXPECT_FALSE(CheckPlacebo(honest).tripped);
  const std::vector<NoiseFloor> broken = {{"tg64", Ratio(same)}, {"pp512", Ratio(other)}};
  EXPECT_TRUE(CheckPlacebo(broken).tripped);
  EXPECT_THAT(CheckPlacebo(broken).evidence, HasSubstr("pp512"));
}

TEST(PlaceboGuardTest, AnHonestRunIsRefusedOnceInAHundred) {
  const Rate rate = RateOf(5000, 13, [](Rng& rng) {
    std::vector<NoiseFloor> floors;
    for (const char* test : {"tg64", "pp512"}) {
      std::vector<double> logs;
      for (int i = 0; i < 10; ++i) logs.push_back(std::log(NoisySeconds(rng, 0.05) / NoisySeconds(rng, 0.05)));
      floors.push_back({test, Ratio(logs)});
    }
    return CheckPlacebo(floors).tripped;
  });
  EXPECT_LE(rate.value(), rate.limit(0.01));
}

}  // namespace
}  // namespace assay
