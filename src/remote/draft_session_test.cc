// The server's side of a session without the network: the guesses of a local draft model, whatever was drafted ahead.

#include "remote/draft_session.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "decode/drafter.h"
#include "engine/loaded_model.h"

namespace assay {
namespace {

const std::filesystem::path kModels = std::filesystem::path(ASSAY_SOURCE_DIR) / "models";

// What a client does: sends what is new of its text.
class Client {
 public:
  BurstRequest Ask(const std::vector<Token>& text, int count) {
    const size_t shared = text_.SharedWith(text);
    BurstRequest request{
        .id = ++id_, .position = static_cast<uint32_t>(shared), .hash = text_.HashAt(shared), .count = count};
    request.tokens.assign(text.begin() + static_cast<ptrdiff_t>(shared), text.end());
    text_.Truncate(shared);
    text_.Append(request.tokens);
    return request;
  }
  uint64_t hash() const { return text_.hash(); }

 private:
  HashedText text_;
  uint32_t id_ = 0;
};

class DraftSessionTest : public testing::TestWithParam<const char*> {
 protected:
  std::vector<Token> Prompt(size_t tokens) const {
    std::vector<Token> prompt =
        draft_.model->tokenizer->Encode(ReadFile(kModels / "eval_prose.txt").substr(3000, 8 * tokens), false);
    prompt.resize(tokens);
    return prompt;
  }

  std::unique_ptr<Backend> backend_ = MakeBackend("", 2);
  LoadedModel draft_{kModels / GetParam(), *backend_};
};

// Plays a target that takes some guesses and then has its own token, here and there the draft's own.
class Target {
 public:
  explicit Target(uint64_t seed, int vocab) : rng_(seed), vocab_(vocab) {}

  void Take(std::vector<Token>& text, const std::vector<Token>& guesses, Token likely) {
    const size_t taken = rng_.Below(3) == 0 ? rng_.Below(guesses.size() + 1) : guesses.size();
    text.insert(text.end(), guesses.begin(), guesses.begin() + static_cast<ptrdiff_t>(taken));
    text.push_back(rng_.Below(2) == 0 ? likely : static_cast<Token>(rng_.Below(static_cast<uint64_t>(vocab_))));
  }
  uint64_t Below(uint64_t n) { return rng_.Below(n); }

