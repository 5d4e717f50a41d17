// Speculation on real models: the tokens of the target alone, whatever drafts, however long the draft.

#include "decode/speculate.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/error.h"
#include "base/file.h"
#include "base/whereabouts.h"
#include "decode/testing/distant_drafter.h"
#include "decode/testing/top_of.h"

namespace assay {
namespace {

const std::filesystem::path kModels = std::filesystem::path(ASSAY_SOURCE_DIR) / "models";

struct Loaded {
  Loaded(const std::filesystem::path& file, Backend& backend)
      : model(Model::Open(kModels / file)), engine(*model, backend) {}
  std::unique_ptr<Model> model;
  Engine engine;
};

// A copy of the bundled draft model whose logits of one token are not finite: it shares its embedding with its output.
std::filesystem::path BrokenDraft(Token token, uint16_t half) {
  std::string bytes = ReadFile(kModels / "tiny-qwen35-draft.gguf");
  const std::span<const uint8_t> view(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  const GgufFile file = GgufFile::Parse(view, "draft");
  const GgufTensor& embedding = *file.FindTensor("token_embd.weight");
  const size_t row = embedding.data.size() / embedding.rows();
  const auto offset = static_cast<size_t>(embedding.data.data() - view.data()) + row * static_cast<size_t>(token);
  std::memcpy(bytes.data() + offset, &half, sizeof(half));
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / "assay-broken-draft.gguf";
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

class SpeculateTest : public testing::Test {
 protected:
  std::vector<Token> Prompt(const char* file, size_t offset, size_t bytes) const {
    return target_.model->tokenizer->Encode(ReadFile(kModels / file).substr(offset, bytes), false);
  }
  const Tokenizer& tokenizer() const { return *target_.model->tokenizer; }

  Generation Plain(std::span<const Token> prompt, const GenerateOptions& options, int context = 512) {
    Session session(target_.engine, {.context = context});
    return Generate(session, prompt, options, tokenizer(), {});
  }

  Generation Speculative(Drafter& drafter, std::span<const Token> prompt, const GenerateOptions& options,
                         const SpeculationOptions& speculation, int context = 512) {
    rounds_.clear();
    Session session(target_.engine, {.context = context, .rollback = RollbackFor(speculation)});
    return GenerateSpeculatively(session, drafter, prompt, options, speculation, tokenizer(), {}, rounds_);
  }

  std::unique_ptr<Backend> backend_ = MakeBackend("", 2);
  Loaded target_{"tiny-qwen35.gguf", *backend_};
  Loaded draft_{"tiny-qwen35-draft.gguf", *backend_};
  std::vector<SpeculationRound> rounds_;
};

TEST_F(SpeculateTest, GivesTheTokensOfTheTargetAlone) {
  const GenerateOptions options{.max_tokens = 40, .ignore_end = true};
  for (const char* file : {"eval_prose.txt", "eval_code.txt", "eval_math.txt"}) {
    const std::vector<Token> prompt = Prompt(file, 2000, 300);
    const std::vector<Token> expected = Plain(prompt, options).tokens;
    const std::unique_ptr<Drafter> drafters[] = {MakeModelDrafter(draft_.engine, {}),
                                                 MakeModelDrafter(draft_.engine, {.min_probability = 0.5}),
                                                 MakeModelDrafter(target_.engine, {}), MakeNgramDrafter()};
    for (const auto& drafter : drafters) {
      for (const int k : {1, 4, 32}) {
        EXPECT_EQ(Speculative(*drafter, prompt, options, {.draft_length = k}).tokens, expected)
            << file << ", " << drafter->description() << ", k " << k;
      }
      EXPECT_EQ(Speculative(*drafter, prompt, options, {.draft_length = 16, .adaptive = true}).tokens, expected)
          << file << ", " << drafter->description() << ", adaptive";
    }
  }
}

TEST_F(SpeculateTest, AnAdaptiveLengthLearnsFromTextToText) {
  const GenerateOptions options{.max_tokens = 40, .ignore_end = true};
  const SpeculationOptions speculation{.draft_length = 8, .adaptive = true};
  const auto drafter = MakeModelDrafter(draft_.engine, {});
  DraftLength learned(8);
  EXPECT_GT(learned.WantedTrials(), 0);
  for (const size_t tokens : {1U, 2U, 100U}) {
    std::vector<Token> prompt = Prompt("eval_prose.txt", 2000, 600);
    prompt.resize(tokens);
    Session session(target_.engine, {.context = 512, .rollback = RollbackFor(speculation)});
    rounds_.clear();
    const Generation text =
        GenerateSpeculatively(session, *drafter, prompt, options, speculation, tokenizer(), {}, rounds_, learned);
    EXPECT_EQ(text.tokens, Plain(prompt, options).tokens);
    for (const SpeculationRound& round : rounds_) EXPECT_LE(round.drafted, 8);
  }
  EXPECT_EQ(learned.WantedTrials(), 0);
}

TEST_F(SpeculateTest, ATargetThatDraftsForItselfIsAlwaysRight) {
  const auto drafter = MakeModelDrafter(target_.engine, {});
  Speculative(*drafter, Prompt("eval_prose.txt", 500, 200), {.max_tokens = 61, .ignore_end = true},
              {.draft_length = 4});
  ASSERT_EQ(rounds_.size(), 12U);  // 60 tokens after the first, five a round
  for (const SpeculationRound& round : rounds_) EXPECT_EQ(round.accepted, round.drafted);
}

// The same rounds by brute force: both models decode the whole prefix anew for each token, nothing is rolled back.
TEST_F(SpeculateTest, AcceptanceEqualsThatOfARecomputationFromScratch) {
  constexpr int kLength = 4;
  constexpr int kTokens = 40;
  const std::vector<Token> prompt = Prompt("eval_code.txt", 1000, 200);
  const auto drafter = MakeModelDrafter(draft_.engine, {});
  const Generation fast =
      Speculative(*drafter, prompt, {.max_tokens = kTokens, .ignore_end = true}, {.draft_length = kLength});
  const auto greedy = [](Engine& engine, std::span<const Token> text) {
    Session session(engine, {.context = 512});
    return TopOf(session.Forward(text, Logits::kLast)).token;
  };
  std::vector<Token> text = prompt;
  text.push_back(greedy(target_.engine, text));
  for (size_t r = 0; r < rounds_.size(); ++r) {
    std::vector<Token> drafted = text;
    for (int i = 0; i < rounds_[r].drafted; ++i) drafted.push_back(greedy(draft_.engine, drafted));
    int accepted = 0;
    for (;; ++accepted) {
      const Token own = greedy(target_.engine, text);
      const size_t place = text.size();
      text.push_back(own);
      if (accepted == rounds_[r].drafted || drafted[place] != own) break;
    }
    ASSERT_EQ(rounds_[r].accepted, accepted) << "round " << r;
  }
  text.resize(prompt.size() + kTokens);
  EXPECT_EQ(std::vector<Token>(text.begin() + static_cast<int64_t>(prompt.size()), text.end()), fast.tokens);
}

TEST_F(SpeculateTest, EndsAtTheContextsLimitAsTheTargetAloneDoes) {
  const std::vector<Token> prompt = Prompt("eval_prose.txt", 500, 200);
  const auto drafter = MakeModelDrafter(draft_.engine, {.context = 512});
  for (int extra = 1; extra < 8; ++extra) {
    const int context = static_cast<int>(prompt.size()) + extra;
    const GenerateOptions options{.max_tokens = 100, .ignore_end = true};
    const Generation expected = Plain(prompt, options, context);
    const Generation found = Speculative(*drafter, prompt, options, {.draft_length = 4}, context);
    EXPECT_EQ(expected.stop, StopReason::kContext);
    EXPECT_EQ(found.stop, StopReason::kContext);
    EXPECT_EQ(found.tokens, expected.tokens);
  }
}

TEST_F(SpeculateTest, ADraftModelWithASmallerContextStopsHelpingNotWorkingAndSaysSo) {
  const std::vector<Token> prompt = Prompt("eval_prose.txt", 500, 200);
  const int holds = static_cast<int>(prompt.size()) + 10;
  const auto drafter = MakeModelDrafter(draft_.engine, {.context = holds});
  const GenerateOptions options{.max_tokens = 40, .ignore_end = true};
  EXPECT_EQ(Speculative(*drafter, prompt, {.max_tokens = 5, .ignore_end = true}, {}).tokens.size(), 5U);
  EXPECT_EQ(drafter->full_at(), std::nullopt);
  EXPECT_EQ(Speculative(*drafter, prompt, options, {.draft_length = 4}).tokens, Plain(prompt, options).tokens);
  EXPECT_EQ(drafter->full_at(), holds);
}

TEST_F(SpeculateTest, APromptThatDoesNotFitIsRefusedByWhoCannotHoldIt) {
  const std::vector<Token> prompt = Prompt("eval_prose.txt", 500, 200);
  const auto said = [&](const auto& action) -> std::string {
    try {
      action();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
      return error.what();
    }
    return "nothing";
  };
  const auto drafter = MakeModelDrafter(draft_.engine, {.context = 8});
  EXPECT_THAT(said([&] { Speculative(*drafter, prompt, {}, {}); }),
              testing::AllOf(testing::HasSubstr("the draft model"), testing::HasSubstr("8 tokens")));
  const auto ngrams = MakeNgramDrafter();
  for (const std::string& message :
       {said([&] { Plain(prompt, {}, 8); }), said([&] { Speculative(*ngrams, prompt, {}, {}, 8); })}) {
    EXPECT_THAT(message, testing::AllOf(testing::HasSubstr("the model's context holds 8"), testing::HasSubstr("-c")));
  }
}

// Else a NaN takes or refuses guesses whatever the target thinks of them.
TEST_F(SpeculateTest, ADraftWhoseLogitsAreNotFiniteIsAnErrorThatNamesIt) {
  constexpr uint16_t kNan = 0x7E00;
  constexpr uint16_t kInfinity = 0x7C00;
  const std::vector<Token> prompt = Prompt("eval_prose.txt", 500, 200);
  for (const Token token : {0, 2000, 4095}) {
    for (const uint16_t bad : {kNan, kInfinity}) {
      Loaded broken(BrokenDraft(token, bad), *backend_);
      const auto drafter = MakeModelDrafter(broken.engine, {});
      for (const float temperature : {0.0F, 0.8F}) {
        try {
          Speculative(*drafter, prompt, {.max_tokens = 8, .sampling = {.temperature = temperature}}, {});
          FAIL() << "a logit of token " << token << " is not finite";
        } catch (const Error& error) {
          EXPECT_EQ(error.kind(), ErrorKind::kInvalid);
          EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("the draft model"),
                                                   testing::HasSubstr(fmt::format("at token {}", prompt.size() + 1))));
        }
      }
    }
  }
}

TEST_F(SpeculateTest, ATargetWhoseLogitsAreNotFiniteIsAnError) {
  const std::vector<Token> prompt = Prompt("eval_prose.txt", 500, 200);
  for (const Token token : {0, 2000, 4095}) {
    Loaded broken(BrokenDraft(token, 0x7E00), *backend_);
    for (const float temperature : {0.0F, 0.8F}) {
      const GenerateOptions options{.max_tokens = 8, .sampling = {.temperature = temperature}};
      Session plain(broken.engine, {.context = 512});
      EXPECT_THROW(Generate(plain, prompt, options, tokenizer(), {}), Error);
      Session session(broken.engine, {.context = 512, .rollback = 5});
      session.Forward(std::span(prompt).first(10), Logits::kNone);
      Stopwatch watch;
      SpeculationRound round;
      Rng rng(1);
      EXPECT_THROW(VerifyRound(session, prompt[10], {{prompt[11]}, {}, {}}, options.sampling, rng, watch, round),
                   Error);
    }
  }
}

// Many seeds of three tokens each: the second and third come from rounds, and their frequencies must be the target's.
TEST_F(SpeculateTest, SamplingWithADraftHasTheTargetsDistribution) {
  constexpr int kTexts = 800;
  const std::vector<Token> prompt = Prompt("eval_prose.txt", 500, 20);
  const SamplingOptions sampling{.temperature = 0.9F, .top_k = 3};
  std::map<std::vector<Token>, double> expected;
  const auto continued = [&](const std::vector<Token>& text) {
    Session session(target_.engine, {.context = 128});
    const std::span<const float> logits = session.Forward(text, Logits::kLast);
    return SamplingDistribution(logits, TopOf(logits), sampling);
  };
  const auto expand = [&](const auto& self, const std::vector<Token>& tokens, double probability) -> void {
    if (tokens.size() == 3) {
      expected[tokens] = probability * kTexts;
      return;
    }
    std::vector<Token> text = prompt;
    text.insert(text.end(), tokens.begin(), tokens.end());
    const Distribution next = continued(text);
    for (size_t i = 0; i < next.size(); ++i) {
      std::vector<Token> longer = tokens;
      longer.push_back(next.token(i));
      self(self, longer, probability * next.probability(i));
    }
  };
  expand(expand, {}, 1.0);
  const auto drafter = MakeModelDrafter(draft_.engine, {.context = 128});
  const SpeculationOptions speculation{.draft_length = 2};
  Session session(target_.engine, {.context = 128, .rollback = RollbackFor(speculation)});
  std::map<std::vector<Token>, int> counts;
  rounds_.clear();
  for (int seed = 0; seed < kTexts; ++seed) {
    session.Truncate(0);
    const GenerateOptions options{
        .max_tokens = 3, .sampling = sampling, .seed = static_cast<uint64_t>(seed), .ignore_end = true};
    ++counts[GenerateSpeculatively(session, *drafter, prompt, options, speculation, tokenizer(), {}, rounds_).tokens];
  }
  int accepted = 0;
  int drafted = 0;
  for (const SpeculationRound& round : rounds_) {
    accepted += round.accepted;
    drafted += round.drafted;
  }
  EXPECT_GT(accepted, 0);
  EXPECT_LT(accepted, drafted);
  // Rare texts are taken together, so that each cell is large enough for chi-squared.
  double chi_squared = 0.0, rare_expected = 0.0, rare_found = 0.0;
  int cells = 0;
  const auto add = [&](double found, double wanted) {
    chi_squared += (found - wanted) * (found - wanted) / wanted;
    ++cells;
  };
  for (const auto& [tokens, count] : counts) EXPECT_TRUE(expected.contains(tokens));
  for (const auto& [tokens, wanted] : expected) {
    const auto found = counts.find(tokens);
    const double count = found == counts.end() ? 0.0 : found->second;
    if (wanted >= 10.0) {
      add(count, wanted);
    } else {
      rare_expected += wanted;
      rare_found += count;
    }
  }
  if (rare_expected >= 10.0) add(rare_found, rare_expected);
  // The 1% point by Wilson and Hilferty.
  const double degrees = cells - 1;
  const double point = degrees * std::pow(1.0 - 2.0 / (9.0 * degrees) + 2.326 * std::sqrt(2.0 / (9.0 * degrees)), 3);
  EXPECT_GT(cells, 8);
  EXPECT_LT(chi_squared, point) << cells << " cells";
}

TEST_F(SpeculateTest, SamplingIsReproducibleAndStopsWhenToldTo) {
  const std::vector<Token> prompt = Prompt("eval_prose.txt", 500, 200);
  const auto drafter = MakeModelDrafter(draft_.engine, {});
  const GenerateOptions options{
      .max_tokens = 30, .sampling = {.temperature = 0.8F, .top_k = 40, .top_p = 0.95F}, .seed = 3, .ignore_end = true};
  const std::vector<Token> first = Speculative(*drafter, prompt, options, {.draft_length = 4}).tokens;
  EXPECT_EQ(first.size(), 30U);
  EXPECT_EQ(Speculative(*drafter, prompt, options, {.draft_length = 4}).tokens, first);
  Session session(target_.engine, {.context = 512, .rollback = 5});
  int calls = 0;
  const Generation stopped = GenerateSpeculatively(
      session, *drafter, prompt, options, {.draft_length = 4}, tokenizer(), [&](Token) { return ++calls < 7; },
      rounds_);
  EXPECT_EQ(stopped.tokens.size(), 7U);
  EXPECT_EQ(stopped.stop, StopReason::kCallback);
}

// Guards and figures divide the time of a text by the parts of its rounds.
TEST_F(SpeculateTest, ThePartsOfAllRoundsAreTheTimeOfTheText) {
  const std::vector<Token> prompt = Prompt("eval_prose.txt", 500, 200);
  const auto drafter = MakeModelDrafter(draft_.engine, {});
  for (const bool adaptive : {false, true}) {
    const Generation text = Speculative(*drafter, prompt, {.max_tokens = 60, .ignore_end = true},
                                        {.draft_length = 4, .adaptive = adaptive});
    double sum = 0.0;
    for (const SpeculationRound& round : rounds_) {
      sum += round.draft_seconds + round.TargetSeconds() + round.other_seconds;
      EXPECT_GT(round.verify_seconds, 0.0);
      EXPECT_GT(round.sample_seconds, 0.0);
    }
    EXPECT_NEAR(sum, text.decode_seconds, 0.02 * text.decode_seconds) << "adaptive: " << adaptive;
  }
}

// What could be undone costs more: plain steps must cost what they cost without speculation, or `-k auto` would lose.
TEST_F(SpeculateTest, StepsWithoutGuessesGoStraightIntoTheStates) {
  class NoDrafter : public HomeDrafter {
   public:
    std::string description() const override { return "nothing"; }
    void Prepare(std::span<const Token>) override {}

   private:
    Draft Propose(std::span<const Token>, int, const SamplingOptions&, Rng&) override { return {}; }
  };
  NoDrafter drafter;
  Session session(target_.engine, {.context = 512, .rollback = 5});
  const std::vector<Token> prompt = Prompt("eval_prose.txt", 500, 200);
  GenerateSpeculatively(session, drafter, prompt, {.max_tokens = 4, .ignore_end = true}, {.draft_length = 4},
                        tokenizer(), {}, rounds_);
  ASSERT_EQ(rounds_.size(), 3U);
  EXPECT_THROW(session.Truncate(session.position() - 1), Error);
}

// Writes down what is asked of another drafter.
class RecordedDrafter : public Drafter {
 public:
  RecordedDrafter(std::unique_ptr<Drafter> inner, std::string& events) : inner_(std::move(inner)), events_(events) {}
  std::string description() const override { return inner_->description(); }
  std::shared_ptr<const DrafterIdentity> identity() const override { return inner_->identity(); }
  void Prepare(std::span<const Token> prompt) override {
    events_ += 'p';
    inner_->Prepare(prompt);
  }
  void Begin(std::span<const Token> text, int count, const SamplingOptions& sampling, Rng& rng) override {
    events_ += 'b';
    inner_->Begin(text, count, sampling, rng);
  }
  Draft Take() override {
    events_ += 't';
    return inner_->Take();
  }

