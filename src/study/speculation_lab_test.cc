// Drafts from elsewhere, measured: what a run that calls itself remote must show.

#include "study/speculation_lab.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "base/error.h"
#include "base/testing/temporary_directory.h"
#include "base/whereabouts.h"
#include "decode/testing/distant_drafter.h"
#include "measure/environment.h"

namespace assay {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const std::filesystem::path kModels = std::filesystem::path(ASSAY_SOURCE_DIR) / "models";
const std::string kName = "grpc://distant:1";

class SpeculationLabTest : public testing::Test {
 protected:
  // One cell: k=4, two prompts, once.
  RunRecord Measure(const LabDraft& draft) {
    EngineSpeculationLab lab(target_, identity_, draft, sets_, {.threads = 1, .tokens = kTokens, .max_draft = 4});
    const SpeculationSettings settings = {
        .lengths = {{"4", {.draft_length = 4}}}, .tokens = kTokens, .repetitions = 1, .placebo = false};
    return MeasurePair(store_, lab, sets_, settings, [](const std::string&, double) {}).runs.front();
  }

  // The draft model on a backend of its own, as another process would have it.
  DrafterFactory Distant(const DistantDrafterOptions& options) {
    return [this, options](const ModelDrafterOptions& drafter) {
      return std::make_unique<DistantDrafter>(MakeModelDrafter(elsewhere_.engine, drafter), options);
    };
  }

  static GuardResult Guard(const RunRecord& run, const std::string& name) {
    for (const GuardResult& guard : run.guards) {
      if (guard.name == name) return guard;
    }
    return {.name = "none", .tripped = true};
  }
  static double Value(const RunRecord& run, const char* name) {
    const Metric* metric = FindMetric(run, name);
    EXPECT_NE(metric, nullptr) << name;
    return metric != nullptr ? metric->value : -1.0;
  }

