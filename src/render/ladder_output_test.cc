#include "render/ladder_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace assay {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr int kRounds = 5;

RunRecord Speed(const std::string& test, double rate) {
  RunRecord record;
  record.test = test;
  for (int round = 0; round < kRounds; ++round) {
    // Rates whose standard deviation is 1.
    const double shift = (round - 2) * std::sqrt(0.4);
    record.samples.push_back({.round = round, .tokens = 100, .seconds = 100.0 / (rate + shift)});
  }
  return record;
}

RungRuns Measured(const std::string& name, double loss, double rate) {
  RungRuns rung{.name = name, .quality = {}, .tg = Speed("tg64", rate), .pp = Speed("pp512", 10.0 * rate)};
  RunRecord& quality = rung.quality;
  quality.model.file = quality.model.digest = name;
  quality.model.mix = name + " 100%";
  quality.model.parameters = 1000;
  quality.model.tensor_bytes = 1062;
  quality.model.file_bytes = name == "F16" ? 2100 : 1100;
  Series windows{"window_nll", {}};
  for (int i = 0; i < 40; ++i) windows.values.push_back(static_cast<float>(3.0 + loss + 1e-4 * (i % 2)));
  if (name == "F16") windows.values.assign(40, 3.0F);
  quality.series = {windows};
  quality.metrics = {{"ppl", 20.1, 0.25},
                     {"windows", 40},
                     {"tokens_scored", 10200},
                     {"engine_kld_mean", name == "F16" ? 4e-7 : 0.0019}};
  if (name != "F16") {
    for (const Metric& metric : {Metric{"delta_pct", 0.5, 0.05}, Metric{"kld_mean", 0.002, 0.0001},
                                 Metric{"kld_p99", 0.1}, Metric{"top1_agree", 0.95}}) {
      quality.metrics.push_back(metric);
    }
  }
  return rung;
}

// The F16 source, a rung that is taken, and one that is invalid.
LadderResult MakeResult() {
  LadderResult result;
  result.subject.source.file = "model.gguf";
  result.subject.source.quant = "F16";
  result.subject.text = "prose.txt";
  result.subject.backend = "cpu: avx2, 2 threads";
  result.subject.environment.cpu = "A CPU";
  result.settings.rungs = {Rung::kF16, Rung::kQ8_0, Rung::kQ2_K};
  result.settings.repetitions = kRounds;
  result.runs.base = Measured("F16", 0.0, 100.0);
  result.runs.placebo = {
      .name = "placebo", .quality = {}, .tg = Speed("placebo tg64", 100.0), .pp = Speed("placebo pp512", 1000.0)};
  result.runs.placebo->tg.samples[0].seconds *= 1.001;
  result.runs.rungs = {result.runs.base, Measured("Q8_0", 0.005, 200.0), Measured("Q2_K", 0.2, 300.0)};
  RungRuns& broken = result.runs.rungs[2];
  broken.quality.guards.push_back({.name = "finite", .tripped = true, .evidence = "logits that are\nnot finite"});
  broken.tg = broken.pp = {};
  result.judgement = JudgeLadder(result.runs, {});
  return result;
}

LadderPlaces Places() {
  return {.folder = "rungs", .database = "assay.db", .rung_files = {"model.gguf", "rungs/8.gguf", "rungs/2.gguf"}};
}

TEST(LadderOutputTest, MarkdownHasARowForEachRungThePlaceboAndTheSentence) {
  const std::string text = LadderMarkdown(MakeResult(), Places());
  EXPECT_THAT(text, HasSubstr("| Q8_0 | 1.1 kB | 8.50 | 200.0 ± 1.0 | 2.00 × | 2000.0 ± 1.0 | 20.100 ± 0.250 | "
                              "+0.51 % ± 0.00 | 0.00200 | 0.00190 | 95.0 % | yes | take |"));
  EXPECT_THAT(text, HasSubstr("| F16 again |  |  | 100.0 ± 1.0 | 1.00 × | 1000.0 ± 1.0 |"));
  EXPECT_THAT(text, HasSubstr("| Q2_K | 1.1 kB | 8.50 | - | - | - | invalid |"));
  EXPECT_THAT(text, HasSubstr("Q2_K is invalid: logits that are not finite\n"));
  EXPECT_THAT(text, HasSubstr("**Take Q8_0: 200.0 tok/s, 2 times F16 (95% interval 1.9"));
  EXPECT_THAT(text, HasSubstr("Noise floor, from F16 measured again: "));
}

TEST(LadderOutputTest, ThisEnginesRoundingHasAColumnAndItsFloor) {
  LadderResult result = MakeResult();
  EXPECT_THAT(LadderMarkdown(result, Places()),
              AllOf(HasSubstr("| KLD | this engine's rounding |"), HasSubstr("the floor being F16's, 0.0000004.")));
  EXPECT_THAT(LadderMarkdown(result, Places()), Not(HasSubstr("quantised itself")));
  const Json json = LadderJson(result, Places());
  EXPECT_EQ(json["activations"], "fine");
  EXPECT_EQ(json["rungs"][1]["engine"]["kld_mean"], 0.0019);
  EXPECT_EQ(json["base"]["engine"]["kld_mean"], 4e-7);
  // A backend that has one arithmetic adds nothing.
  for (RungRuns& rung : result.runs.rungs)
    std::erase_if(rung.quality.metrics, [](const Metric& m) { return m.name == "engine_kld_mean"; });
  result.runs.base.quality = result.runs.rungs[0].quality;
  EXPECT_THAT(LadderMarkdown(result, Places()), Not(HasSubstr("floor being")));
  EXPECT_TRUE(LadderJson(result, Places())["rungs"][1]["engine"].is_null());
}

