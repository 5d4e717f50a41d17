#include "study/speculation.h"
#include "base/testing/temporary_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "base/error.h"

namespace assay {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int kTokens = 21;

ModelIdentity Identity(const std::string& name, uint64_t bytes) {
  return {.file = name + ".gguf",
          .digest = "fp-" + name,
          .architecture = "qwen35",
          .name = name,
          .quant = "F16",
          .parameters = bytes / 2,
          .file_bytes = bytes,
          .tensor_bytes = bytes};
}

// A target that takes 10 ms a token and a draft whose rounds of k guesses take half of them each, with costs to match.
// Every guard passes on it; a test breaks one thing.
class FakeLab : public SpeculationLab {
 public:
  PairSubject subject() const override {
    return {.target = Identity("target", 1000),
            .draft = Identity("draft", 300),
            .draft_name = "draft.gguf",
            .backend = backend,
            .backend_description = backend + ": 2 threads",
            .threads = 2,
            .logit_hashes = logit_hashes};
  }
  std::string TokenText(Token token) const override { return std::to_string(token); }
  std::string Text(std::span<const Token> tokens) const override {
    if (looping) return std::string(200, 'a');
    std::string text;
    for (const Token token : tokens) text += "word " + std::to_string(token) + ", ";
    return text;
  }

  TimedText Baseline(const Prompt& prompt) override {
    calls.emplace_back("-");
    if (baseline_fails) Fail(ErrorKind::kInvalid, "the logits at token 5 are not finite");
    ++baselines;
    TimedText text = TextOf(prompt);
    const double other = IsPlacebo(calls.size() - 1) ? placebo_slowness : 1.0;
    text.decode_seconds = kStep * (kTokens - 1) * pace() * baseline_slowness * other;
    text.conditions = conditions(1.0);
    return text;
  }

  TimedText Speculate(const Prompt& prompt, const SpeculationOptions& options) override {
    calls.push_back(std::to_string(options.draft_length));
    if (options.draft_length == failing_length) Fail(ErrorKind::kInvalid, "{}", failure);
    TimedText text = TextOf(prompt);
    if (options.draft_length == wrong_length) text.tokens[7] = 3;
    const int taken = all_taken ? options.draft_length : options.draft_length / 2;
    const double slower = noisy && texts_[options.draft_length]++ % 3 == 0 ? 4.0 : 1.0;
    for (int decoded = 0; decoded < kTokens - 1; decoded += taken + 1) {
      RoundRecord round{.drafted = options.draft_length, .accepted = taken};
      round.draft_seconds = options.draft_length * 0.001 * slower * pace();
      round.verify_seconds = RoundSeconds(options.draft_length) * slower * pace();
      text.rounds.push_back(round);
      text.decode_seconds += round.Seconds() / accounted;
    }
    text.conditions = conditions(machine_favour);
    return text;
  }

  void PrepareCosts(const Prompt&, std::span<const Token>) override {}
  double PlainSeconds() override { return kStep * pace(); }
  double RoundSeconds(int guesses) override { return kStep * (1.0 + 0.05 * guesses); }
  std::optional<double> DraftSeconds() override { return 0.001 * draft_slowness * pace(); }

  // What tests break.
  std::string backend = "cpu";
  std::string failure = "the cache is full";
  std::vector<std::string> logit_hashes = {"t-cpu", "d-cpu"};
  bool looping = false, baseline_fails = false, slowing = false, noisy = false, all_taken = false;
  int failing_length = 0, wrong_length = 0;
  int64_t faults = 0;
  double accounted = 1.0, baseline_slowness = 1.0, placebo_slowness = 1.0, draft_slowness = 1.0, machine_favour = 1.0;

  std::vector<std::string> calls;
  int baselines = 0;

 private:
  static constexpr double kStep = 0.010;

