// Speculation gives the very tokens that the target gives alone: every architecture, every rung.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "base/file.h"
#include "decode/speculate.h"
#include "model/model_spec.h"
#include "study_models.h"

namespace assay {
namespace {

struct Loaded {
  Loaded(const std::filesystem::path& file, Backend& backend) : model(Model::Open(file)), engine(*model, backend) {}
  std::unique_ptr<Model> model;
  Engine engine;
};

constexpr int kTokens = 32;

// A slice of each of the three held-out texts in turn.
std::vector<Token> Prompt(const Tokenizer& tokenizer, int index) {
  constexpr size_t kBytes = 200;
  const char* texts[] = {"eval_prose.txt", "eval_code.txt", "eval_math.txt"};
  const std::string text = ReadFile(Bundled(texts[index % 3]));
  return tokenizer.Encode(text.substr(500 + 2000 * static_cast<size_t>(index / 3), kBytes), false);
}

struct Tally {
  int cells = 0, exceptions = 0;
  int64_t tokens = 0, drafted = 0, accepted = 0;
};

class LosslessTest : public testing::TestWithParam<StudyModel> {
 protected:
  // Every rung with every draft length, on so many prompts.
  void Compare(int prompts, std::span<const int> draft_lengths) {
    Loaded draft(DraftFile(GetParam()), *backend_);
    for (const Rung rung : UsualRungs()) {
      Loaded target(RungFile(GetParam(), rung), *backend_);
      for (int prompt = 0; prompt < prompts; ++prompt) CompareOn(target, draft, prompt, draft_lengths);
    }
    fmt::print("{}: {} cells, {} tokens compared, {} exceptions; {} of {} guesses taken\n", GetParam().name,
               tally_.cells, tally_.tokens, tally_.exceptions, tally_.accepted, tally_.drafted);
  }

 private:
  void CompareOn(Loaded& target, Loaded& draft, int index, std::span<const int> draft_lengths) {
    const Tokenizer& tokenizer = *target.model->tokenizer;
    const std::vector<Token> prompt = Prompt(tokenizer, index);
    const int context = static_cast<int>(prompt.size()) + kTokens;
    const GenerateOptions options{.max_tokens = kTokens, .ignore_end = true};
    Session alone(target.engine, {.context = context});
    const std::vector<Token> expected = Generate(alone, prompt, options, tokenizer, {}).tokens;
    ASSERT_EQ(expected.size(), static_cast<size_t>(kTokens));
    for (const int k : draft_lengths) {
      const SpeculationOptions speculation{.draft_length = k};
      const auto drafter = MakeModelDrafter(draft.engine, {.context = context});
      Session session(target.engine, {.context = context, .rollback = RollbackFor(speculation)});
      std::vector<SpeculationRound> rounds;
      const std::vector<Token> found =
          GenerateSpeculatively(session, *drafter, prompt, options, speculation, tokenizer, {}, rounds).tokens;
      EXPECT_EQ(found, expected) << target.model->file.path() << ", prompt " << index << ", k " << k;
      ++tally_.cells;
      tally_.tokens += kTokens;
      tally_.exceptions += found != expected ? 1 : 0;
      for (const SpeculationRound& round : rounds) {
        tally_.drafted += round.drafted;
        tally_.accepted += round.accepted;
      }
    }
  }

  std::unique_ptr<Backend> backend_ = MakeBackend("", 2);
  Tally tally_;
};

TEST_P(LosslessTest, SpeculationGivesTheTokensOfTheTargetAlone) { Compare(2, std::vector<int>{1, 4, 16}); }

// Half an hour: `./run nightly`.
TEST_P(LosslessTest, DISABLED_FullGrid) { Compare(24, std::vector<int>{1, 2, 4, 8, 16}); }

INSTANTIATE_TEST_SUITE_P(Models, LosslessTest, testing::ValuesIn(StudyModels().begin(), StudyModels().end()),
                         [](const auto& case_info) { return TestName(case_info.param.name); });

}  // namespace
}  // namespace assay
