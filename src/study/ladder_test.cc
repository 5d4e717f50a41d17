#include "study/ladder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/error.h"
#include "base/rng.h"
#include "store/testing/directory.h"

namespace assay {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

constexpr int kPositions = 500;

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
  PerplexityResult MeasureBase(const LadderProgress& progress) override { return Quality(Rung::kF16, progress); }
  PerplexityResult MeasureQuality(Rung rung, const LadderProgress& progress) override {
    if (rung == broken) Fail(ErrorKind::kInvalid, "logits that are not finite in window 3");
    PerplexityResult result = Quality(rung, progress);
    BaseComparison against;
    against.window_nll = against.window_kld = against.window_top1 = result.window_nll;
    result.base = against;
    return result;
  }
  bool PrepareSpeed(std::span<const Rung> rungs) override {
    prepared.assign(rungs.begin(), rungs.end());
    return together;
  }
  Sample MeasureSpeed(Rung rung, const ThroughputTest& test, int round) override {
    ++counts[std::string(TraitsOf(rung).name) + " " + test.name() + " " + std::to_string(round)];
    Sample sample;
    sample.tokens = test.tokens;
    sample.seconds = test.tokens / (1000.0 / static_cast<double>(IdentityOf(rung).tensor_bytes)) * (1.0 + 0.1 * round);
    sample.conditions.load_average = 0.5;
    return sample;
  }

  std::map<std::string, int> counts;  // how often each thing was measured
  std::map<Rung, std::optional<std::string>> known_before;
  std::vector<Rung> prepared;
  std::optional<Rung> broken;
  bool together = true;

 private:
  static double Loss(Rung rung) {
    return rung == Rung::kF16 ? 0.0 : rung == Rung::kQ8_0 ? 0.05 : rung == Rung::kQ4_K_M ? 0.6 : 30.0;
  }

  PerplexityResult Quality(Rung rung, const LadderProgress& progress) {
    ++counts[std::string(TraitsOf(rung).name) + " perplexity"];
    progress(0.5);
    Rng rng(7);
    Rng own(static_cast<uint64_t>(rung));
    PerplexityResult result;
    result.windows = 10;
    result.tokens_scored = kPositions;
    for (int i = 0; i < kPositions; ++i) {
      const double base = 3.0 + rng.Normal();
      result.window_nll.push_back(static_cast<float>(base + std::log1p(Loss(rung) / 100.0) +
                                                     (rung == Rung::kF16 ? 0.0 : 0.001 * own.Normal())));
    }
    return result;
  }
};

