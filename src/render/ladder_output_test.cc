#include "render/ladder_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace assay {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::vector<Sample> Samples(double rate) {
  std::vector<Sample> samples;
  for (int round = 0; round < 2; ++round) {
    Sample sample;
    sample.round = round;
    sample.tokens = 100;
    sample.seconds = 100.0 / (rate + (round == 0 ? -1.0 : 1.0));
    samples.push_back(sample);
  }
  return samples;
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
  result.base.ppl = 20.0;
  result.windows = 40;
  for (const Rung name : result.settings.rungs) {
    LadderRung rung;
    rung.rung = name;
    rung.model.parameters = 1000;
    rung.model.tensor_bytes = 1062;
    rung.model.file_bytes = 1100;
    rung.quality.ppl = 20.1;
    rung.quality.delta_pct = 0.5;
    rung.quality.delta_pct_se = 0.05;
    rung.tg = Samples(100.0);
    rung.pp = Samples(1000.0);
    rung.verdict.valid = true;
    result.rungs.push_back(rung);
  }
  result.rungs[1].verdict.pick = true;
  result.rungs[1].verdict.pareto = true;
  result.rungs[1].verdict.loss = Loss::kWithin;
  result.rungs[2].invalid = "logits that are\nnot finite";
  result.rungs[2].tg.clear();
  result.rungs[2].pp.clear();
  result.rungs[2].verdict = {};
  result.verdict.pick = 1;
  result.verdict.sentence = "Take Q8_0: because.";
  return result;
}

LadderPlaces Places() {
  return {.folder = "rungs", .database = "assay.db", .rung_files = {"model.gguf", "rungs/8.gguf", "rungs/2.gguf"}};
}

TEST(LadderOutputTest, MarkdownHasARowForEachRungAndTheSentence) {
  const std::string text = LadderMarkdown(MakeResult(), Places());
  EXPECT_THAT(text,
              HasSubstr("| Q8_0 | 1.1 kB | 8.50 | 100.0 ± 1.4 | 1000.0 ± 1.4 | 20.100 ± 0.000 | +0.50 % ± 0.05 |"));
  EXPECT_THAT(text, HasSubstr("| yes | take |"));
  EXPECT_THAT(text, HasSubstr("| Q2_K | 1.1 kB | 8.50 | - | - | invalid |"));
  EXPECT_THAT(text, HasSubstr("Q2_K is invalid: logits that are not finite\n"));
  EXPECT_THAT(text, HasSubstr("**Take Q8_0: because.**"));
}

TEST(LadderOutputTest, TheTextSaysWhatIsUnusualAboutTheMeasurement) {
  LadderResult result = MakeResult();
  EXPECT_THAT(LadderText(result, Places()),
              AllOf(HasSubstr("all rungs in memory together"), Not(HasSubstr("starts")), Not(HasSubstr("--fresh"))));
  result.together = false;
  result.sessions = 3;
  result.measured_before = true;
  EXPECT_THAT(LadderText(result, Places()),
              AllOf(HasSubstr("each was loaded for its turn"), HasSubstr("Measured in 3 starts"),
                    HasSubstr("had been measured before"), HasSubstr("--fresh")));
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

TEST(LadderOutputTest, AnIntervalWithoutAnEndIsNullInJson) {
  LadderResult result = MakeResult();
  result.rungs[1].verdict.loss_pct = {.mean = 0.5, .low = -100.0, .high = std::numeric_limits<double>::infinity()};
  const Json interval = LadderJson(result, Places())["rungs"][1]["delta_pct_ci"];
  EXPECT_EQ(interval[0], -100.0);
  EXPECT_TRUE(interval[1].is_null());
}

}  // namespace
}  // namespace assay