  static constexpr int kTokens = 24;
  std::unique_ptr<Backend> backend_ = MakeBackend("", 1);
  std::unique_ptr<Backend> other_backend_ = MakeBackend("", 1);
  LoadedModel target_{kModels / "tiny-qwen35.gguf", *backend_};
  LoadedModel home_draft_{kModels / "tiny-qwen35-draft.gguf", *backend_};
  LoadedModel elsewhere_{kModels / "tiny-qwen35-draft.gguf", *other_backend_};
  ModelIdentity identity_ = Identify(target_.model->file);
  std::vector<PromptSet> sets_ = {{"text", {{"a", "Once upon a time there was"}, {"b", "The sun and the moon"}}}};
  const TemporaryDirectory directory_;
  Store store_{directory_ / "assay.db"};
};

TEST_F(SpeculationLabTest, AnHonestRemoteRunShowsWhoDraftedAndPasses) {
  const RunRecord run = Measure({.name = kName, .elsewhere = Distant({.round_trip = std::chrono::microseconds(500)})});
  EXPECT_FALSE(Guard(run, "lossless").tripped);
  const GuardResult remote = Guard(run, "remote");
  EXPECT_FALSE(remote.tripped || remote.warning) << remote.evidence;
  EXPECT_THAT(remote.evidence,
              AllOf(HasSubstr("another processor"), HasSubstr("machine 00000000000000aa"), HasSubstr("model digest")));
  EXPECT_EQ(run.base->digest, "digest");
  EXPECT_EQ(SettingOf(run, "draft_device"), "another processor");
  EXPECT_EQ(SettingOf(run, "draft_machine"), "00000000000000aa");
  EXPECT_EQ(SettingOf(run, "home_machine"), MachineId());
  EXPECT_EQ(SettingOf(run, "draft_logit_hash").size(), 16U);
  EXPECT_EQ(SettingOf(run, "logit_hashes").size(), 16U) << "the target's alone";
  EXPECT_GT(Value(run, "bursts"), 0.0);
  EXPECT_EQ(Value(run, "bursts_failed"), 0.0);
  EXPECT_GT(Value(run, "burst_draft_s"), 0.0);
  EXPECT_NEAR(Value(run, "burst_wire_s"), 0.0005, 1e-9);
  EXPECT_EQ(Value(run, "burst_sent_bytes"), 40.0);
  EXPECT_GT(Value(run, "burst_round_s"), Value(run, "burst_verify_s"));
  EXPECT_EQ(static_cast<double>(SeriesOf(run, "burst_waited_s").size()), Value(run, "bursts"));
  const std::vector<StoredRun> stored = store_.AllRuns();
  EXPECT_EQ(stored.back().record.metrics, run.metrics);
  EXPECT_EQ(stored.back().record.settings, run.settings);
}

TEST_F(SpeculationLabTest, ADraftThatIsMadeAtHomeUnderARemoteNameIsRefused) {
  // As the study's was: it asked for another machine, and the work was done here.
  const RunRecord run = Measure({.name = kName, .elsewhere = [&](const ModelDrafterOptions& options) {
                                   return MakeModelDrafter(home_draft_.engine, options);
                                 }});
  EXPECT_FALSE(run.valid());
  EXPECT_FALSE(Guard(run, "lossless").tripped);
  EXPECT_TRUE(Guard(run, "remote").tripped);
  EXPECT_THAT(Guard(run, "remote").evidence, AllOf(HasSubstr("says grpc://distant:1, but"), HasSubstr("at home")));
}

TEST_F(SpeculationLabTest, ADraftThatFallsBackToHomeInTheMiddleIsRefused) {
  // Elsewhere for three bursts, then here.
  class FallsBack : public Drafter {
   public:
    FallsBack(std::unique_ptr<Drafter> distant, std::unique_ptr<Drafter> home)
        : distant_(std::move(distant)), home_(std::move(home)) {}
    std::string description() const override { return distant_->description(); }
    std::shared_ptr<const DrafterIdentity> identity() const override { return distant_->identity(); }
    void Prepare(std::span<const Token> prompt) override {
      distant_->Prepare(prompt);
      home_->Prepare(prompt);
    }
    void Begin(std::span<const Token> text, int count, const SamplingOptions& sampling, Rng& rng) override {
      whose_ = ++bursts_ <= 3 ? distant_.get() : home_.get();
      whose_->Begin(text, count, sampling, rng);
    }
    Draft Take() override { return whose_->Take(); }

   private:
    std::unique_ptr<Drafter> distant_, home_;
    Drafter* whose_ = nullptr;
    int bursts_ = 0;
  };
  const RunRecord run = Measure({.name = kName, .elsewhere = [&](const ModelDrafterOptions& options) {
                                   return std::make_unique<FallsBack>(Distant({})(options),
                                                                      MakeModelDrafter(home_draft_.engine, options));
                                 }});
  EXPECT_FALSE(Guard(run, "lossless").tripped);
  EXPECT_TRUE(Guard(run, "remote").tripped);
  EXPECT_THAT(Guard(run, "remote").evidence, HasSubstr("at home"));
}

TEST_F(SpeculationLabTest, BurstsThatFailMarkTheRun) {
  const RunRecord run = Measure({.name = kName, .elsewhere = Distant({.failing = {2, 4}})});
  EXPECT_FALSE(Guard(run, "lossless").tripped);
  const GuardResult remote = Guard(run, "remote");
  EXPECT_FALSE(remote.tripped);
  EXPECT_TRUE(remote.warning);
  EXPECT_THAT(remote.evidence, HasSubstr("2 of "));
  EXPECT_EQ(Value(run, "bursts_failed"), 2.0);
}

TEST_F(SpeculationLabTest, OneThatDoesNotSayWhoItIsIsNoDraft) {
  class Nameless : public HomeDrafter {
   public:
    std::string description() const override { return "nameless"; }
    void Prepare(std::span<const Token>) override {}
    std::optional<std::string> failure() const override { return "nobody listens at grpc://distant:1"; }

   private:
    Draft Propose(std::span<const Token>, int, const SamplingOptions&, Rng&) override { return {}; }
  };
  try {
    Measure({.name = kName, .elsewhere = [](const ModelDrafterOptions&) { return std::make_unique<Nameless>(); }});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("--draft grpc://distant:1"), HasSubstr("nobody listens")));
  }
}

// So that a remote draft can be held against the same one at home.
TEST_F(SpeculationLabTest, ADraftAtHomeHasTheSameFiguresAndTheSameLogits) {
  const RunRecord home = Measure({.name = "draft.gguf", .model = &home_draft_});
  const RunRecord remote = Measure({.name = kName, .elsewhere = Distant({})});
  EXPECT_EQ(Guard(home, "remote").name, "none");
  EXPECT_EQ(Value(home, "bursts"), Value(remote, "bursts"));
  EXPECT_EQ(Value(home, "burst_wire_s"), 0.0);
  EXPECT_EQ(Value(home, "burst_received_bytes"), 0.0);
  EXPECT_EQ(Value(home, "burst_in_time"), 0.0);
  EXPECT_EQ(SettingOf(home, "draft_address"), "");
  EXPECT_EQ(SettingOf(home, "draft_logit_hash"), SettingOf(remote, "draft_logit_hash"));
}

}  // namespace
}  // namespace assay