LadderSettings Settings() {
  LadderSettings settings;
  settings.rungs = {Rung::kF16, Rung::kQ8_0, Rung::kQ4_K_M, Rung::kQ2_K};
  settings.repetitions = 3;
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

std::vector<double> Rates(const std::vector<Sample>& samples) {
  std::vector<double> rates;
  rates.reserve(samples.size());
  for (const Sample& sample : samples) rates.push_back(sample.tok_per_s());
  return rates;
}

void ExpectSameTable(const LadderResult& a, const LadderResult& b) {
  ASSERT_EQ(a.rungs.size(), b.rungs.size());
  EXPECT_EQ(a.base.ppl, b.base.ppl);
  for (size_t i = 0; i < a.rungs.size(); ++i) {
    const LadderRung& x = a.rungs[i];
    const LadderRung& y = b.rungs[i];
    EXPECT_EQ(x.model, y.model);
    EXPECT_EQ(x.quality.ppl, y.quality.ppl);
    EXPECT_EQ(x.quality.delta_pct, y.quality.delta_pct);
    EXPECT_EQ(x.quality.kld_mean, y.quality.kld_mean);
    EXPECT_EQ(Rates(x.tg), Rates(y.tg));
    EXPECT_EQ(Rates(x.pp), Rates(y.pp));
    EXPECT_EQ(x.verdict.pareto, y.verdict.pareto);
  }
}

TEST(LadderTest, MeasuresEveryRungOnceAndPicks) {
  const TestDirectory directory;
  FakeLab lab;
  const LadderResult result = Climb(directory / "a.db", lab);
  ASSERT_THAT(result.rungs, SizeIs(4));
  EXPECT_EQ(result.rungs[0].quality.delta_pct, 0.0);
  EXPECT_EQ(result.rungs[0].quality.top1_agree, 1.0);
  EXPECT_EQ(result.rungs[2].quality.delta_pct, 0.6);
  EXPECT_EQ(result.rungs[2].bits_per_weight(), 5.0);
  EXPECT_THAT(result.rungs[2].tg, SizeIs(3));
  EXPECT_EQ(result.verdict.pick, 2U);
  EXPECT_TRUE(result.together);
  EXPECT_FALSE(result.measured_before);
  EXPECT_EQ(result.tokens_scored, kPositions);
  // The base is the F16 rung: one perplexity. Then three others, and 4 rungs x 2 tests x 3 rounds.
  EXPECT_THAT(lab.counts, SizeIs(4 + 24));
  EXPECT_THAT(lab.counts, Each(Pair(testing::_, 1)));
}

TEST(LadderTest, EveryRoundTakesAllRungsBeforeTheNextRound) {
  const TestDirectory directory;
  FakeLab lab;
  std::vector<int> rounds;
  Climb(directory / "a.db", lab, [&](const std::string& step, double) {
    if (step.starts_with("speed, round ")) rounds.push_back(step[13] - '0');
  });
  EXPECT_THAT(rounds, SizeIs(24));
  EXPECT_TRUE(std::is_sorted(rounds.begin(), rounds.end()));
}

TEST(LadderTest, AFinishedLadderIsReadFromTheStore) {
  const TestDirectory directory;
  FakeLab first;
  const LadderResult measured = Climb(directory / "a.db", first);
  FakeLab second;
  const LadderResult read = Climb(directory / "a.db", second);
  EXPECT_THAT(second.counts, IsEmpty());
  EXPECT_TRUE(read.measured_before);
  EXPECT_EQ(read.sessions, 1);
  ExpectSameTable(measured, read);
  EXPECT_EQ(read.verdict.sentence, measured.verdict.sentence);
}

TEST(LadderTest, MeasuresAnewWhenAskedTo) {
  const TestDirectory directory;
  FakeLab lab;
  Climb(directory / "a.db", lab);
  FakeLab again;
  const LadderResult result = Climb(directory / "a.db", again, Ignore, Settings(), true);
  EXPECT_THAT(again.counts, SizeIs(28));
  EXPECT_FALSE(result.measured_before);
  Store store(directory / "a.db");
  EXPECT_THAT(store.AllRuns(), SizeIs(2 * 12)) << "the old runs are kept";
}

TEST(LadderTest, OtherSettingsAreAnotherLadder) {
  const TestDirectory directory;
  FakeLab lab;
  Climb(directory / "a.db", lab);
  LadderSettings settings = Settings();
  settings.windows = 7;
  FakeLab other;
  Climb(directory / "a.db", other, Ignore, settings);
  EXPECT_THAT(other.counts, SizeIs(28));
}

struct Stop {};

// Stops the ladder at every step it has, one start after the other: each start gets one step further than the one
// before, and what was measured is never measured again.
TEST(LadderTest, InterruptedAnywhereItEndsWithTheSameTableMeasuredOnce) {
  const TestDirectory directory;
  FakeLab straight;
  const LadderResult expected = Climb(directory / "straight.db", straight);

  FakeLab lab;
  std::optional<LadderResult> result;
  int starts = 0;
  for (; !result.has_value() && starts < 100; ++starts) {
    size_t measured = 0;
    for (const auto& [name, count] : lab.counts) measured += static_cast<size_t>(count);
    try {
      result = Climb(directory / "broken.db", lab, [&](const std::string& step, double share) {
        size_t now = 0;
        for (const auto& [name, count] : lab.counts) now += static_cast<size_t>(count);
        const bool before_a_step = share == 0.0 || step.starts_with("speed");
        if (before_a_step && now > measured) throw Stop();
      });
    } catch (const Stop&) {
    }
  }
  ASSERT_TRUE(result.has_value());
  EXPECT_GT(starts, 20);
  EXPECT_THAT(lab.counts, SizeIs(28));
  EXPECT_THAT(lab.counts, Each(Pair(testing::_, 1)));
  ExpectSameTable(expected, *result);
  EXPECT_GT(result->sessions, 1);
}

TEST(LadderTest, AStepThatIsInterruptedInItsMiddleIsDoneAgain) {
  const TestDirectory directory;
  FakeLab lab;
  EXPECT_THROW(Climb(directory / "a.db", lab,
                     [](const std::string& step, double share) {
                       if (step == "Q8_0: perplexity" && share > 0.0) throw Stop();
                     }),
               Stop);
  Climb(directory / "a.db", lab);
  EXPECT_EQ(lab.counts.at("Q8_0 perplexity"), 2);
  lab.counts.erase("Q8_0 perplexity");
  EXPECT_THAT(lab.counts, Each(Pair(testing::_, 1)));
}

TEST(LadderTest, AnInvalidRungIsKeptWithItsReasonAndNotTaken) {
  const TestDirectory directory;
  FakeLab lab;
  lab.broken = Rung::kQ4_K_M;
  const LadderResult result = Climb(directory / "a.db", lab);
  EXPECT_THAT(result.rungs[2].invalid, HasSubstr("not finite"));
  EXPECT_EQ(result.verdict.pick, 1U);
  EXPECT_THAT(lab.prepared, ElementsAre(Rung::kF16, Rung::kQ8_0, Rung::kQ2_K)) << "its speed is of no use";
  FakeLab again;
  EXPECT_TRUE(Climb(directory / "a.db", again).measured_before);
}

TEST(LadderTest, TheFileThatWasMadeIsKnownToTheNextStart) {
  const TestDirectory directory;
  FakeLab lab;
  Climb(directory / "a.db", lab);
  EXPECT_EQ(lab.known_before.at(Rung::kQ8_0), std::nullopt);
  Climb(directory / "a.db", lab);
  EXPECT_EQ(lab.known_before.at(Rung::kQ8_0), "fp-Q8_0");
}

TEST(LadderTest, TellsWhenTheRungsDidNotFitTogether) {
  const TestDirectory directory;
  FakeLab lab;
  lab.together = false;
  EXPECT_FALSE(Climb(directory / "a.db", lab).together);
}

TEST(LadderTest, ABaseThatIsNoRungIsMeasuredAllTheSame) {
  const TestDirectory directory;
  FakeLab lab;
  LadderSettings settings = Settings();
  settings.rungs = {Rung::kQ8_0};
  const LadderResult result = Climb(directory / "a.db", lab, Ignore, settings);
  EXPECT_EQ(result.base.ppl, 20.0);
  EXPECT_EQ(lab.counts.at("F16 perplexity"), 1);
  EXPECT_EQ(lab.counts.count("F16 tg64 0"), 0U);
}

TEST(LadderTest, RefusesSettingsThatMakeNoSense) {
  const TestDirectory directory;
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
