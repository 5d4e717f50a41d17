#include "judge/hardware.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace assay {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

Environment Machine(const std::string& id, const std::string& cpu) {
  Environment environment;
  environment.cpu = cpu;
  environment.cores = 8;
  environment.memory_bytes = 1 << 30;
  environment.assay_version = "1";
  environment.machine = id;
  return environment;
}

// Rounds that scatter by 1% around the rate.
RunRecord Speed(const Environment& environment, const std::string& test, double rate, int rounds = 6,
                int64_t started = 1000) {
  RunRecord run;
  run.kind = "throughput";
  run.test = test;
  run.started_unix_ms = started;
  run.environment = environment;
  run.model.file = "m.gguf";
  run.model.digest = "d";
  run.settings = {{"backend", "cpu: avx2, 8 threads"}, {"cache", "f16"}};
  for (int round = 0; round < rounds; ++round) {
    const double pace = rate * (1.0 + 0.01 * (round % 3 - 1));
    run.samples.push_back({.round = round, .tokens = 100, .seconds = 100.0 / pace});
  }
  return run;
}

const Environment kFast = Machine("aaaaaaaaaaaaaaaa", "Fast CPU");
const Environment kSlow = Machine("bbbbbbbbbbbbbbbb", "Slow CPU");

TEST(HardwareTest, AModelIsComparedBetweenAllMachinesThatMeasuredIt) {
  const Environment third = Machine("cccccccccccccccc", "Third CPU");
  const std::vector<RunRecord> runs = {Speed(kSlow, "tg64", 20.0), Speed(kSlow, "pp512", 300.0),
                                       Speed(kFast, "tg64", 40.0), Speed(third, "tg64", 30.0)};
  const HardwareComparison result = CompareHardware(runs);
  ASSERT_THAT(result.models, SizeIs(1));
  EXPECT_THAT(result.models[0].tests, ElementsAre("tg64", "pp512"));
  ASSERT_THAT(result.models[0].machines, SizeIs(3));
  EXPECT_EQ(FindTest(result.models[0].machines[1], "pp512"), nullptr);
  ASSERT_THAT(result.pairs, SizeIs(3)) << "pp512 was measured by one alone";
  const MachinePair& pair = result.pairs[0];
  EXPECT_EQ(pair.a, 1U) << "the faster one first";
  EXPECT_EQ(pair.b, 0U);
  EXPECT_NEAR(pair.compared.estimate.value(), 2.0, 1e-12);
  EXPECT_EQ(pair.compared.standing, Standing::kBetter);
  EXPECT_THAT(PairSentence(result.models[0], pair),
              AllOf(HasSubstr("Fast CPU, 8 cores (aaaaaaaa) against Slow CPU, 8 cores (bbbbbbbb)"),
                    HasSubstr("in tg64 it is faster (2.000 times as fast")));
}

// The rounds have the same numbers and move together; on one machine that would make a pair of them without any spread.
TEST(HardwareTest, RoundsOfTwoMachinesAreNotPaired) {
  const HardwareComparison result =
      CompareHardware(std::vector<RunRecord>{Speed(kFast, "tg64", 40.0), Speed(kSlow, "tg64", 39.9)});
  ASSERT_THAT(result.pairs, SizeIs(1));
  EXPECT_EQ(result.pairs[0].compared.standing, Standing::kNotToldApart);
  EXPECT_THAT(result.pairs[0].compared.estimate.method(), HasSubstr("Welch"));
  // Two means, each with a standard deviation of 0.89% in 6 rounds.
  EXPECT_NEAR(result.pairs[0].compared.estimate.error(), 0.00894 * std::sqrt(2.0 / 6.0), 1e-4);
}

TEST(HardwareTest, TooFewRoundsOnOneSideSayNothing) {
  const HardwareComparison result =
      CompareHardware(std::vector<RunRecord>{Speed(kFast, "tg64", 40.0), Speed(kSlow, "tg64", 20.0, 3)});
  EXPECT_EQ(result.pairs.at(0).compared.standing, Standing::kTooFew);
}

