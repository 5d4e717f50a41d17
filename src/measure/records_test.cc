#include "measure/records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "record/figures.h"

namespace assay {
namespace {

using testing::HasSubstr;

PerplexityResult EightWindows() {
  PerplexityResult result;
  result.windows = 8;
  result.tokens_scored = 8 * 255;
  result.base = BaseComparison{};
  for (int i = 0; i < 8; ++i) {
    result.window_nll.push_back(3.0F + 0.1F * static_cast<float>(i % 3));
    result.base->window_nll.push_back(2.99F + 0.1F * static_cast<float>(i % 3));
    result.base->window_kld.push_back(0.001F * static_cast<float>(1 + i % 2));
    result.base->window_top1.push_back(0.95F);
  }
  result.engine = *result.base;
  result.base->engine = *result.base;
  return result;
}

TEST(RecordOfTest, QualityIsOfWindowsAndSaysSo) {
  const RunRecord record = RecordOf(EightWindows(), NewRecord("perplexity", "prose", {}));
  const Metric* delta = FindMetric(record, "delta_pct");
  ASSERT_NE(delta, nullptr);
  EXPECT_NEAR(delta->value, 100.0 * std::expm1(0.01), 1e-3);
  EXPECT_EQ(delta->certainty->unit, "window");
  EXPECT_EQ(delta->certainty->units, 8);
  EXPECT_THAT(delta->certainty->method, HasSubstr("Student"));
  EXPECT_NEAR(FindMetric(record, "ppl")->value, EightWindows().ppl(), 1e-5);
  EXPECT_TRUE(record.valid());
}

TEST(RecordOfTest, QualitySaysInWhichArithmeticAndWhatTheOtherAdds) {
  PerplexityResult result = EightWindows();
  EXPECT_EQ(ArithmeticOf(RecordOf(result, {})), "fine");
  EXPECT_NEAR(FindMetric(RecordOf(result, {}), "engine_kld_mean")->value, 0.0015, 1e-6);
  EXPECT_EQ(FindMetric(RecordOf(result, {}), "base_engine_kld_mean")->certainty->units, 8);
  result.activations = Arithmetic::kEveryday;
  EXPECT_EQ(ArithmeticOf(RecordOf(result, {})), "everyday");
  EXPECT_EQ(ArithmeticOf({}), "everyday") << "records from before there were two";
}

TEST(RecordOfTest, LogitsThatAreNotFiniteMakeItInvalidWithoutFigures) {
  PerplexityResult result = EightWindows();
  result.failure = "window 3 at position 300";
  const RunRecord record = RecordOf(result, NewRecord("perplexity", "prose", {}));
  EXPECT_FALSE(record.valid());
  EXPECT_TRUE(record.metrics.empty());
}

TEST(RecordOfTest, AFewWindowsHaveNoIntervalAndWarn) {
  PerplexityResult result = EightWindows();
  result.windows = 2;
  result.window_nll.resize(2);
  result.base.reset();
  const RunRecord record = RecordOf(result, NewRecord("perplexity", "prose", {}));
  EXPECT_EQ(FindMetric(record, "ppl")->certainty->low, std::nullopt);
  EXPECT_TRUE(record.guards.back().warning);
  EXPECT_TRUE(record.valid());
}

TEST(RecordOfTest, EveryFigureHasARow) {
  ThroughputResult speed;
  speed.samples = {{.round = 0, .tokens = 64, .seconds = 1.0}, {.round = 1, .tokens = 64, .seconds = 1.1}};
  speed.tok_per_s = Summarize(std::vector<double>{64.0, 58.2});
  speed.weight_bytes_per_token = speed.cache_bytes_per_token = speed.read_bytes_per_s = 1e6;
  speed.bandwidth_util = speed.ops_per_s = speed.ops_util = 0.5;
  const ProbeResult probe{
      .read_samples = {1e9}, .read_bytes_per_s = 1e9, .int8_ops = 1, .f32_flops = 1, .bf16_flops = 1};
  for (const RunRecord& record : {RecordOf(EightWindows(), {}), RecordOf(speed, {}), RecordOf(probe, {})}) {
    EXPECT_FALSE(record.metrics.empty());
    for (const Metric& metric : record.metrics) EXPECT_NO_THROW(FigureOf(metric.name)) << metric.name;
  }
}

}  // namespace
}  // namespace assay
