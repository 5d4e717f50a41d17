// Drafts whose vocabulary ends before or behind the target's: the tokens of the target alone all the same.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/temporary_directory.h"
#include "decode/speculate.h"
#include "gguf/testing/other_vocabulary.h"

namespace assay {
namespace {

const std::filesystem::path kModels = std::filesystem::path(ASSAY_SOURCE_DIR) / "models";

struct Loaded {
  Loaded(const std::filesystem::path& file, Backend& backend) : model(Model::Open(file)), engine(*model, backend) {}
  std::unique_ptr<Model> model;
  Engine engine;
};

class DraftVocabularyTest : public ::testing::Test {
 protected:
  DraftVocabularyTest() {
    prompt_ = target_.model->tokenizer->Encode(ReadFile(kModels / "eval_prose.txt").substr(500, 400), false);
    text_ = Text(nullptr, {});
  }

  const Tokenizer& tokenizer() const { return *target_.model->tokenizer; }
  int vocab() const { return target_.model->spec.vocab; }

  // With a drafter, or the target alone.
  std::vector<Token> Text(Drafter* drafter, const SpeculationOptions& speculation,
                          const SamplingOptions& sampling = {}) {
    const GenerateOptions options{.max_tokens = 40, .sampling = sampling, .ignore_end = true};
    Session session(target_.engine, {.context = 512, .rollback = RollbackFor(speculation)});
    rounds_.clear();
    if (drafter == nullptr) return Generate(session, prompt_, options, tokenizer(), {}).tokens;
    return GenerateSpeculatively(session, *drafter, prompt_, options, speculation, tokenizer(), {}, rounds_).tokens;
  }

  Loaded DraftModel(size_t vocab, std::span<const Token> like) {
    WriteWithVocabulary(kModels / "tiny-qwen35-draft.gguf", folder_ / "draft.gguf", vocab, like);
    return {folder_ / "draft.gguf", *backend_};
  }

  int Drafted() const { return Sum(&SpeculationRound::drafted); }
  int Accepted() const { return Sum(&SpeculationRound::accepted); }

  std::unique_ptr<Backend> backend_ = MakeBackend("", 2);
  Loaded target_{kModels / "tiny-qwen35.gguf", *backend_};
  TemporaryDirectory folder_;
  std::vector<Token> prompt_, text_;
  std::vector<SpeculationRound> rounds_;

 private:
  int Sum(int SpeculationRound::*part) const {
    int sum = 0;
    for (const SpeculationRound& round : rounds_) sum += round.*part;
    return sum;
  }
};

TEST_F(DraftVocabularyTest, TokensThatTheDraftLacksAreReadAsAnother) {
  constexpr int kKnown = 600;
  ASSERT_GE(*std::max_element(prompt_.begin(), prompt_.end()), kKnown);
  ASSERT_GE(*std::max_element(text_.begin(), text_.end()), kKnown);
  Loaded draft = DraftModel(kKnown, {});
  const auto drafter = MakeModelDrafter(draft.engine, {.context = 512, .target_vocab = vocab()});
  for (const int k : {1, 4, 32}) {
    EXPECT_EQ(Text(drafter.get(), {.draft_length = k}), text_) << "k " << k;
    EXPECT_GT(Accepted(), 0);
  }
  EXPECT_EQ(Text(drafter.get(), {.draft_length = 16, .adaptive = true}), text_);
  EXPECT_EQ(Text(drafter.get(), {}, {.temperature = 0.8F}).size(), text_.size());
}

TEST_F(DraftVocabularyTest, TokensThatTheTargetLacksAreNeverGuessed) {
  // Where the text has one of these, the draft is rather for its double, which the target does not know.
  const std::vector<Token> like(text_.begin() + 10, text_.begin() + 15);
  Loaded draft = DraftModel(static_cast<size_t>(vocab()) + 64, like);
  const auto drafter = MakeModelDrafter(draft.engine, {.context = 512, .target_vocab = vocab()});
  const auto unlimited = MakeModelDrafter(draft.engine, {.context = 512});
  EXPECT_THROW(Text(unlimited.get(), {.draft_length = 4}), Error);  // it would guess them
  for (const int k : {1, 4, 32}) {
    EXPECT_EQ(Text(drafter.get(), {.draft_length = k}), text_) << "k " << k;
    EXPECT_GT(Accepted(), 0);
    EXPECT_LT(Drafted(), k * static_cast<int>(rounds_.size()));
  }
  EXPECT_EQ(Text(drafter.get(), {}, {.temperature = 0.8F}).size(), text_.size());
}

// The rejection step needs the distribution that guesses are drawn from, which is over what both know.
TEST_F(DraftVocabularyTest, GuessesAreDrawnFromWhatBothKnow) {
  Loaded draft = DraftModel(static_cast<size_t>(vocab()) + 64, {});
  const auto drafter = MakeModelDrafter(draft.engine, {.context = 512, .target_vocab = vocab()});
  drafter->Prepare(prompt_);
  Rng rng(3);
  const Draft guesses = DraftNow(*drafter, prompt_, 16, {.temperature = 1.5F}, rng);
  EXPECT_FALSE(guesses.tokens.empty());
  for (const Distribution& distribution : guesses.distributions) {
    EXPECT_EQ(distribution.size(), static_cast<size_t>(vocab()));
  }
}

// Only the size differs: the guesses are those of the draft as it is.
TEST_F(DraftVocabularyTest, PaddingChangesNoGuess) {
  Loaded plain(kModels / "tiny-qwen35-draft.gguf", *backend_);
  EXPECT_EQ(Text(MakeModelDrafter(plain.engine, {.context = 512}).get(), {}), text_);
  const int drafted = Drafted(), accepted = Accepted();
  Loaded padded = DraftModel(static_cast<size_t>(vocab()) + 64, {});
  EXPECT_EQ(Text(MakeModelDrafter(padded.engine, {.context = 512, .target_vocab = vocab()}).get(), {}), text_);
  EXPECT_EQ(Drafted(), drafted);
  EXPECT_EQ(Accepted(), accepted);
}

}  // namespace
}  // namespace assay
