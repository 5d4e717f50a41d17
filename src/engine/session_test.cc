// The engine against known answers (models/golden.json), and the promises of Session: chunks, rollback, limits.

#include "engine/session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/rng.h"

namespace assay {
namespace {

const std::filesystem::path kModels = std::filesystem::path(ASSAY_SOURCE_DIR) / "models";

const nlohmann::json& Golden() {
  static const nlohmann::json golden = [] {
    std::ifstream file(kModels / "golden.json");
    return nlohmann::json::parse(file);
  }();
  return golden;
}

// A model with what it needs to run, loaded once per (file, backend).
struct Loaded {
  Loaded(const std::filesystem::path& path, const std::string& backend_name)
      : model(Model::Open(path)), backend(MakeBackend(backend_name, 2)), engine(*model, *backend) {}
  std::unique_ptr<Model> model;
  std::unique_ptr<Backend> backend;
  Engine engine;
};

double NegativeLogLikelihood(std::span<const float> logits, Token token) {
  const double top = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  return std::log(sum) + top - static_cast<double>(logits[static_cast<size_t>(token)]);
}

std::vector<Token> Tokens(const nlohmann::json& ids) { return ids.get<std::vector<Token>>(); }

std::vector<Token> RandomTokens(uint64_t seed, int count, int vocab) {
  Rng rng(seed);
  std::vector<Token> tokens;
  tokens.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) tokens.push_back(static_cast<Token>(rng.Below(static_cast<uint64_t>(vocab))));
  return tokens;
}

struct Deviation {
  double rms = 0.0, worst = 0.0;
};

Deviation Compare(std::span<const float> a, std::span<const float> b) {
  Deviation d;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    d.worst = std::max(d.worst, std::abs(difference));
    d.rms += difference * difference / static_cast<double>(a.size());
  }
  d.rms = std::sqrt(d.rms);
  return d;
}

struct GoldenCase {
  std::string model;  // key in golden.json
  std::string backend;
  CacheType cache;
};

void PrintTo(const GoldenCase& c, std::ostream* out) { *out << c.model << " on " << c.backend; }

class GoldenTest : public testing::TestWithParam<GoldenCase> {};

TEST_P(GoldenTest, LogitsLikelihoodsAndGreedyContinuations) {
  const GoldenCase& c = GetParam();
  Loaded loaded(kModels / (c.model + ".gguf"), c.backend);
  const nlohmann::json& known = Golden().at(c.model);
  const std::vector<Token> tokens = Tokens(known["golden"]["tokens"]);
  Session session(loaded.engine, {.context = 512, .cache = c.cache});
  const std::span<const float> all = session.Forward(tokens, Logits::kAll);
  const auto vocab = static_cast<size_t>(loaded.model->spec.vocab);
  ASSERT_EQ(all.size(), tokens.size() * vocab);
  const auto row = [&](size_t t) { return all.subspan(t * vocab, vocab); };

  // The golden figures come from the weights before they were rounded to the F16 of the files. That rounding (2^-12 of
  // a weight, at random) moves each logit by about 1e-3, as dithering the F16 weights by half a unit in the last place
  // shows; an F16 cache adds as much. So these bounds are those of the files: five standard deviations over 4096
  // logits. How far the arithmetic itself is off, and the other architectures, are tests/architectures_test.cc's
  // matter.
  const auto last = known["golden"]["logits_last"].get<std::vector<float>>();
  const Deviation logits_off = Compare(row(tokens.size() - 1), last);
  EXPECT_LT(logits_off.rms, 2.2e-3) << "logits of the last position";
  EXPECT_LT(logits_off.worst, 1.1e-2) << "logits of the last position";

  const auto nll = known["golden"]["nll"].get<std::vector<float>>();
  std::vector<float> own;
  for (size_t t = 0; t < nll.size(); ++t) {
    own.push_back(static_cast<float>(NegativeLogLikelihood(row(t), tokens[t + 1])));
  }
  const Deviation nll_off = Compare(own, nll);
  EXPECT_LT(nll_off.rms, 2.2e-3) << "nll of the next tokens";
  EXPECT_LT(nll_off.worst, 1.1e-2) << "nll of the next tokens";

  // Where two tokens are as close as the tolerance, their order says nothing.
  const auto argmax = Tokens(known["golden"]["argmax"]);
  for (size_t t = 0; t < argmax.size(); ++t) {
    const std::span<const float> logits = row(t);
    const float top = *std::max_element(logits.begin(), logits.end());
    EXPECT_LT(top - logits[static_cast<size_t>(argmax[t])], 1.1e-2F) << "position " << t;
  }

  // Token by token the oracle is slow, and its logits have been judged already.
  if (!known.contains("greedy") || c.backend == "ref") return;
  for (const auto& [name, prompt] : known["greedy"].items()) {
    const std::vector<Token> ids = Tokens(prompt["ids"]);
    const std::vector<Token> start = loaded.model->tokenizer->Encode(prompt["prompt"].get<std::string>(), true);
    ASSERT_LT(start.size(), ids.size());
    ASSERT_TRUE(std::equal(start.begin(), start.end(), ids.begin())) << name << ": the prompt's tokens";
    Session run(loaded.engine, {.context = static_cast<int>(ids.size()) + 1, .cache = c.cache});
    std::span<const float> logits = run.Forward(start, Logits::kLast);
    for (size_t i = start.size(); i < ids.size(); ++i) {
      const auto best = static_cast<Token>(std::max_element(logits.begin(), logits.end()) - logits.begin());
      ASSERT_EQ(best, ids[i]) << name << ", token " << i;
      logits = run.Forward(std::span(&best, 1), Logits::kLast);
    }
  }
}