  TimedText TextOf(const Prompt& prompt) const {
    TimedText text;
    for (int i = 0; i < kTokens; ++i) text.tokens.push_back(static_cast<Token>(prompt.text.size()) + i * i);
    return text;
  }
  // Of the calls of a run with four prompts, two lengths and a placebo, whose turns begin with another one each.
  static bool IsPlacebo(size_t call) {
    const size_t turn = call / 4;
    return (call % 4 + turn % 4 + turn / 4) % 4 == 2;
  }
  // Slower with each turn, for all that is timed in it.
  double pace() const { return slowing ? 1.0 + 0.1 * ((baselines + 1) / 2) : 1.0; }
  Conditions conditions(double favour) const {
    return {.load_average = 2.0, .cpu_mhz = 3000.0, .major_faults = faults, .work_seconds = 0.002 / favour};
  }
  std::map<int, int> texts_;  // so far, by length
};

class SpeculationTest : public testing::Test {
 protected:
  SpeculationTest() {
    settings_.lengths = {{"2", {.draft_length = 2}}, {"4", {.draft_length = 4}}};
    settings_.tokens = kTokens;
    settings_.repetitions = 3;
  }

  PairResult Measure() {
    return MeasurePair(store_, lab_, sets_, settings_, [](const std::string&, double) {});
  }

  // That the guard made every cell with this k invalid, with a reason, and kept the run so.
  void ExpectRefused(const std::string& guard, const std::string& reason, const std::string& k = "4") {
    const PairResult result = Measure();
    bool seen = false;
    for (const RunRecord& run : result.runs) {
      if (SettingOf(run, "k") != k) continue;
      EXPECT_FALSE(run.valid());
      ASSERT_NE(FindVerdict(run, "speedup"), nullptr);
      EXPECT_EQ(FindVerdict(run, "speedup")->outcome, "invalid");
      for (const GuardResult& g : run.guards) {
        if (g.name != guard) continue;
        seen = true;
        EXPECT_TRUE(g.tripped) << g.evidence;
        EXPECT_THAT(g.evidence, HasSubstr(reason));
      }
    }
    EXPECT_TRUE(seen) << guard;
    int invalid = 0;
    for (const StoredRun& run : store_.AllRuns()) invalid += run.status == RunStatus::kInvalid ? 1 : 0;
    EXPECT_GE(invalid, 1) << "the run is kept, as invalid";
  }

  static std::string Outcome(const RunRecord& run, const std::string& verdict) {
    const Verdict* found = FindVerdict(run, verdict);
    return found != nullptr ? found->outcome : "";
  }

