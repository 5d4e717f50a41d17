#include "study/ladder.h"
#include "base/testing/temporary_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/error.h"
#include "base/rng.h"
#include "store/testing/error_of.h"

namespace assay {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

constexpr size_t kPositions = 500;  // windows, one position each
constexpr int kRounds = 5;
// Of four contenders and the placebo: two tests in each round.
constexpr size_t kSpeedCells = 4 * 2 * kRounds;

ModelIdentity IdentityOf(Rung rung) {
  const std::string name(TraitsOf(rung).name);
  const uint64_t bits = rung == Rung::kF16 ? 16 : rung == Rung::kQ8_0 ? 8 : rung == Rung::kQ4_K_M ? 5 : 3;
  return {.file = "model-" + name + ".gguf",
          .digest = "fp-" + name,
          .architecture = "qwen35",
          .name = "Model",
          .quant = name,
          .parameters = 1000,
          .file_bytes = 125 * bits + 10,
          .tensor_bytes = 125 * bits};
}

// Figures that are a function of the rung and the round alone, so that what is measured twice or in another order would
// still compare equal, and the counts tell.
class FakeLab : public LadderLab {
 public:
  ModelIdentity Prepare(Rung rung, const std::optional<std::string>& known, const LadderProgress& progress) override {
    progress(0.5);
    known_before[rung] = known;
    return IdentityOf(rung);
  }
  size_t FitTogether(std::span<const Rung> rungs) override { return std::min(fit, rungs.size()); }
  LadderQualities MeasureQuality(std::span<const Rung> rungs, const LadderProgress& progress) override {
    passes.emplace_back(rungs.begin(), rungs.end());
    progress(0.5);
    LadderQualities qualities;
    qualities.base = Quality(Rung::kF16);
    for (const Rung rung : rungs) {
      PerplexityResult result = Quality(rung);
      if (rung == broken) {
        result = {};
        result.failure = "logits that are not finite in window 3";
      } else {
        BaseComparison against;
        against.window_nll = Base();
        against.window_kld = against.window_top1 = std::vector<float>(against.window_nll.size(), 0.9F);
        result.base = against;
      }
      qualities.rungs.push_back(std::move(result));
    }
    return qualities;
  }
  std::vector<Sample> MeasureSpeed(const std::optional<Rung>& rung, std::span<const ThroughputTest> tests,
                                   int round) override {
    std::vector<Sample> samples;
    for (const ThroughputTest& test : tests) {
      const std::string name = rung.has_value() ? std::string(TraitsOf(*rung).name) : "source";
      ++counts[name + " " + test.name() + " " + std::to_string(round)];
      Sample& sample = samples.emplace_back();
      sample.tokens = test.tokens;
      const auto bytes = static_cast<double>(IdentityOf(rung.value_or(Rung::kF16)).tensor_bytes);
      sample.seconds = test.tokens * bytes / 1000.0 * (1.0 + 0.1 * round);
      // The source and its placebo take turns: one of them slower in the one round, the other in the next.
      if (!rung.has_value()) sample.seconds *= 1.0 + 1e-3 * (source_turns++ % 3);
      sample.conditions.load_average = 0.5;
    }
    return samples;
  }

  size_t steps() const {
    size_t steps = passes.size();
    for (const auto& [name, count] : counts) steps += static_cast<size_t>(count);
    return steps;
  }

  std::map<std::string, int> counts;  // how often each speed was measured
  std::map<Rung, std::optional<std::string>> known_before;
  std::vector<std::vector<Rung>> passes;  // through the text
  std::optional<Rung> broken;
  Arithmetic arithmetic = Arithmetic::kFine;  // of the quality
  size_t fit = 100;
  int source_turns = 0;

 private:
  static double Loss(Rung rung) {
    return rung == Rung::kF16 ? 0.0 : rung == Rung::kQ8_0 ? 0.05 : rung == Rung::kQ4_K_M ? 0.6 : 30.0;
  }

  PerplexityResult Quality(Rung rung) const {
    Rng own(static_cast<uint64_t>(rung));
    PerplexityResult result;
    result.activations = arithmetic;
    result.windows = static_cast<int>(kPositions);
    result.tokens_scored = static_cast<int64_t>(kPositions);
    for (const float base : Base()) {
      result.window_nll.push_back(static_cast<float>(static_cast<double>(base) + std::log1p(Loss(rung) / 100.0) +
                                                     (rung == Rung::kF16 ? 0.0 : 0.001 * own.Normal())));
    }
    return result;
  }