 private:
  std::unique_ptr<Drafter> inner_;
  std::string& events_;
};

// A drafter elsewhere has the time in which the caller is told of the tokens. What the target drafts for itself is
// always taken, so that each round gives three tokens.
TEST_F(SpeculateTest, ABurstIsBegunBeforeTheCallerIsToldAndNoneWhereTheTextEnds) {
  const std::vector<Token> prompt = Prompt("eval_prose.txt", 500, 200);
  std::string events;
  RecordedDrafter drafter(MakeModelDrafter(target_.engine, {}), events);
  const auto run = [&](int tokens, int wanted) {
    events.clear();
    rounds_.clear();
    Session session(target_.engine, {.context = 512, .rollback = 3});
    int told = 0;
    const OnToken tell = [&](Token) {
      events += 'e';
      return ++told < wanted;
    };
    return GenerateSpeculatively(session, drafter, prompt, {.max_tokens = tokens, .ignore_end = true},
                                 {.draft_length = 2}, tokenizer(), tell, rounds_);
  };
  run(7, 100);
  EXPECT_EQ(events, "pebtbeeeteee");
  // One token is left for the last round, which is a plain step.
  run(5, 100);
  EXPECT_EQ(events, "pebteeee");
  const Generation stopped = run(7, 3);  // only the caller knows that; the burst is for nothing
  EXPECT_EQ(events, "pebtbee");
  EXPECT_EQ(stopped.stop, StopReason::kCallback);
  double sum = 0.0;
  for (const SpeculationRound& round : rounds_) {
    sum += round.draft_seconds + round.TargetSeconds() + round.other_seconds;
  }
  EXPECT_NEAR(sum, stopped.decode_seconds, 0.02 * stopped.decode_seconds);
}

TEST_F(SpeculateTest, ADrafterElsewhereThatFailsLeavesTheTextAsItIs) {
  const std::unique_ptr<Backend> elsewhere = MakeBackend("", 1);
  Loaded remote("tiny-qwen35-draft.gguf", *elsewhere);
  const std::vector<Token> prompt = Prompt("eval_prose.txt", 500, 200);
  const GenerateOptions options{.max_tokens = 40, .ignore_end = true};
  DistantDrafter drafter(MakeModelDrafter(remote.engine, {}), {.failing = {0, 2, 3}});
  const std::vector<Token> alone = Plain(prompt, options).tokens;
  EXPECT_EQ(Speculative(drafter, prompt, options, {.draft_length = 16, .adaptive = true}).tokens, alone);
  drafter.Restart();
  EXPECT_EQ(Speculative(drafter, prompt, options, {.draft_length = 4}).tokens, alone);
  EXPECT_THAT(drafter.failure().value_or(""), testing::HasSubstr("lost the connection"));
  ASSERT_GT(rounds_.size(), 5U);
  for (size_t i = 0; i < 5; ++i) {
    const bool fails = i == 0 || i == 2 || i == 3;
    EXPECT_EQ(rounds_[i].evidence.failed, fails) << i;
    EXPECT_EQ(rounds_[i].evidence.who != nullptr, !fails) << i;
    EXPECT_EQ(rounds_[i].drafted > 0, !fails) << i;
  }
}

TEST_F(SpeculateTest, EachBurstShowsWhoMadeItAndOfWhichLogits) {
  const std::vector<Token> prompt = Prompt("eval_prose.txt", 500, 200);
  const GenerateOptions options{.max_tokens = 20, .ignore_end = true};
  const auto hashes = [&](Drafter& drafter) {
    Speculative(drafter, prompt, options, {.draft_length = 4});
    std::vector<uint64_t> found;
    for (const SpeculationRound& round : rounds_) found.push_back(round.evidence.logit_hash);
    return found;
  };
  const auto drafter =
      MakeModelDrafter(draft_.engine, {.device = "this processor", .model_digest = "of the draft's file"});
  const std::vector<uint64_t> first = hashes(*drafter);
  for (const SpeculationRound& round : rounds_) {
    if (round.drafted == 0) continue;
    ASSERT_NE(round.evidence.who, nullptr);
    EXPECT_EQ(*round.evidence.who, (DrafterIdentity{.backend = backend_->description(),
                                                    .device = "this processor",
                                                    .machine = MachineId(),
                                                    .process = ProcessId(),
                                                    .model_digest = "of the draft's file",
                                                    .address = ""}));
    EXPECT_GT(round.evidence.compute_seconds, 0.0);
    EXPECT_LE(round.evidence.compute_seconds, round.draft_seconds);
    EXPECT_NE(round.evidence.logit_hash, 0U);
    EXPECT_EQ(round.evidence.sent_bytes + round.evidence.received_bytes, 0);
  }
  EXPECT_EQ(hashes(*drafter), first);
  // The same model, whose logits have other bits.
  const std::unique_ptr<Backend> reference = MakeBackend("ref", 1);
  Loaded other("tiny-qwen35-draft.gguf", *reference);
  const auto by_reference = MakeModelDrafter(other.engine, {});
  EXPECT_NE(hashes(*by_reference).front(), first.front());
  const auto ngrams = MakeNgramDrafter();
  hashes(*ngrams);
  EXPECT_EQ(rounds_.front().evidence.who->backend, "n-grams");
}

TEST_F(SpeculateTest, RefusesDraftLengthsOutOfRangeAndEmptyPrompts) {
  const auto drafter = MakeNgramDrafter();
  const std::vector<Token> prompt = {1, 2, 3};
  EXPECT_THROW(Speculative(*drafter, prompt, {}, {.draft_length = 0}), Error);
  EXPECT_THROW(Speculative(*drafter, prompt, {}, {.draft_length = 33}), Error);
  EXPECT_THROW(Speculative(*drafter, {}, {}, {.draft_length = 4}), Error);
}

TEST(NgramDrafter, ContinuesTheLatestOccurrenceOfTheLongestMatch) {
  const auto drafter = MakeNgramDrafter(2);
  Rng rng(1);
  const std::vector<Token> text = {5, 1, 2, 7, 8, 1, 2, 9, 4, 1, 2};
  EXPECT_EQ(DraftNow(*drafter, text, 3, {}, rng).tokens, (std::vector<Token>{9, 4, 1}));
  const std::vector<Token> shorter = {3, 6, 4, 9, 6};
  EXPECT_EQ(DraftNow(*drafter, shorter, 8, {}, rng).tokens, (std::vector<Token>{4, 9, 6}));
  const std::vector<Token> fresh = {1, 2, 3};
  EXPECT_TRUE(DraftNow(*drafter, fresh, 4, {}, rng).tokens.empty());
}

}  // namespace
}  // namespace assay
