#include "study/speculation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "base/error.h"
#include "store/testing/directory.h"

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
    TimedText text;
    for (int i = 0; i < kTokens; ++i) text.tokens.push_back(static_cast<Token>(prompt.text.size()) + i * i);
    text.decode_seconds = 0.010 * (kTokens - 1) * pace();
    text.conditions = conditions();
    ++baselines;
    return text;
  }

  TimedText Speculate(const Prompt& prompt, const SpeculationOptions& options) override {
    calls.push_back(std::to_string(options.draft_length));
    if (options.draft_length == failing_length) Fail(ErrorKind::kInternal, "the cache is full");
    TimedText text;
    for (int i = 0; i < kTokens; ++i) text.tokens.push_back(static_cast<Token>(prompt.text.size()) + i * i);
    if (options.draft_length == wrong_length) text.tokens[7] = 3;
    const int taken = options.draft_length / 2;
    const double slower = noisy && texts_[options.draft_length]++ % 3 == 0 ? 4.0 : 1.0;
    for (int decoded = 0; decoded < kTokens - 1; decoded += taken + 1) {
      text.rounds.push_back({options.draft_length, taken, 0.0, 0.0});
      text.decode_seconds += (options.draft_length * 0.001 + VerifySeconds(options.draft_length + 1)) * slower;
    }
    text.decode_seconds /= boost;
    text.conditions = conditions();
    return text;
  }

  void PrepareCosts(const Prompt&, std::span<const Token>) override {}
  double VerifySeconds(int tokens) override { return 0.010 * (0.95 + 0.05 * tokens); }
  std::optional<double> DraftSeconds() override { return 0.001 * draft_slowness; }

  // What tests break.
  std::string backend = "cpu";
  std::vector<std::string> logit_hashes = {"t-cpu", "d-cpu"};
  bool looping = false, baseline_fails = false, slowing = false, noisy = false;
  int failing_length = 0, wrong_length = 0;
  int64_t faults = 0;
  double boost = 1.0, draft_slowness = 1.0;

  std::vector<std::string> calls;
  int baselines = 0;

 private:
  double pace() const { return slowing ? 1.0 + 0.1 * baselines : 1.0; }
  Conditions conditions() const { return {.load_average = 2.0, .cpu_mhz = 3000.0, .major_faults = faults}; }
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
    for (const SpeculationCell& cell : result.cells) {
      if (cell.k != k) continue;
      EXPECT_FALSE(cell.valid());
      EXPECT_THAT(cell.verdict.sentence, HasSubstr("no verdict"));
      for (const GuardResult& g : cell.guards) {
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

  TestDirectory directory_;
  Store store_{directory_ / "assay.db"};
  FakeLab lab_;
  std::vector<PromptSet> sets_ = {{"code", {{"a", "x"}, {"b", "xyz"}}}};
  SpeculationSettings settings_;
};

TEST_F(SpeculationTest, AnHonestRunPassesEveryGuardAndIsKeptWhole) {
  const PairResult result = Measure();
  ASSERT_EQ(result.cells.size(), 2U);
  for (const SpeculationCell& cell : result.cells) {
    for (const GuardResult& guard : cell.guards) {
      EXPECT_FALSE(guard.tripped) << guard.name << ": " << guard.evidence;
      EXPECT_FALSE(guard.warning) << guard.name << ": " << guard.evidence;
    }
    EXPECT_TRUE(cell.valid());
    EXPECT_TRUE(cell.identical);
  }
  const SpeculationFigures& figures = *result.cells[1].figures;
  EXPECT_EQ(figures.drafted, 2 * 3 * 7 * 4) << "two prompts, three times, seven rounds of four";
  EXPECT_DOUBLE_EQ(*figures.acceptance(), 0.5);
  EXPECT_NEAR(figures.predicted_speedup, 3.0 / (0.4 + 1.2), 1e-9);
  // The last round's tokens beyond the text are lost.
  EXPECT_NEAR(figures.speedup, 20.0 / (7 * 1.6), 1e-9);
  EXPECT_THAT(result.verdict, HasSubstr("target.gguf with draft.gguf: code: gains"));

  const std::vector<StoredRun> runs = store_.AllRuns();
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[1].record.kind, "speculation");
  EXPECT_EQ(runs[1].record.test, "draft.gguf k=4 code");
  EXPECT_EQ(runs[1].record.samples.size(), 6U);
  EXPECT_EQ(runs[1].record.guards, result.cells[1].guards);
  EXPECT_EQ(store_.ReadSeries(runs[1].id, "drafted").size(), 2U * 7) << "those of one repetition";
  EXPECT_EQ(store_.ReadSeries(runs[1].id, "baseline_seconds").size(), 6U);
  EXPECT_EQ(store_.ReadSeries(runs[1].id, "tokens").size(), 6U * kTokens);
}