  TemporaryDirectory directory_;
  Store store_{directory_ / "assay.db"};
  FakeLab lab_;
  std::vector<PromptSet> sets_ = {{"code", {{"a", "x"}, {"b", "xyz"}, {"c", "xyzab"}, {"d", "xyzabcd"}}}};
  SpeculationSettings settings_;
};

TEST_F(SpeculationTest, AnHonestRunPassesEveryGuardAndIsKeptWhole) {
  const PairResult result = Measure();
  ASSERT_EQ(result.runs.size(), 2U);
  for (const RunRecord& run : result.runs) {
    for (const GuardResult& guard : run.guards) {
      EXPECT_FALSE(guard.tripped) << guard.name << ": " << guard.evidence;
      EXPECT_FALSE(guard.warning) << guard.name << ": " << guard.evidence;
    }
    EXPECT_EQ(Outcome(run, "identical"), "yes");
    EXPECT_EQ(Outcome(run, "speedup"), "better");
    EXPECT_EQ(Outcome(run, "best k"), "4");
  }
  const RunRecord& cell = result.runs[1];
  EXPECT_EQ(FindMetric(cell, "drafted")->value, 4 * 3 * 7 * 4) << "four prompts, three times, seven rounds of four";
  EXPECT_DOUBLE_EQ(FindMetric(cell, "accept_rate")->value, 0.5);
  EXPECT_NEAR(FindMetric(cell, "predicted_speedup")->value, 3.0 / (0.4 + 1.2), 1e-9);
  // The last round's tokens beyond the text are lost.
  EXPECT_NEAR(FindMetric(cell, "speedup")->value, 20.0 / (7 * 1.6), 0.01);
  EXPECT_EQ(FindMetric(cell, "speedup")->certainty->unit, "prompt");
  EXPECT_EQ(FindMetric(cell, "speedup")->certainty->units, 4);
  EXPECT_THAT(result.sentences.at(0), HasSubstr("target.gguf with draft.gguf on code: k=2: gains"));

  const std::vector<StoredRun> runs = store_.AllRuns();
  ASSERT_EQ(runs.size(), 3U);
  EXPECT_EQ(runs[0].record.test, "placebo draft.gguf code");
  EXPECT_EQ(runs[2].record.kind, "speculation");
  EXPECT_EQ(runs[2].record.test, "draft.gguf k=4 code");
  EXPECT_EQ(runs[2].record.samples.size(), 12U);
  EXPECT_EQ(runs[2].record.guards, cell.guards);
  EXPECT_EQ(runs[2].record.verdicts, cell.verdicts);
  EXPECT_EQ(runs[2].record.metrics, cell.metrics);
  EXPECT_EQ(store_.ReadSeries(runs[2].id, "drafted").size(), 4U * 7) << "those of one repetition";
  EXPECT_EQ(store_.ReadSeries(runs[2].id, "baseline_seconds").size(), 12U);
  EXPECT_EQ(store_.ReadSeries(runs[2].id, "tokens").size(), 12U * kTokens);
  EXPECT_EQ(store_.ReadSeries(runs[2].id, "verify_cost").size(), 5U);
}

TEST_F(SpeculationTest, TheBaselineTakesTurnsWithAllLengthsAndThePlacebo) {
  Measure();
  ASSERT_EQ(lab_.calls.size(), 4U * 3 * 4);
  // Each of them comes in each place.
  std::map<std::string, std::vector<int>> places;
  for (size_t i = 0; i < lab_.calls.size(); ++i) {
    auto& count = places[lab_.calls[i]];
    count.resize(4);
    ++count[i % 4];
  }
  EXPECT_EQ(places.size(), 3U);
  for (const auto& [who, count] : places) EXPECT_THAT(count, testing::Each(testing::Ge(1))) << who;
}

TEST_F(SpeculationTest, WithoutPlaceboNoneIsMeasuredNorKept) {
  settings_.placebo = false;
  const PairResult result = Measure();
  EXPECT_EQ(lab_.baselines, 4 * 3);
  EXPECT_TRUE(result.floors.empty());
  EXPECT_EQ(SettingOf(result.runs[0], "placebo"), "none");
  EXPECT_EQ(store_.AllRuns().size(), 2U);
}

TEST_F(SpeculationTest, ThreePromptsAreTooFewToSayAnything) {
  sets_[0].prompts.pop_back();
  const PairResult result = Measure();
  EXPECT_TRUE(result.runs[0].valid());
  EXPECT_EQ(Outcome(result.runs[0], "speedup"), "too few");
  EXPECT_EQ(FindMetric(result.runs[0], "speedup")->certainty->low, std::nullopt);
  EXPECT_THAT(result.sentences[0], HasSubstr("3 prompts are too few"));
}

TEST_F(SpeculationTest, AnotherTokenIsRefused) {
  lab_.wrong_length = 4;
  ExpectRefused("lossless", R"(prompt a: token 8 is token 3 "3", the target alone gives token 50 "50")");
  const PairResult result = Measure();
  EXPECT_TRUE(result.runs[0].valid()) << "k=2 gave the right tokens";
  EXPECT_EQ(Outcome(result.runs[1], "identical"), "no");
  EXPECT_THAT(result.sentences[0], HasSubstr("k=4 is invalid (lossless)"));
}

TEST_F(SpeculationTest, EqualTextsThatNoGuessWasRefusedInAreNotClaimed) {
  lab_.all_taken = true;
  const PairResult result = Measure();
  EXPECT_TRUE(result.runs[0].valid()) << "what was timed stays";
  EXPECT_EQ(Outcome(result.runs[0], "identical"), "not exercised");
}

TEST_F(SpeculationTest, AFailureIsKeptAndTheOtherCellsGoOn) {
  lab_.failing_length = 4;
  ExpectRefused("decoded", "prompt a, k=4: the cache is full");
  const PairResult result = Measure();
  EXPECT_TRUE(result.runs[0].valid());
  EXPECT_TRUE(result.runs[1].metrics.empty());
  EXPECT_EQ(Outcome(result.runs[1], "identical"), "no");
}

TEST_F(SpeculationTest, ADraftWhoseLogitsAreNotFiniteIsRefused) {
  lab_.failing_length = 4;
  lab_.failure = "the draft draft.gguf: a logit at token 9 is not finite";
  ExpectRefused("decoded", "the draft draft.gguf: a logit at token 9 is not finite");
}

TEST_F(SpeculationTest, AFailureOfTheTargetAloneRefusesEveryLength) {
  lab_.baseline_fails = true;
  ExpectRefused("decoded", "the target alone: the logits at token 5 are not finite", "2");
  ExpectRefused("decoded", "not finite", "4");
}

TEST_F(SpeculationTest, TimeThatNoPartAccountsForIsRefused) {
  lab_.accounted = 0.97;
  ExpectRefused("books", "leave +3.00% of their time unaccounted");
}

TEST_F(SpeculationTest, ABaselineSlowedByAnotherHarnessIsRefused) {
  lab_.baseline_slowness = 1.1;
  ExpectRefused("books", "the target alone took 1.10");
}

TEST_F(SpeculationTest, ASilentFallbackIsRefused) {
  Measure();
  lab_.backend = "ref";  // and yet the same rounds and the same bits
  ExpectRefused("backend", "says ref, but all 28 rounds went as those of cpu");
}

TEST_F(SpeculationTest, TwoBackendsWithLogitsOfTheirOwnAreFine) {
  Measure();
  lab_.backend = "ref";
  lab_.logit_hashes = {"t-ref", "d-ref"};
  for (const RunRecord& run : Measure().runs) EXPECT_TRUE(run.valid());
}

TEST_F(SpeculationTest, NoiseIsRefused) {
  lab_.noisy = true;
  ExpectRefused("spread", "repetition");
}

TEST_F(SpeculationTest, ThePlaceboRefusesWhatDiffersFromItself) {
  lab_.placebo_slowness = 1.05;
  ExpectRefused("placebo", "the same thing twice differs");
}

TEST_F(SpeculationTest, DriftOfAWholeTurnCancels) {
  lab_.slowing = true;
  for (const RunRecord& run : Measure().runs) {
    for (const GuardResult& guard : run.guards) {
      if (guard.name == "steady") {
        EXPECT_FALSE(guard.tripped) << guard.evidence;
      }
    }
  }
}

TEST_F(SpeculationTest, AMachineThatWasFasterForTheDraftIsRefused) {
  lab_.machine_favour = 1.1;
  ExpectRefused("steady", "fixed work");
}

TEST_F(SpeculationTest, SwappingIsRefused) {
  lab_.faults = 100;
  ExpectRefused("memory", "2400 pages came from the disk");
}

TEST_F(SpeculationTest, LoopsAndASlowDraftWarnAlone) {
  lab_.looping = true;
  lab_.draft_slowness = 20.0;
  const PairResult result = Measure();
  std::vector<std::string> warnings;
  for (const GuardResult& guard : result.runs[0].guards) {
    EXPECT_FALSE(guard.tripped) << guard.name << ": " << guard.evidence;
    if (guard.warning) warnings.push_back(guard.name);
  }
  EXPECT_THAT(warnings, ElementsAre("repetition", "draft cost"));
}

}  // namespace
}  // namespace assay