  // Windows whose mean is a perplexity of 20.
  static std::vector<float> Base() {
    Rng rng(7);
    std::vector<float> nll;
    while (nll.size() < kPositions) {
      const double scatter = rng.Normal();
      for (const double sign : {1.0, -1.0}) nll.push_back(static_cast<float>(std::log(20.0) + sign * scatter));
    }
    return nll;
  }
};

LadderSettings Settings() {
  LadderSettings settings;
  settings.rungs = {Rung::kF16, Rung::kQ8_0, Rung::kQ4_K_M, Rung::kQ2_K};
  settings.repetitions = kRounds;
  return settings;
}

LadderSubject Subject() {
  LadderSubject subject;
  subject.source = IdentityOf(Rung::kF16);
  subject.text = "prose.txt";
  subject.text_hash = "0123";
  subject.backend = "cpu: avx2, 2 threads";
  subject.threads = 2;
  subject.environment.cpu = "A CPU";
  return subject;
}

void Ignore(const std::string& /*step*/, double /*share*/) {}

LadderResult Climb(const std::filesystem::path& path, LadderLab& lab, const LadderWatch& watch = Ignore,
                   const LadderSettings& settings = Settings(), bool fresh = false) {
  Store store(path);
  return RunLadder(store, lab, Subject(), settings, {}, fresh, watch);
}

std::vector<double> Rates(const RunRecord& run) {
  std::vector<double> rates;
  for (const Sample& sample : run.samples) rates.push_back(sample.tok_per_s());
  return rates;
}

double Figure(const RunRecord& run, const char* name) {
  const Metric* metric = FindMetric(run, name);
  return metric != nullptr ? metric->value : NAN;
}

std::vector<std::string> Outcomes(const LadderResult& result) {
  std::vector<std::string> outcomes;
  for (const Verdict& verdict : result.judgement.verdicts) {
    outcomes.push_back(verdict.name + " " + verdict.about + ": " + verdict.outcome);
  }
  return outcomes;
}

void ExpectSameTable(const LadderResult& a, const LadderResult& b) {
  ASSERT_EQ(a.runs.rungs.size(), b.runs.rungs.size());
  EXPECT_EQ(Figure(a.runs.base.quality, "ppl"), Figure(b.runs.base.quality, "ppl"));
  for (size_t i = 0; i < a.runs.rungs.size(); ++i) {
    const RungRuns& x = a.runs.rungs[i];
    const RungRuns& y = b.runs.rungs[i];
    EXPECT_EQ(x.quality.model, y.quality.model);
    EXPECT_EQ(x.quality.metrics, y.quality.metrics);
    EXPECT_EQ(Rates(x.tg).size(), Rates(y.tg).size());
    EXPECT_EQ(Rates(x.pp).size(), Rates(y.pp).size());
  }
  EXPECT_EQ(Outcomes(a), Outcomes(b));
}

// How often each thing but the source's speed, which is measured twice, was measured.
void ExpectEachOnce(FakeLab& lab) {
  for (const auto& [name, count] : lab.counts) EXPECT_EQ(count, name.starts_with("source") ? 2 : 1) << name;
}

TEST(LadderTest, MeasuresEveryRungOnceAndPicks) {
  const TemporaryDirectory directory;
  FakeLab lab;
  const LadderResult result = Climb(directory / "a.db", lab);
  const std::vector<RungRuns>& rungs = result.runs.rungs;
  ASSERT_THAT(rungs, SizeIs(4));
  EXPECT_TRUE(result.runs.IsBase(rungs[0]));
  EXPECT_EQ(rungs[0].name, "F16");
  EXPECT_NEAR(Figure(rungs[2].quality, "delta_pct"), 0.6, 0.02);  // four errors of 0.1% / sqrt(500)
  EXPECT_THAT(rungs[2].tg.samples, SizeIs(kRounds));
  ASSERT_TRUE(result.runs.placebo.has_value());
  EXPECT_THAT(result.runs.placebo->tg.samples, SizeIs(kRounds));
  EXPECT_EQ(result.judgement.decision.pick, 2U) << result.judgement.sentence();
  EXPECT_THAT(result.judgement.floors, SizeIs(2));
  EXPECT_FALSE(result.measured_before);
  EXPECT_EQ(Figure(result.runs.base.quality, "tokens_scored"), static_cast<double>(kPositions));
  // The base is the F16 rung: three others go through the text, together with it.
  EXPECT_THAT(lab.passes, ElementsAre(ElementsAre(Rung::kQ8_0, Rung::kQ4_K_M, Rung::kQ2_K)));
  EXPECT_THAT(lab.counts, SizeIs(kSpeedCells));
  ExpectEachOnce(lab);
}

TEST(LadderTest, WhatDoesNotFitTogetherGoesThroughTheTextInSeveralPasses) {
  const TemporaryDirectory directory;
  FakeLab lab;
  lab.fit = 2;
  const LadderResult result = Climb(directory / "a.db", lab);
  EXPECT_THAT(lab.passes, ElementsAre(ElementsAre(Rung::kQ8_0, Rung::kQ4_K_M), ElementsAre(Rung::kQ2_K)));
  FakeLab at_once;
  ExpectSameTable(Climb(directory / "b.db", at_once), result);
}

TEST(LadderTest, WhatIsJudgedIsKeptWithItsEvidence) {
  const TemporaryDirectory directory;
  FakeLab lab;
  const LadderResult result = Climb(directory / "a.db", lab);
  Store store(directory / "a.db");
  const std::vector<StoredRun> kept = store.RunsOf("ladder", Subject().source.digest);
  ASSERT_THAT(kept, SizeIs(1));
  const RunRecord& record = kept[0].record;
  EXPECT_EQ(record.verdicts, result.judgement.verdicts);
  EXPECT_EQ(record.guards, result.judgement.guards);
  EXPECT_EQ(record.verdicts.back().outcome, "Q4_K_M");
  EXPECT_EQ(SettingOf(record, "placebo"), "measured");
  EXPECT_EQ(SettingOf(record, "max_loss_pct"), "1");
  for (const StoredRun& run : store.AllRuns()) {
    if (run.record.kind == "throughput") {
      // Its own guard first: finite.
      EXPECT_EQ(std::vector(run.record.guards.begin() + 1, run.record.guards.end()), result.judgement.guards);
    } else {
      EXPECT_EQ(SettingOf(run.record, "arithmetic"), "fine") << run.record.kind;
    }
  }
  LadderSettings settings = Settings();
  FakeLab again;
  RunLadder(store, again, Subject(), settings, {.max_loss_pct = 50.0}, false, Ignore);
  EXPECT_THAT(again.counts, IsEmpty()) << "another tolerance only decides anew";
  EXPECT_THAT(store.RunsOf("ladder", Subject().source.digest), SizeIs(2));
}

TEST(LadderTest, WithoutAPlaceboTheRecordSaysSo) {
  const TemporaryDirectory directory;
  FakeLab lab;
  LadderSettings settings = Settings();
  settings.placebo = false;
  const LadderResult result = Climb(directory / "a.db", lab, Ignore, settings);
  EXPECT_FALSE(result.runs.placebo.has_value());
  EXPECT_THAT(result.judgement.floors, IsEmpty());
  EXPECT_THAT(lab.counts, Each(Pair(testing::_, 1)));
  Store store(directory / "a.db");
  for (const StoredRun& run : store.AllRuns()) {
    EXPECT_EQ(SettingOf(run.record, "placebo"), run.record.kind == "perplexity" ? "" : "none") << run.record.kind;
  }
}

TEST(LadderTest, EveryRoundTakesAllRungsBeforeTheNextRound) {
  const TemporaryDirectory directory;
  FakeLab lab;
  std::vector<int> rounds;
  Climb(directory / "a.db", lab, [&](const std::string& step, double) {
    if (step.starts_with("speed, round ")) rounds.push_back(step[13] - '0');
  });
  EXPECT_THAT(rounds, SizeIs(5 * kRounds));
  EXPECT_TRUE(std::is_sorted(rounds.begin(), rounds.end()));
}

TEST(LadderTest, AFinishedLadderIsReadFromTheStore) {
  const TemporaryDirectory directory;
  FakeLab first;
  const LadderResult measured = Climb(directory / "a.db", first);
  FakeLab second;
  const LadderResult read = Climb(directory / "a.db", second);
  EXPECT_THAT(second.counts, IsEmpty());
  EXPECT_TRUE(read.measured_before);
  EXPECT_EQ(read.sessions, 1);
  ExpectSameTable(measured, read);
  EXPECT_EQ(read.judgement.sentence(), measured.judgement.sentence());
}

TEST(LadderTest, MeasuresAnewWhenAskedTo) {
  const TemporaryDirectory directory;
  FakeLab lab;
  Climb(directory / "a.db", lab);
  FakeLab again;
  const LadderResult result = Climb(directory / "a.db", again, Ignore, Settings(), true);
  EXPECT_THAT(again.counts, SizeIs(kSpeedCells));
  EXPECT_THAT(again.passes, SizeIs(1));
  EXPECT_FALSE(result.measured_before);
  Store store(directory / "a.db");
  // Four perplexities, ten speeds, one judgement.
  EXPECT_THAT(store.AllRuns(), SizeIs(2 * 15)) << "the old runs are kept";
}

TEST(LadderTest, OtherSettingsAreAnotherLadder) {
  const TemporaryDirectory directory;
  FakeLab lab;
  Climb(directory / "a.db", lab);
  LadderSettings settings = Settings();
  settings.windows = 7;
  FakeLab other;
  Climb(directory / "a.db", other, Ignore, settings);
  EXPECT_THAT(other.counts, SizeIs(kSpeedCells));
}

// A database that was carried to another machine, or is used by another version of Assay.
TEST(LadderTest, AnotherEnvironmentOrModelIsAnotherLadder) {
  const TemporaryDirectory directory;
  FakeLab lab;
  Climb(directory / "a.db", lab);
  LadderSubject subject = Subject();
  subject.environment.cpu = "Another CPU";
  Store store(directory / "a.db");
  FakeLab elsewhere;
  EXPECT_FALSE(RunLadder(store, elsewhere, subject, Settings(), {}, false, Ignore).measured_before);
  EXPECT_THAT(elsewhere.counts, SizeIs(kSpeedCells));
  EXPECT_THAT(elsewhere.passes, SizeIs(1));
}

TEST(LadderTest, FiguresOfAnotherArithmeticAreMeasuredAnew) {
  const TemporaryDirectory directory;
  FakeLab lab;
  Climb(directory / "a.db", lab);
  LadderSettings settings = Settings();
  settings.arithmetic = Arithmetic::kEveryday;
  FakeLab everyday;
  everyday.arithmetic = Arithmetic::kEveryday;
  const LadderResult result = Climb(directory / "a.db", everyday, Ignore, settings);
  EXPECT_THAT(everyday.passes, SizeIs(1));
  for (const RungRuns& rung : result.runs.rungs) EXPECT_EQ(SettingOf(rung.quality, "arithmetic"), "everyday");
}

struct Stop {};

// Stops the ladder at every step it has, one start after the other: each start gets one step further than the one
// before, and what was measured is never measured again.
TEST(LadderTest, InterruptedAnywhereItEndsWithTheSameTableMeasuredOnce) {
  const TemporaryDirectory directory;
  FakeLab straight;
  const LadderResult expected = Climb(directory / "straight.db", straight);

  FakeLab lab;
  std::optional<LadderResult> result;
  int starts = 0;
  for (; !result.has_value() && starts < 100; ++starts) {
    const size_t measured = lab.steps();
    try {
      result = Climb(directory / "broken.db", lab, [&](const std::string& step, double share) {
        const size_t now = lab.steps();
        const bool before_a_step = share == 0.0 || step.starts_with("speed");
        if (before_a_step && now > measured) throw Stop();
      });
    } catch (const Stop&) {
    }
  }
  ASSERT_TRUE(result.has_value());
  EXPECT_GT(starts, 20);
  EXPECT_THAT(lab.passes, SizeIs(1));
  EXPECT_THAT(lab.counts, SizeIs(kSpeedCells));
  ExpectEachOnce(lab);
  EXPECT_EQ(result->runs.rungs[2].quality.metrics, expected.runs.rungs[2].quality.metrics);
  EXPECT_GT(result->sessions, 1);
}

TEST(LadderTest, AStepThatIsInterruptedInItsMiddleIsDoneAgain) {
  const TemporaryDirectory directory;
  FakeLab lab;
  EXPECT_THROW(Climb(directory / "a.db", lab,
                     [](const std::string& step, double share) {
                       if (step.ends_with(": perplexity") && share > 0.0) throw Stop();
                     }),
               Stop);
  Climb(directory / "a.db", lab);
  EXPECT_THAT(lab.passes, SizeIs(2));
  ExpectEachOnce(lab);
}

TEST(LadderTest, AnInvalidRungIsKeptWithItsReasonAndNotTaken) {
  const TemporaryDirectory directory;
  FakeLab lab;
  lab.broken = Rung::kQ4_K_M;
  const LadderResult result = Climb(directory / "a.db", lab);
  const RungRuns& broken = result.runs.rungs[2];
  EXPECT_FALSE(broken.valid());
  EXPECT_THAT(broken.quality.guards[0].evidence, HasSubstr("not finite"));
  EXPECT_EQ(result.judgement.decision.pick, 1U);
  EXPECT_EQ(lab.counts.count("Q4_K_M tg64 0"), 0U) << "its speed is of no use";
  FakeLab again;
  EXPECT_TRUE(Climb(directory / "a.db", again).measured_before);
}

TEST(LadderTest, TheFileThatWasMadeIsKnownToTheNextStart) {
  const TemporaryDirectory directory;
  FakeLab lab;
  Climb(directory / "a.db", lab);
  EXPECT_EQ(lab.known_before.at(Rung::kQ8_0), std::nullopt);
  Climb(directory / "a.db", lab);
  EXPECT_EQ(lab.known_before.at(Rung::kQ8_0), "fp-Q8_0");
}

// The sentence needs something to compare with.
TEST(LadderTest, ABaseThatIsNoRungIsMeasuredAllTheSame) {
  const TemporaryDirectory directory;
  FakeLab lab;
  LadderSettings settings = Settings();
  settings.rungs = {Rung::kQ8_0};
  const LadderResult result = Climb(directory / "a.db", lab, Ignore, settings);
  EXPECT_NEAR(Figure(result.runs.base.quality, "ppl"), 20.0, 1e-4);
  EXPECT_THAT(lab.passes, ElementsAre(ElementsAre(Rung::kQ8_0)));
  EXPECT_EQ(lab.counts.at("source tg64 0"), 2) << "the base and its placebo";
  EXPECT_THAT(result.judgement.sentence(), HasSubstr("times F16"));
}

TEST(LadderTest, TheBaseAloneIsScoredByItself) {
  const TemporaryDirectory directory;
  FakeLab lab;
  LadderSettings settings = Settings();
  settings.rungs = {Rung::kF16};
  EXPECT_THAT(Climb(directory / "a.db", lab, Ignore, settings).judgement.sentence(), HasSubstr("F16 alone"));
  EXPECT_THAT(lab.passes, ElementsAre(IsEmpty()));
}

// Whatever a damaged database says is invalid without a reason is not told.
TEST(LadderTest, AnInvalidRunWithoutItsReasonIsABadDatabase) {
  const TemporaryDirectory directory;
  FakeLab lab;
  Climb(directory / "a.db", lab);
  {
    Database database(directory / "a.db");
    database.Execute("UPDATE run SET status = 'invalid' WHERE kind = 'perplexity'; DELETE FROM guard;");
  }
  const Error error = ErrorOf([&] { Climb(directory / "a.db", lab); });
  EXPECT_EQ(error.kind(), ErrorKind::kBadFile);
  EXPECT_THAT(error.what(), HasSubstr("--fresh"));
}

TEST(LadderTest, RefusesSettingsThatMakeNoSense) {
  const TemporaryDirectory directory;
  FakeLab lab;
  LadderSettings twice = Settings();
  twice.rungs.push_back(Rung::kQ8_0);
  const Error error = ErrorOf([&] { Climb(directory / "a.db", lab, Ignore, twice); });
  EXPECT_EQ(error.kind(), ErrorKind::kUsage);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("Q8_0"), HasSubstr("twice")));
  LadderSettings none = Settings();
  none.rungs.clear();
  EXPECT_EQ(ErrorOf([&] { Climb(directory / "a.db", lab, Ignore, none); }).kind(), ErrorKind::kUsage);
}

}  // namespace
}  // namespace assay