 private:
  Rng rng_;
  int vocab_;
};

TEST_P(DraftSessionTest, GuessesAsALocalDraftModel) {
  for (const bool ahead : {false, true}) {
    const auto local = MakeModelDrafter(draft_.engine, {.context = 512});
    DraftSession remote(draft_.engine, {.context = 512, .max_draft = 8, .ahead = ahead});
    Client client;
    Target target(1, draft_.model->spec.vocab);
    std::vector<Token> text = Prompt(100);
    Rng rng(1);
    local->Prepare(text);
    remote.Apply(client.Ask(text, 0));
    int ready = 0;
    for (int round = 0; round < 30; ++round) {
      const int count = 1 + static_cast<int>(target.Below(8));
      std::vector<Token> expected = DraftNow(*local, text, count + 1, {}, rng).tokens;
      const Token likely = expected.back();
      expected.pop_back();
      const BurstAnswer answer = remote.Apply(client.Ask(text, count));
      EXPECT_FALSE(answer.resync);
      EXPECT_EQ(answer.key, client.hash());
      ASSERT_EQ(answer.tokens, expected) << "round " << round << ", ahead " << ahead;
      if (answer.ahead) ++ready;
      // Interrupted at any step.
      for (uint64_t step = target.Below(40); step > 0 && remote.Ahead(); --step) {
      }
      target.Take(text, expected, likely);
    }
    EXPECT_EQ(ready > 0, ahead);
  }
}

TEST_P(DraftSessionTest, WhatIsPushedIsWhatWouldBeAnswered) {
  const std::vector<Token> prompt = Prompt(60);
  DraftSession remote(draft_.engine, {.context = 512, .max_draft = 4});
  Client client;
  const BurstAnswer first = remote.Apply(client.Ask(prompt, 4));
  while (remote.Ahead()) {
  }
  EXPECT_FALSE(remote.Ahead());
  const std::vector<BurstAnswer> pushed = remote.TakePushed();
  ASSERT_FALSE(pushed.empty());
  EXPECT_TRUE(remote.TakePushed().empty());
  // The first is for the case that all is taken and the target goes on as the draft model would.
  const auto local = MakeModelDrafter(draft_.engine, {.context = 512});
  Rng rng(1);
  std::vector<Token> text = prompt;
  local->Prepare(text);
  const std::vector<Token> five = DraftNow(*local, text, 5, {}, rng).tokens;
  EXPECT_EQ(std::vector<Token>(five.begin(), five.end() - 1), first.tokens);
  text.insert(text.end(), five.begin(), five.end());
  HashedText whole;
  whole.Append(text);
  EXPECT_EQ(pushed[0].key, whole.hash());
  EXPECT_EQ(pushed[0].tokens, DraftNow(*local, text, 4, {}, rng).tokens);
  const BurstAnswer second = remote.Apply(client.Ask(text, 4));
  EXPECT_TRUE(second.ahead);
  EXPECT_EQ(second.tokens, pushed[0].tokens);
  EXPECT_EQ(second.logit_hashes, pushed[0].logit_hashes);
}

TEST_P(DraftSessionTest, DrawsDependOnTextAndSeedAlone) {
  const SeededSampling sampling{{.temperature = 1.0F, .top_p = 0.95F}, 5};
  std::vector<std::vector<Token>> texts;
  for (const bool ahead : {false, true}) {
    DraftSession remote(draft_.engine, {.context = 512, .max_draft = 4, .proposal_size = 10, .ahead = ahead});
    Client client;
    Target target(3, draft_.model->spec.vocab);
    std::vector<Token> text = Prompt(50);
    for (int round = 0; round < 12; ++round) {
      BurstRequest request = client.Ask(text, 4);
      if (round == 0) request.sampling = sampling;
      const BurstAnswer answer = remote.Apply(request);
      ASSERT_EQ(answer.tokens.size(), 4U);
      ASSERT_EQ(answer.proposals.size(), 4U);
      for (size_t i = 0; i < 4; ++i) {
        EXPECT_LE(answer.proposals[i].tokens.size(), 10U);
        EXPECT_GT(answer.proposals[i].distribution().ProbabilityOf(answer.tokens[i]), 0.0);
        EXPECT_GE(answer.proposals[i].tail, 0.0);
        EXPECT_LT(answer.proposals[i].tail, 1.0);
      }
      while (remote.Ahead()) {
      }
      target.Take(text, answer.tokens, answer.tokens[0]);
    }
    texts.push_back(text);
  }
  EXPECT_EQ(texts[0], texts[1]);
}

TEST_P(DraftSessionTest, AnotherTextBeforeIsFoundByItsHash) {
  DraftSession remote(draft_.engine, {.context = 512, .max_draft = 4});
  Client client;
  std::vector<Token> text = Prompt(40);
  const BurstAnswer before = remote.Apply(client.Ask(text, 4));
  BurstRequest wrong{.id = 9, .position = 40, .hash = 1, .tokens = {5}, .count = 4};
  EXPECT_TRUE(remote.Apply(wrong).resync);
  wrong = {.id = 9, .position = 41, .hash = client.hash(), .tokens = {5}, .count = 4};
  EXPECT_TRUE(remote.Apply(wrong).resync);
  // Nothing has changed, and the whole text is always understood.
  EXPECT_EQ(remote.Apply(client.Ask(text, 4)).tokens, before.tokens);
  EXPECT_EQ(remote.Apply(Client().Ask(text, 4)).tokens, before.tokens);
  // Another text, far before what can be undone.
  text = Prompt(30);
  text[10] = 7;
  const auto local = MakeModelDrafter(draft_.engine, {.context = 512});
  Rng rng(1);
  local->Prepare(text);
  const BurstRequest request = client.Ask(text, 4);
  EXPECT_EQ(request.position, 10U);
  EXPECT_EQ(remote.Apply(request).tokens, DraftNow(*local, text, 4, {}, rng).tokens);
}

TEST_P(DraftSessionTest, EndsWithTheContext) {
  const std::vector<Token> prompt = Prompt(30);
  DraftSession remote(draft_.engine, {.context = 32, .max_draft = 4});
  Client client;
  const BurstAnswer answer = remote.Apply(client.Ask(prompt, 4));
  EXPECT_EQ(answer.tokens.size(), 3U);  // behind 30, 31 and 32 tokens
  while (remote.Ahead()) {
  }
  std::vector<Token> text = prompt;
  text.insert(text.end(), answer.tokens.begin(), answer.tokens.end());
  EXPECT_EQ(remote.Apply(client.Ask(text, 4)).full_at, 32);
  EXPECT_FALSE(remote.Ahead());
  EXPECT_EQ(remote.Apply(client.Ask(prompt, 4)).tokens, answer.tokens);
}

TEST_P(DraftSessionTest, EndsBeforeAGuessThatIsUnlikely) {
  const std::vector<Token> prompt = Prompt(60);
  const auto local = MakeModelDrafter(draft_.engine, {.context = 512, .min_probability = 0.4});
  DraftSession remote(draft_.engine, {.context = 512, .max_draft = 8, .min_probability = 0.4});
  Client client;
  Rng rng(1);
  for (size_t size = 40; size < 60; ++size) {
    const std::vector<Token> text(prompt.begin(), prompt.begin() + static_cast<ptrdiff_t>(size));
    if (size == 40) local->Prepare(text);
    EXPECT_EQ(remote.Apply(client.Ask(text, 8)).tokens, DraftNow(*local, text, 8, {}, rng).tokens) << size;
    while (remote.Ahead()) {
    }
  }
}

TEST_P(DraftSessionTest, RefusesRequestsThatMakeNoSense) {
  DraftSession remote(draft_.engine, {.context = 64, .max_draft = 4});
  const auto refused = [&](const BurstRequest& request) { EXPECT_THROW(remote.Apply(request), Error); };
  refused({.count = 4});                 // no text
  refused({.tokens = {1}, .count = 5});  // more than was agreed
  refused({.tokens = {1}, .count = -1});
  refused({.tokens = {1, 1 << 24}, .count = 1});  // no such token
  refused({.tokens = {-1}, .count = 1});
  refused({.position = 0xFFFFFFFFU, .tokens = {1}});  // no such text
  refused({.tokens = {1}, .sampling = SeededSampling{{.temperature = -1.0F}, 1}});
  EXPECT_THROW(DraftSession(draft_.engine, {.max_draft = 33}), Error);
  EXPECT_THROW(DraftSession(draft_.engine, {.max_draft = 0}), Error);
  EXPECT_EQ(remote.Apply({.tokens = {1}, .count = 4}).tokens.size(), 4U);
}

INSTANTIATE_TEST_SUITE_P(Models, DraftSessionTest,
                         testing::Values("tiny-qwen35-draft.gguf", "tiny-gemma3-Q8_0.gguf", "tiny-llama-Q8_0.gguf"),
                         [](const auto& name) {
                           return std::string(name.param).substr(5, std::string(name.param).find_first_of("-.", 5) - 5);
                         });

}  // namespace
}  // namespace assay