std::vector<GoldenCase> GoldenCases() {
  std::vector<GoldenCase> cases;
  for (const std::string& backend : BackendNames()) {
    for (const CacheType cache : {CacheType::kF32, CacheType::kF16}) {
      if (backend == "ref" && cache == CacheType::kF16) continue;  // the oracle is slow, and one cache type judges it
      for (const char* name : {"tiny-qwen35", "tiny-qwen35-draft"}) {
        cases.push_back({name, backend, cache});
      }
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenTest, testing::ValuesIn(GoldenCases()), [](const auto& case_info) {
  std::string name =
      case_info.param.model + (case_info.param.cache == CacheType::kF16 ? "_f16_" : "_f32_") + case_info.param.backend;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

// Every architecture, for the promises that hold of all.
std::vector<std::string> Files() {
  return {"tiny-qwen35-draft.gguf", "tiny-qwen35moe-Q8_0.gguf", "tiny-gemma3-Q8_0.gguf", "tiny-qwen3-Q8_0.gguf",
          "tiny-llama-Q8_0.gguf"};
}

class SessionTest : public testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  SessionTest() : loaded_(kModels / std::get<0>(GetParam()), std::get<1>(GetParam())) {}

  std::vector<float> AllLogits(std::span<const Token> tokens, const SessionOptions& options, int step) {
    Session session(loaded_.engine, options);
    std::vector<float> all;
    for (size_t i = 0; i < tokens.size(); i += static_cast<size_t>(step)) {
      const auto part = tokens.subspan(i, std::min(tokens.size() - i, static_cast<size_t>(step)));
      const std::span<const float> logits = session.Forward(part, Logits::kAll);
      all.insert(all.end(), logits.begin(), logits.end());
    }
    return all;
  }

  int vocab() const { return loaded_.model->spec.vocab; }

  // The window of tiny-gemma3 is 128: the text must be longer, and a chunk smaller, for its cache to wrap. The oracle,
  // which is slow, gets a model without a window.
  static int TextLength() { return std::get<1>(GetParam()) == "ref" ? 72 : 200; }

  Loaded loaded_;
};

bool SameBits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

TEST_P(SessionTest, ChunksOfAnySizeGiveTheBitsOfTokenByToken) {
  const int length = TextLength();
  const std::vector<Token> tokens = RandomTokens(1, length, vocab());
  const std::vector<float> single = AllLogits(tokens, {.context = length, .chunk = 1}, 1);
  for (const int chunk : {2, 7, 32}) {
    EXPECT_TRUE(SameBits(AllLogits(tokens, {.context = length, .chunk = chunk}, length), single))
        << "chunks of " << chunk;
  }
}

// The longest draft that speculation may verify, and the token before it, at once.
TEST_P(SessionTest, TheLongestVerificationGivesTheBitsOfSingleSteps) {
  constexpr int kBefore = 20;
  const std::vector<Token> tokens = RandomTokens(9, kBefore + kInvariantTokens, vocab());
  const std::vector<float> single = AllLogits(tokens, {.context = 64, .chunk = 1}, 1);
  Session session(loaded_.engine, {.context = 64, .rollback = kInvariantTokens});
  session.Forward(std::span(tokens).first(kBefore), Logits::kNone);
  session.Settle();
  const std::span<const float> logits =
      session.Forward(std::span(tokens).last(kInvariantTokens), Logits::kAll, Undo::kPossible);
  EXPECT_TRUE(SameBits(logits, std::span(single).subspan(static_cast<size_t>(kBefore * vocab()))));
}

TEST_P(SessionTest, RollbackToAnyTokenOfABatchLeavesTheBitsOfNeverHavingSeenTheRest) {
  const int length = TextLength();
  const std::vector<Token> tokens = RandomTokens(2, length, vocab());
  const std::span<const Token> text(tokens);
  const std::vector<Token> wrong = RandomTokens(3, 32, vocab());
  const SessionOptions options{.context = length + 40, .chunk = 32, .rollback = 32};
  const std::vector<float> expected = AllLogits(tokens, {.context = length, .chunk = 1}, 1);
  Session session(loaded_.engine, options);
  size_t done = static_cast<size_t>(length) - 50;
  session.Forward(text.first(done), Logits::kNone);  // in chunks of at most 32, which keep the bits
  for (const size_t accepted : {0, 1, 5, 2, 9}) {
    // A batch of which the first `accepted` are right.
    std::vector<Token> batch(text.begin() + static_cast<int64_t>(done),
                             text.begin() + static_cast<int64_t>(done + accepted));
    batch.insert(batch.end(), wrong.begin(), wrong.begin() + static_cast<int64_t>(32 - accepted));
    session.Forward(batch, Logits::kNone);
    done += accepted;
    session.Truncate(static_cast<int>(done));
    ASSERT_EQ(session.position(), static_cast<int>(done));
    const std::span<const float> logits = session.Forward(text.subspan(done, 1), Logits::kLast);
    const auto row = static_cast<size_t>(vocab());
    EXPECT_TRUE(SameBits(logits, std::span(expected).subspan(done * row, row))) << "after accepting " << accepted;
    ++done;
  }
}

TEST_P(SessionTest, RollbackReachesAcrossBatchesUntilTheStateSettles) {
  const std::vector<Token> tokens = RandomTokens(7, 40, vocab());
  const std::span<const Token> text(tokens);
  const std::vector<float> expected = AllLogits(tokens, {.context = 64, .chunk = 1}, 1);
  const auto row = static_cast<size_t>(vocab());
  Session session(loaded_.engine, {.context = 64, .rollback = 8});
  session.Forward(text.first(20), Logits::kNone);
  // A drafter's round: two known tokens, then guesses one by one; back to the first guess.
  session.Forward(text.subspan(20, 2), Logits::kNone);
  for (const Token guess : {text[22], 7, 8, 9}) session.Forward(std::span(&guess, 1), Logits::kNone);
  session.Truncate(23);
  session.Settle();
  std::span<const float> logits = session.Forward(text.subspan(23, 1), Logits::kLast);
  EXPECT_TRUE(SameBits(logits, std::span(expected).subspan(23 * row, row)));
  for (size_t i = 24; i < tokens.size(); ++i) {  // more than the log holds: it settles by itself
    logits = session.Forward(text.subspan(i, 1), Logits::kLast);
  }
  EXPECT_TRUE(SameBits(logits, std::span(expected).subspan(39 * row, row)));
}

TEST_P(SessionTest, StepsThatAreNeverUndoneGiveTheSameBitsAndEndWhatCanBe) {
  const std::vector<Token> tokens = RandomTokens(8, 30, vocab());
  const std::span<const Token> text(tokens);
  const std::vector<float> expected = AllLogits(tokens, {.context = 64, .chunk = 1}, 1);
  const auto row = static_cast<size_t>(vocab());
  Session session(loaded_.engine, {.context = 64, .rollback = 8});
  session.Forward(text.first(20), Logits::kNone);
  session.Forward(text.subspan(20, 3), Logits::kNone);  // pending when the next one settles
  for (size_t i = 23; i < 26; ++i) session.Forward(text.subspan(i, 1), Logits::kNone, Undo::kNever);
  session.Forward(text.subspan(26, 2), Logits::kNone);
  session.Truncate(27);
  const std::span<const float> logits = session.Forward(text.subspan(27, 1), Logits::kLast, Undo::kNever);
  EXPECT_TRUE(SameBits(logits, std::span(expected).subspan(27 * row, row)));
  if (session.memory().rollback > 0) {
    EXPECT_THROW(session.Truncate(27), Error);
  }
}

TEST_P(SessionTest, TopsAreThoseOfTheLogitsRowByRow) {
  const std::vector<Token> tokens = RandomTokens(10, 11, vocab());
  Session session(loaded_.engine, {.context = 64, .chunk = 4});
  const std::span<const float> logits = session.Forward(tokens, Logits::kAll);
  const std::span<const RowTop> tops = session.Tops();
  ASSERT_EQ(tops.size(), tokens.size());
  for (size_t row = 0; row < tops.size(); ++row) {
    const std::span<const float> one = logits.subspan(row * static_cast<size_t>(vocab()), static_cast<size_t>(vocab()));
    EXPECT_EQ(tops[row].token, std::max_element(one.begin(), one.end()) - one.begin());
    EXPECT_TRUE(tops[row].finite);
    const double likelihood = std::exp(-NegativeLogLikelihood(one, tops[row].token));
    // Each exponential of a float32 below 32 is off by 34 units, sums of 64 of them by as many.
    EXPECT_NEAR(session.TopProbability(row) / likelihood, 1.0, 100 * 0x1p-24);
  }
  session.Forward(std::span(tokens).first(2), Logits::kLast);
  EXPECT_EQ(session.Tops().size(), 1U);
  session.Forward(std::span(tokens).first(2), Logits::kNone);
  EXPECT_TRUE(session.Tops().empty());
}

TEST_P(SessionTest, TruncateToNothingStartsAnew) {
  const std::vector<Token> tokens = RandomTokens(4, 20, vocab());
  Session session(loaded_.engine, {.context = 64});
  const std::span<const float> first = session.Forward(tokens, Logits::kLast);
  const std::vector<float> kept(first.begin(), first.end());
  session.Truncate(0);
  EXPECT_TRUE(SameBits(session.Forward(tokens, Logits::kLast), kept));
}

TEST_P(SessionTest, RefusesWhatDoesNotFitAndKeepsItsState) {
  const std::vector<Token> tokens = RandomTokens(5, 16, vocab());
  Session session(loaded_.engine, {.context = 16});
  session.Forward(std::span(tokens).first(10), Logits::kNone);
  EXPECT_THROW(session.Forward(std::span(tokens).first(7), Logits::kNone), Error);
  const Token outside = vocab();
  EXPECT_THROW(session.Forward(std::span(&outside, 1), Logits::kNone), Error);
  EXPECT_EQ(session.position(), 10);
  EXPECT_NO_THROW(session.Forward(std::span(tokens).subspan(10), Logits::kLast));
}

TEST_P(SessionTest, TruncateBelowASettledStateIsRefused) {
  const std::vector<Token> tokens = RandomTokens(6, 20, vocab());
  Session session(loaded_.engine, {.context = 64, .rollback = 4});
  session.Forward(std::span(tokens).first(10), Logits::kNone);
  session.Forward(std::span(tokens).subspan(10, 4), Logits::kNone);
  if (session.memory().rollback > 0) {  // a cache alone, without a recurrent state, goes back anywhere
    EXPECT_THROW(session.Truncate(9), Error);
  }
  EXPECT_THROW(session.Truncate(15), Error);
  EXPECT_NO_THROW(session.Truncate(12));
}

// The slow oracle takes one model, with layers of both kinds.
std::vector<std::tuple<std::string, std::string>> SessionCases() {
  std::vector<std::tuple<std::string, std::string>> cases = {{"tiny-qwen35-draft.gguf", "ref"}};
  for (const std::string& file : Files()) cases.emplace_back(file, "cpu");
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Models, SessionTest, testing::ValuesIn(SessionCases()), [](const auto& case_info) {
  std::string name = std::get<0>(case_info.param) + "_" + std::get<1>(case_info.param);
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
});

}  // namespace
}  // namespace assay
