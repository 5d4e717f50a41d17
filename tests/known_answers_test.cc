// Every architecture against the known answers of an independent implementation (known_models.h). What the oracle in
// double precision and transformers in float32 may differ by is what float32 rounds: 1e-3 of the logits' standard
// deviation, and 1e-4 in the mean negative log-likelihood. What the cpu backend may differ by is in
// architectures_test.cc. Here is what holds bit by bit: batches, and speculation.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <vector>

#include "base/error.h"
#include "decode/speculate.h"
#include "engine/loaded_model.h"
#include "forge/quantize.h"
#include "known_models.h"
#include "study_models.h"

namespace assay {
namespace {

double Worst(std::span<const float> a, std::span<const float> b) {
  double worst = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  }
  return worst;
}

double NegativeLogLikelihood(std::span<const float> logits, Token token) {
  const double top = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  return std::log(sum) + top - static_cast<double>(logits[static_cast<size_t>(token)]);
}

class KnownAnswersTest : public testing::TestWithParam<std::string> {};

TEST_P(KnownAnswersTest, OfTheOracle) {
  const KnownAnswers known = AnswersOf(GetParam());
  const std::unique_ptr<Backend> backend = MakeBackend("ref", 2);
  LoadedModel loaded(KnownModelFile(GetParam()), *backend);
  Session session(loaded.engine, {.context = static_cast<int>(known.tokens.size()), .cache = CacheType::kF32});
  const std::span<const float> all = session.Forward(known.tokens, Logits::kAll);
  const auto vocab = static_cast<size_t>(loaded.model->spec.vocab);
  const auto row = [&](size_t t) { return all.subspan(t * vocab, vocab); };
  ASSERT_EQ(known.middle.size(), vocab);

  const double allowed = 1e-3 * known.deviation;
  EXPECT_LT(Worst(row(100), known.middle), allowed);
  EXPECT_LT(Worst(row(known.tokens.size() - 1), known.last), allowed);
  double mean = 0.0, known_mean = 0.0;
  for (size_t t = 0; t < known.nll.size(); ++t) {
    const double nll = NegativeLogLikelihood(row(t), known.tokens[t + 1]);
    EXPECT_NEAR(nll, known.nll[t], 2 * allowed) << "position " << t;
    mean += nll / static_cast<double>(known.nll.size());
    known_mean += static_cast<double>(known.nll[t]) / static_cast<double>(known.nll.size());
  }
  EXPECT_NEAR(mean, known_mean, 1e-4);
  for (size_t t = 0; t < known.argmax.size(); ++t) {
    const float top = *std::max_element(row(t).begin(), row(t).end());
    EXPECT_NEAR(row(t)[static_cast<size_t>(known.argmax[t])], top, 2 * allowed) << "position " << t;
  }
}

// The file itself, and it at Q4_0.
std::filesystem::path QuantisedFile(const std::string& name) {
  std::filesystem::path file = TemporaryPath(name + "-Q4_0.gguf");
  if (!std::filesystem::exists(file)) {
    QuantizeOptions options;
    options.threads = 2;
    QuantizeModel(GgufFile::Open(KnownModelFile(name)), file, Rung::kQ4_0, options);
  }
  return file;
}

// Logits of a text in batches of these sizes, the last of which may be longer.
std::vector<float> InBatches(Engine& engine, std::span<const Token> text, std::span<const size_t> sizes) {
  Session session(engine, {.context = static_cast<int>(text.size())});
  std::vector<float> all;
  size_t token = 0;
  for (size_t i = 0; token < text.size(); ++i) {
    const size_t count = std::min(sizes[i % sizes.size()], text.size() - token);
    const std::span<const float> logits = session.Forward(text.subspan(token, count), Logits::kAll);
    all.insert(all.end(), logits.begin(), logits.end());
    token += count;
  }
  return all;
}

// The cpu backend's instruction sets that this machine has.
std::vector<std::unique_ptr<Backend>> InstructionSets() {
  std::vector<std::unique_ptr<Backend>> backends;
  for (const std::string isa : {"cpu:portable", "cpu:avx2", "cpu:avx512"}) {
    try {
      backends.push_back(MakeBackend(isa, 2));
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
    }
  }
  return backends;
}

// The largest batches, which are computed in another way, have the same bits on every instruction set, too.
TEST_P(KnownAnswersTest, HaveTheSameBitsInEveryBatchOnEveryInstructionSet) {
  const std::vector<Token> text = AnswersOf(GetParam()).tokens;
  for (const std::filesystem::path& file : {KnownModelFile(GetParam()), QuantisedFile(GetParam())}) {
    std::vector<float> first, first_at_once;
    for (const std::unique_ptr<Backend>& backend : InstructionSets()) {
      LoadedModel loaded(file, *backend);
      const std::vector<float> single = InBatches(loaded.engine, text, std::vector<size_t>{1});
      const std::vector<float> batched = InBatches(loaded.engine, text, std::vector<size_t>{2, 5, 16, 17, 33});
      const std::vector<float> at_once = InBatches(loaded.engine, text, std::vector<size_t>{text.size()});
      EXPECT_TRUE(std::ranges::equal(single, batched)) << backend->description() << ", " << file;
      if (first.empty()) first = single;
      if (first_at_once.empty()) first_at_once = at_once;
      EXPECT_TRUE(std::ranges::equal(single, first)) << backend->description() << ", " << file;
      EXPECT_TRUE(std::ranges::equal(at_once, first_at_once)) << backend->description() << ", " << file;
    }
  }
}

TEST_P(KnownAnswersTest, SpeculationGivesTheTokensOfTheModelAlone) {
  constexpr int kTokens = 32;
  std::vector<Token> prompt = AnswersOf(GetParam()).tokens;
  prompt.resize(40);
  prompt.insert(prompt.end(), prompt.begin(), prompt.begin() + 20);  // so that there is something to look up
  const int context = static_cast<int>(prompt.size()) + kTokens;
  for (const std::unique_ptr<Backend>& backend : InstructionSets()) {
    LoadedModel target(KnownModelFile(GetParam()), *backend), draft(QuantisedFile(GetParam()), *backend);
    const Tokenizer& tokenizer = *target.model->tokenizer;
    const GenerateOptions options{.max_tokens = kTokens, .ignore_end = true};
    Session alone(target.engine, {.context = context});
    const std::vector<Token> expected = Generate(alone, prompt, options, tokenizer, {}).tokens;
    ASSERT_EQ(expected.size(), static_cast<size_t>(kTokens));
    for (const bool by_model : {false, true}) {
      const SpeculationOptions speculation{.draft_length = 4};
      const auto drafter = by_model ? MakeModelDrafter(draft.engine, {.context = context}) : MakeNgramDrafter();
      Session session(target.engine, {.context = context, .rollback = RollbackFor(speculation)});
      std::vector<SpeculationRound> rounds;
      const std::vector<Token> found =
          GenerateSpeculatively(session, *drafter, prompt, options, speculation, tokenizer, {}, rounds).tokens;
      EXPECT_EQ(found, expected) << backend->description()
                                 << (by_model ? ", drafted by the model at Q4_0" : ", by n-grams");
      EXPECT_FALSE(rounds.empty());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, KnownAnswersTest, testing::ValuesIn(KnownModels()),
                         [](const auto& case_info) { return TestName(case_info.param); });

}  // namespace
}  // namespace assay