TEST_F(SpeculationTest, TheBaselineTakesTurnsWithAllLengths) {
  Measure();
  ASSERT_EQ(lab_.calls.size(), 2U * 3 * 3);
  // A turn is the baseline and both lengths; each of them comes first, second and last equally often.
  std::map<std::string, std::vector<int>> places;
  for (size_t i = 0; i < lab_.calls.size(); ++i) {
    auto& count = places[lab_.calls[i]];
    count.resize(3);
    ++count[i % 3];
  }
  EXPECT_EQ(places.size(), 3U);
  for (const auto& [who, count] : places) EXPECT_THAT(count, testing::Each(testing::Ge(1))) << who;
}

TEST_F(SpeculationTest, AnotherTokenIsRefused) {
  lab_.wrong_length = 4;
  ExpectRefused("lossless", R"(prompt a: token 8 is token 3 "3", the target alone gives token 50 "50")");
  EXPECT_TRUE(Measure().cells[0].valid()) << "k=2 gave the right tokens";
}

TEST_F(SpeculationTest, AFailureIsKeptAndTheOtherCellsGoOn) {
  lab_.failing_length = 4;
  ExpectRefused("decoded", "prompt a, k=4: the cache is full");
  const PairResult result = Measure();
  EXPECT_TRUE(result.cells[0].valid());
  EXPECT_FALSE(result.cells[1].figures.has_value());
  EXPECT_FALSE(result.cells[1].identical);
}

TEST_F(SpeculationTest, AFailureOfTheTargetAloneRefusesEveryLength) {
  lab_.baseline_fails = true;
  ExpectRefused("decoded", "the target alone: the logits at token 5 are not finite", "2");
  ExpectRefused("decoded", "not finite", "4");
}

TEST_F(SpeculationTest, ASpeedupBeyondTheCostsIsRefused) {
  lab_.boost = 2.0;
  ExpectRefused("plausible", "tokens a round at 1.20 plain steps");
}

TEST_F(SpeculationTest, ASilentFallbackIsRefused) {
  Measure();
  lab_.backend = "ref";  // and yet the same rounds and the same bits
  ExpectRefused("backend", "says ref, but all 14 rounds went as those of cpu");
}

TEST_F(SpeculationTest, TwoBackendsWithLogitsOfTheirOwnAreFine) {
  Measure();
  lab_.backend = "ref";
  lab_.logit_hashes = {"t-ref", "d-ref"};
  for (const SpeculationCell& cell : Measure().cells) EXPECT_TRUE(cell.valid());
}

TEST_F(SpeculationTest, NoiseIsRefused) {
  lab_.noisy = true;
  ExpectRefused("spread", "scatter");
}

TEST_F(SpeculationTest, DriftIsRefused) {
  lab_.slowing = true;
  ExpectRefused("steady", "the target's own rate by -");
}

TEST_F(SpeculationTest, SwappingIsRefused) {
  lab_.faults = 100;
  ExpectRefused("memory", "1200 pages came from the disk");
}

TEST_F(SpeculationTest, LoopsAndASlowDraftWarnAlone) {
  lab_.looping = true;
  lab_.draft_slowness = 20.0;
  const PairResult result = Measure();
  std::vector<std::string> warnings;
  for (const GuardResult& guard : result.cells[0].guards) {
    EXPECT_FALSE(guard.tripped) << guard.name << ": " << guard.evidence;
    if (guard.warning) warnings.push_back(guard.name);
  }
  EXPECT_THAT(warnings, ElementsAre("repetition", "draft cost"));
  EXPECT_TRUE(result.cells[0].valid());
}

}  // namespace
}  // namespace assay