TEST(HardwareTest, TheLastValidRunCountsAndWhatIsLeftOutIsCounted) {
  RunRecord invalid = Speed(kSlow, "tg64", 1.0, 6, 4000);
  invalid.guards = {{"steady", true, "it was not"}};
  RunRecord one_thread = Speed(kSlow, "tg64", 5.0, 6, 500);
  one_thread.settings[0].second = "cpu: avx2, 1 thread";
  const std::vector<RunRecord> runs = {Speed(kFast, "tg64", 40.0), Speed(kSlow, "tg64", 22.0, 6, 3000),
                                       Speed(kSlow, "tg64", 20.0, 6, 2000), one_thread, invalid};
  const HardwareComparison result = CompareHardware(runs);
  const MachineSpeeds& slow = result.models.at(0).machines.at(1);
  ASSERT_THAT(slow.tests, SizeIs(1));
  EXPECT_EQ(slow.tests[0].started_unix_ms, 3000);
  EXPECT_EQ(slow.invalid, 1);
  EXPECT_EQ(slow.otherwise, 1);
}

TEST(HardwareTest, AMachineWithInvalidRunsAloneHasNoSpeeds) {
  RunRecord invalid = Speed(kSlow, "tg64", 1.0);
  invalid.guards = {{"finite", true, "nan"}};
  const HardwareComparison result = CompareHardware(std::vector<RunRecord>{Speed(kFast, "tg64", 40.0), invalid});
  EXPECT_THAT(result.models.at(0).machines.at(1).tests, IsEmpty());
  EXPECT_EQ(result.models.at(0).machines.at(1).environment, kSlow);
  EXPECT_THAT(result.pairs, IsEmpty());
}

TEST(HardwareTest, OtherModelsCachesArithmeticsAndKindsAreNotCompared) {
  RunRecord other_model = Speed(kSlow, "tg64", 20.0);
  other_model.model.digest = "other";
  RunRecord other_cache = Speed(kSlow, "tg64", 20.0);
  other_cache.settings[1].second = "f32";
  RunRecord fine = Speed(kSlow, "tg64", 20.0);
  fine.settings.emplace_back(kArithmeticSetting, "fine");
  RunRecord probe = Speed(kSlow, "tg64", 20.0);
  probe.kind = "machine";
  for (const RunRecord& other :
       {other_model, other_cache, fine, probe, Speed(kSlow, "placebo tg64", 20.0), Speed(kSlow, "tg128", 20.0)}) {
    EXPECT_THAT(CompareHardware(std::vector<RunRecord>{Speed(kFast, "tg64", 40.0), other}).pairs, IsEmpty());
  }
}

// An update of the system or the program does not make another machine of it; without an identifier, the processor, its
// cores and the memory tell.
TEST(HardwareTest, AMachineIsKnownByItsIdentifier) {
  Environment updated = kFast;
  updated.kernel = "newer";
  updated.assay_version = "2";
  Environment old_record = kFast;
  old_record.machine = "";
  Environment old_smaller = old_record;
  old_smaller.cores = 4;
  const HardwareComparison result =
      CompareHardware(std::vector<RunRecord>{Speed(kFast, "tg64", 40.0), Speed(updated, "tg64", 41.0, 6, 2000),
                                             Speed(old_record, "tg64", 40.0), Speed(old_smaller, "tg64", 40.0)});
  ASSERT_THAT(result.models.at(0).machines, SizeIs(3));
  EXPECT_EQ(result.models[0].machines[0].environment.assay_version, "2");
  EXPECT_THAT(MachineName(old_smaller), AllOf(HasSubstr("Fast CPU, 4 cores"), Not(HasSubstr("("))));
}

// Both placebos are slower than their base by about 5%: what is below 1.05 * 1.05 is not spoken.
TEST(HardwareTest, BothMachinesFloorsCount) {
  std::vector<RunRecord> runs = {Speed(kFast, "tg64", 41.0), Speed(kSlow, "tg64", 39.5)};
  EXPECT_EQ(CompareHardware(runs).pairs.at(0).compared.standing, Standing::kBetter);
  runs.push_back(Speed(kFast, "placebo tg64", 41.0 * 0.95));
  runs.push_back(Speed(kSlow, "placebo tg64", 39.5 * 0.95));
  const MachinePair pair = CompareHardware(runs).pairs.at(0);
  EXPECT_NEAR(pair.compared.floor, 1.0 / (0.95 * 0.95) - 1.0, 1e-9);
  EXPECT_EQ(pair.compared.standing, Standing::kBelowFloor);
}

}  // namespace
}  // namespace assay