TEST(LadderOutputTest, AQuantisedBaseIsNoFloor) {
  LadderResult result = MakeResult();
  result.runs.base.quality.model.mix = "Q4_1 69%, Q8_0 31%, F32 <1%";
  EXPECT_THAT(
      LadderMarkdown(result, Places()),
      AllOf(HasSubstr("F16 is quantised itself: what that cost is in no figure here."), Not(HasSubstr("floor being"))));
}

TEST(LadderOutputTest, TheTextSaysWhatIsUnusualAboutTheMeasurement) {
  LadderResult result = MakeResult();
  EXPECT_THAT(LadderText(result, Places()), AllOf(Not(HasSubstr("starts")), Not(HasSubstr("--fresh"))));
  result.sessions = 3;
  result.measured_before = true;
  result.runs.placebo.reset();
  result.judgement = JudgeLadder(result.runs, {});
  EXPECT_THAT(LadderText(result, Places()), AllOf(HasSubstr("Measured in 3 starts"), HasSubstr("There is no placebo"),
                                                  HasSubstr("had been measured before"), HasSubstr("--fresh")));
}

TEST(LadderOutputTest, ABaseThatIsNoRungHasARowOfItsOwn) {
  LadderResult result = MakeResult();
  result.runs.rungs.erase(result.runs.rungs.begin());
  result.judgement = JudgeLadder(result.runs, {});
  EXPECT_THAT(LadderMarkdown(result, Places()),
              AllOf(HasSubstr("| F16 (base) | 2.1 kB |"), HasSubstr("| TG vs F16 |"), HasSubstr("times F16")));
}

TEST(LadderOutputTest, WhatCannotBeToldIsMarked) {
  LadderResult result = MakeResult();
  result.runs.rungs[1].tg = Speed("tg64", 100.0);
  result.judgement = JudgeLadder(result.runs, {});
  EXPECT_THAT(LadderMarkdown(result, Places()), HasSubstr("| 100.0 ± 1.0 | ~1.00 × |"));
}

TEST(LadderOutputTest, InvalidSpeedsAreToldWithTheirReasonAndJudgeNothing) {
  LadderResult result = MakeResult();
  for (Sample& sample : result.runs.placebo->tg.samples) sample.seconds *= 1.5;
  result.judgement = JudgeLadder(result.runs, {});
  EXPECT_THAT(LadderText(result, Places()), AllOf(HasSubstr("No pick: the speeds are invalid (placebo: "),
                                                  HasSubstr("The speeds are invalid: placebo: ")));
  const Json json = LadderJson(result, Places());
  EXPECT_TRUE(json["pick"].is_null());
  EXPECT_EQ(json["rungs"][1]["tg_vs_base"]["standing"], "invalid");
  EXPECT_TRUE(json["rungs"][1]["pareto"].is_null());
  EXPECT_EQ(json["rungs"][1]["loss"], "within");
}

TEST(LadderOutputTest, AnInvalidRungHasNullFiguresAndItsReason) {
  const Json rung = LadderJson(MakeResult(), Places())["rungs"][2];
  for (const char* field : {"tg", "pp", "ppl", "delta_pct", "delta_pct_se", "kld_mean"}) {
    ASSERT_TRUE(rung.contains(field));
    EXPECT_TRUE(rung[field].is_null()) << field;
  }
  EXPECT_EQ(rung["invalid"], "logits that are\nnot finite");
  EXPECT_EQ(rung["pick"], false);
  EXPECT_EQ(rung["bytes"], 1100);
}

TEST(LadderOutputTest, TheDocumentHasVerdictsGuardsAndThePlacebo) {
  const Json json = LadderJson(MakeResult(), Places());
  EXPECT_EQ(json["pick"], "Q8_0");
  EXPECT_GT(json["placebo"]["tg64"]["floor"], 0.0);
  EXPECT_EQ(json["verdicts"].back()["name"], "pick");
  EXPECT_FALSE(json["guards"].empty());
  EXPECT_EQ(json["rungs"][1]["tg_vs_base"]["standing"], "better");
  EXPECT_EQ(json["rungs"][1]["tg_vs_base"]["unit"], "round");
  EXPECT_EQ(json["rungs"][0]["delta_pct"], 0.0);
  EXPECT_EQ(json["rungs"][0]["top1_agree"], 1.0);
}

TEST(LadderOutputTest, AnIntervalWithoutAnEndIsNullInJson) {
  LadderResult result = MakeResult();
  for (RungRuns* rung : {&result.runs.base, &result.runs.rungs[0], &result.runs.rungs[1]}) {
    rung->quality.series[0].values.resize(3);
  }
  result.judgement = JudgeLadder(result.runs, {});
  const Json interval = LadderJson(result, Places())["rungs"][1]["delta_pct_ci"];
  EXPECT_TRUE(interval[0].is_null());
  EXPECT_TRUE(interval[1].is_null());
}

}  // namespace
}  // namespace assay
