#include "render/hardware_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace assay {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

RunRecord Speed(const std::string& machine, const std::string& test, double rate, const std::string& digest = "d") {
  RunRecord run;
  run.kind = "throughput";
  run.test = test;
  run.environment.cpu = "CPU " + machine;
  run.environment.cores = 4;
  run.environment.assay_version = "1";
  run.environment.machine = machine + "0123456789";
  run.model.file = digest + ".gguf";
  run.model.digest = digest;
  run.model.quant = "Q8_0";
  run.model.file_bytes = 9'500'000'000;
  run.settings = {{"backend", "cpu: avx2"}, {"cache", "f16"}};
  for (int round = 0; round < 5; ++round) {
    run.samples.push_back({.round = round, .tokens = 100, .seconds = 100.0 / (rate * (1.0 + 0.001 * (round - 2)))});
  }
  run.metrics = {{"tok_per_s", rate, 0.1, Certainty{rate - 0.5, rate + 0.5, "round", 5, "Student"}}};
  if (test.starts_with("tg")) {
    run.metrics.push_back({"read_bytes_per_s", rate * 9.5e9});
    run.metrics.push_back({"bandwidth_util", 0.64});
  }
  return run;
}

TEST(HardwareOutputTest, ATableHasARowForEachMachineAndSaysWhatCanBeTold) {
  std::vector<RunRecord> runs = {Speed("a", "tg128", 42.4), Speed("a", "pp512", 1163.9), Speed("b", "tg128", 21.8),
                                 Speed("c", "tg128", 12.7, "alone")};
  runs[2].metrics.push_back({"joules_per_token", 1.25});
  runs[2].environment.assay_version = "2";
  const std::string text = HardwareText(CompareHardware(runs));
  EXPECT_THAT(text, HasSubstr("d.gguf (Q8_0), 9.5 GB, digest d\n"));
  EXPECT_THAT(text, HasSubstr("CPU a, 4 cores (a0123456)"));
  // 42.4 * 9.5 GB/s are 64% of 629.4.
  EXPECT_THAT(text, HasSubstr("629.4  42.40 [41.90, 42.90]        64.0 %        -  1163.90 [1163.40, 1164.40]\n"));
  EXPECT_THAT(text, HasSubstr("21.80 [21.30, 22.30]        64.0 %    1.250                           -\n"));
  EXPECT_THAT(text,
              HasSubstr("CPU a, 4 cores (a0123456) against CPU b, 4 cores (b0123456): in tg128 it is faster (1.94"));
  EXPECT_THAT(text, HasSubstr("measured by different versions: 1, 2"));
  EXPECT_THAT(text, AllOf(HasSubstr("1 model measured on one machine alone"), Not(HasSubstr("alone.gguf"))));
}

TEST(HardwareOutputTest, TheFastestIsSetAgainstAllOthers) {
  const std::string text = HardwareText(CompareHardware(
      std::vector<RunRecord>{Speed("a", "tg8", 10.0), Speed("b", "tg8", 30.0), Speed("c", "tg8", 20.0)}));
  EXPECT_THAT(text, AllOf(HasSubstr("(b0123456) against CPU a"), HasSubstr("(b0123456) against CPU c"),
                          Not(HasSubstr("(c0123456) against"))));
}

TEST(HardwareOutputTest, TheDocumentHasEveryMachineAndPair) {
  const Json json = HardwareJson(CompareHardware(std::vector<RunRecord>{
      Speed("a", "tg8", 10.0), Speed("b", "tg8", 30.0), Speed("c", "tg8", 20.0), Speed("c", "tg8", 20.0, "alone")}));
  ASSERT_EQ(json.size(), 2U);
  EXPECT_EQ(json[0]["digest"], "d");
  ASSERT_EQ(json[0]["machines"].size(), 3U);
  EXPECT_EQ(json[0]["machines"][1]["machine"], "b0123456789");
  EXPECT_EQ(json[0]["machines"][1]["tests"][0]["tok_per_s"], 30.0);
  EXPECT_EQ(json[0]["machines"][1]["tests"][0]["joules_per_token"], nullptr);
  EXPECT_EQ(json[0]["comparisons"].size(), 3U);
  EXPECT_EQ(json[0]["comparisons"][0]["standing"], "better");
  EXPECT_NEAR(json[0]["comparisons"][0]["ratio"].get<double>(), 3.0, 1e-9);
  EXPECT_EQ(json[1]["comparisons"].size(), 0U);
}

TEST(HardwareOutputTest, NothingMeasuredIsNothingSaid) { EXPECT_EQ(HardwareText({}), ""); }

}  // namespace
}  // namespace assay
