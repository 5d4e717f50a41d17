#include "render/remote_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "judge/burst_figures.h"

namespace assay {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// Rounds of three tokens, drafted in 8 ms and verified in 12; a plain step takes 10 ms.
RunRecord Cell(double wire, double in_time, double rate) {
  RunRecord run;
  run.base = ModelIdentity{.file = "draft", .digest = "d", .architecture = {}, .name = {}, .quant = {}};
  run.settings = {{"k", "4"}, {"prompt_set", "code"}};
  const BurstFigures figures = {
      .bursts = 400,
      .failed = 3,
      .queue_seconds = 0.0001,
      .sent_bytes = 43.0,
      .received_bytes = 61.0,
      .overhead_seconds = -0.003,
      .hidden = 0.64,
      .round = {.plain = 0.010, .tokens = 3.0, .draft = 0.008, .verify = 0.012, .wire = wire, .in_time = in_time},
      .round_seconds = 0.0251};
  run.metrics = BurstMetrics(figures);
  run.metrics.push_back({"tok_per_s", rate});
  return run;
}

PairResult Pair(const std::string& name, const std::optional<RemoteClaim>& remote, RunRecord run) {
  PairResult pair;
  pair.subject = {.target = {},
                  .draft = run.base,
                  .draft_name = name,
                  .backend = "cpu",
                  .backend_description = "cpu",
                  .threads = 2,
                  .logit_hashes = {},
                  .remote = remote};
  pair.runs = {std::move(run)};
  return pair;
}

const RemoteClaim kClaim = {.name = "grpc://two:1",
                            .drafter = {.backend = "cpu: AVX2",
                                        .device = "a Xeon",
                                        .machine = "m2",
                                        .process = "p2",
                                        .model_digest = "d",
                                        .address = "grpc://two:1"},
                            .home_machine = "m1",
                            .home_process = "p1"};

SpeculationStudy Study(std::vector<PairResult> pairs) {
  return {.target = "target.gguf",
          .database = "assay.db",
          .settings = {},
          .environment = {},
          .drafts = {},
          .pairs = std::move(pairs)};
}

TEST(RemoteOutput, SaysWhoDraftedWhatItTookAndWhenItPays) {
  const SpeculationStudy study = Study(
      {Pair("draft.gguf", std::nullopt, Cell(0.0, 0.0, 125.0)), Pair("grpc://two:1", kClaim, Cell(0.004, 0.0, 120.0))});
  const std::string text = RemoteText(study);
  EXPECT_THAT(text, AllOf(HasSubstr("on a Xeon (cpu: AVX2), machine m2\n"), HasSubstr("the drafter 8.00 ms"),
                          HasSubstr("the wire 4.00 ms"), HasSubstr("43 + 61 bytes"), HasSubstr("-3.00 ms (median)"),
                          HasSubstr("64%"), HasSubstr("3 of 400 bursts failed")));
  EXPECT_THAT(text, HasSubstr("a round should take 24.00 ms and took 25.10; it pays for round trips up to 10.00 ms"));
  EXPECT_THAT(text, HasSubstr("-4.0% of the rate with draft.gguf at home (8.00 ms a burst), which it beats"));
  const PairResult& remote = study.pairs[1];
  const Json json = RemoteJson(study, remote, remote.runs[0]);
  EXPECT_EQ(json["machine"], "m2");
  EXPECT_EQ(json["same_machine"], false);
  EXPECT_EQ(json["pays"], "within");
  EXPECT_NEAR(json["longest_wire_s"].get<double>(), 0.010, 1e-12);
  EXPECT_NEAR(json["predicted_speedup"].get<double>(), 1.25, 1e-12);
  EXPECT_EQ(json["at_home"]["draft"], "draft.gguf");
  EXPECT_NEAR(json["at_home"]["rate_ratio"].get<double>(), 0.96, 1e-12);
  EXPECT_NEAR(BurstJson(remote.runs[0])["predicted_round_s"].get<double>(), 0.024, 1e-12);
  EXPECT_EQ(BurstJson(remote.runs[0])["failed"], 3);
  EXPECT_TRUE(RemoteJson(study, study.pairs[0], study.pairs[0].runs[0]).is_null());
}

TEST(RemoteOutput, ADraftThatAlwaysOrNeverPaysHasNoLongestRoundTrip) {
  RunRecord never = Cell(0.004, 0.0, 100.0);
  for (Metric& metric : never.metrics) {
    if (metric.name == "burst_tokens") metric.value = 1.0;
  }
  const SpeculationStudy study = Study({Pair("grpc://two:1", kClaim, Cell(0.004, 1.0, 100.0)),
                                        Pair("grpc://three:1", kClaim, never), Pair("ngram", std::nullopt, {})});
  EXPECT_THAT(RemoteText(study), AllOf(HasSubstr("it pays for any round trip"), HasSubstr("it pays for no round trip"),
                                       Not(HasSubstr("at home")), Not(HasSubstr("ngram"))));
  const Json always = RemoteJson(study, study.pairs[0], study.pairs[0].runs[0]);
  EXPECT_EQ(always["pays"], "always");
  EXPECT_TRUE(always["longest_wire_s"].is_null());
  EXPECT_TRUE(always["at_home"].is_null());
  EXPECT_EQ(RemoteJson(study, study.pairs[1], study.pairs[1].runs[0])["pays"], "never");
}

TEST(RemoteOutput, WithoutAnAnswerNothingIsClaimed) {
  RunRecord run;
  run.settings = {{"k", "4"}, {"prompt_set", "code"}};
  PairResult pair = Pair("grpc://two:1", kClaim, Cell(0.0, 0.0, 1.0));
  pair.runs = {run};
  const SpeculationStudy study = Study({pair});
  EXPECT_THAT(RemoteText(study), HasSubstr("no burst was answered"));
  EXPECT_TRUE(BurstJson(run).is_null());
  EXPECT_TRUE(RemoteJson(study, study.pairs[0], run)["pays"].is_null());
}

}  // namespace
}  // namespace assay
