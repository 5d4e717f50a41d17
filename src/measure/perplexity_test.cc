#include "measure/perplexity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

// A model that expects token t to be followed by t + 1 (modulo the vocabulary) with logit `strength`, all others at
// `offset`, and that remembers what was asked of it.
class SuccessorModel : public LogitSource {
 public:
  SuccessorModel(int vocab, float strength, float offset = 0.0F)
      : vocab_(vocab), strength_(strength), offset_(offset) {}

  int vocab() const override { return vocab_; }
  void Reset() override {
    ++resets;
    position_ = 0;
  }
  std::span<const float> Forward(std::span<const Token> tokens, Logits wanted) override {
    logits_.clear();
    for (const Token token : tokens) {
      if (wanted == Logits::kAll) AppendLogits(token);
      if (wanted == Logits::kAll) scored_at.push_back(position_);
      ++position_;
      ++tokens_seen;
    }
    if (wanted == Logits::kAll) largest_batch = std::max(largest_batch, logits_.size() * sizeof(float));
    return logits_;
  }

  // A value to give instead, at one position of every window.
  int broken_position = -1;
  float broken_value = 0.0F;

  int resets = 0;
  int64_t tokens_seen = 0;
  size_t largest_batch = 0;
  std::vector<int> scored_at;

 private:
  void AppendLogits(Token token) {
    const size_t begin = logits_.size();
    logits_.resize(begin + static_cast<size_t>(vocab_), offset_);
    logits_[begin + static_cast<size_t>((token + 1) % vocab_)] += strength_;
    if (position_ == broken_position) logits_[begin] = broken_value;
  }

  int vocab_;
  float strength_, offset_;
  int position_ = 0;
  std::vector<float> logits_;
};

// Gives out the windows of a list.
std::function<bool(std::vector<Token>&)> Windows(std::vector<std::vector<Token>> windows) {
  return [windows = std::move(windows), next = size_t{0}](std::vector<Token>& window) mutable {
    if (next == windows.size()) return false;
    window = windows[next++];
    return true;
  };
}

std::vector<Token> Counting(int count, int vocab) {
  std::vector<Token> tokens(static_cast<size_t>(count));
  std::generate(tokens.begin(), tokens.end(), [&, next = 0]() mutable { return next++ % vocab; });
  return tokens;
}

ThreadPool& TestPool() {
  static ThreadPool pool(2);
  return pool;
}

// One model alone, with or without a base.
PerplexityResult Score(LogitSource& model, LogitSource* base, std::vector<std::vector<Token>> windows,
                       const PerplexityOptions& options) {
  const ScoredModel models[] = {{&model}};
  return ScoreWindows(models, {base}, Windows(std::move(windows)), options, TestPool()).front();
}

TEST(PerplexityTest, ScoresTheSecondHalfOfEachWindowFromAnEmptyState) {
  SuccessorModel model(16, 3.0F);
  const PerplexityResult result = Score(model, nullptr, {Counting(512, 16), Counting(512, 16)}, {});
  EXPECT_EQ(result.windows, 2);
  EXPECT_EQ(result.tokens_scored, 2 * 255);
  EXPECT_EQ(model.resets, 2);
  EXPECT_EQ(model.tokens_seen, 2 * 511);
  EXPECT_EQ(model.scored_at.front(), 256);
  EXPECT_EQ(model.scored_at[254], 510);
  EXPECT_EQ(result.window_nll.size(), 2U);
}

// Exponentials in single precision, and a mean that is held as float.
constexpr double kScoring = 1e-6;

TEST(PerplexityTest, FiguresFollowFromTheProbabilities) {
  // Positions 4, 5, 6 predict 5 (expected), 5 (expected 6), 6 (expected): two hits and a miss.
  SuccessorModel model(8, 2.0F);
  const PerplexityResult result = Score(model, nullptr, {{0, 1, 2, 3, 4, 5, 5, 6}}, {.context = 8});
  const double mean = std::log(std::exp(2.0) + 7.0) - 2.0 * 2.0 / 3.0;
  EXPECT_NEAR(result.nll(), mean, kScoring);
  EXPECT_NEAR(result.ppl(), std::exp(mean), std::exp(mean) * kScoring);
  EXPECT_FALSE(result.base.has_value());
}

TEST(PerplexityTest, LargeLogitsNeitherOverflowNorLosePrecision) {
  SuccessorModel plain(8, 2.0F);
  SuccessorModel shifted(8, 2.0F, 4096.0F);
  const std::vector<Token> window = {0, 1, 2, 3, 4, 5, 5, 6};
  EXPECT_NEAR(Score(shifted, nullptr, {window}, {.context = 8}).nll(),
              Score(plain, nullptr, {window}, {.context = 8}).nll(), kScoring);
}

TEST(PerplexityTest, ComparisonWithABaseIsPairedByPosition) {
  constexpr int kVocab = 8;
  SuccessorModel model(kVocab, 1.0F);
  SuccessorModel base(kVocab, 2.0F);
  const PerplexityResult result = Score(model, &base, {{0, 1, 2, 3, 4, 5, 5, 6}}, {.context = 8});
  ASSERT_TRUE(result.base.has_value());

  const double model_sum = std::log(std::exp(1.0) + kVocab - 1);
  const double base_sum = std::log(std::exp(2.0) + kVocab - 1);
  EXPECT_NEAR(result.window_nll[0], model_sum - 2.0 / 3.0, kScoring);
  EXPECT_NEAR(result.base->window_nll[0], base_sum - 4.0 / 3.0, kScoring);

  const double favourite = std::exp(2.0 - base_sum);
  const double other = std::exp(-base_sum);
  const double divergence =
      favourite * ((2.0 - base_sum) - (1.0 - model_sum)) + (kVocab - 1) * other * (model_sum - base_sum);
  EXPECT_NEAR(result.base->window_kld[0], divergence, kScoring);
  EXPECT_NEAR(result.base->kld_median, divergence, kScoring);
  EXPECT_NEAR(result.base->kld_p99, divergence, kScoring);
  EXPECT_NEAR(result.base->kld_max, divergence, kScoring);
  EXPECT_EQ(result.base->window_top1[0], 1.0F);
}

TEST(PerplexityTest, AModelAgainstItselfDiffersByNothing) {
  SuccessorModel model(32, 2.5F);
  SuccessorModel base(32, 2.5F);
  const PerplexityResult result = Score(model, &base, {Counting(64, 32)}, {.context = 64});
  EXPECT_EQ(result.window_nll, result.base->window_nll);
  EXPECT_EQ(result.base->kld_max, 0.0);
  EXPECT_EQ(result.base->window_top1[0], 1.0F);
}

TEST(PerplexityTest, DisagreementOnTheMostLikelyTokenIsCounted) {
  SuccessorModel model(8, -1.0F);  // never expects the successor
  SuccessorModel base(8, 2.0F);
  EXPECT_EQ(Score(model, &base, {Counting(16, 8)}, {.context = 16}).base->window_top1[0], 0.0F);
}

TEST(PerplexityTest, ManyModelsAreScoredAsEachAloneAndTheBaseRunsOnce) {
  SuccessorModel weak(8, 1.0F);
  SuccessorModel strong(8, 3.0F);
  SuccessorModel base(8, 2.0F);
  const ScoredModel models[] = {{&weak}, {&strong}};
  const std::vector<Token> window = Counting(16, 8);
  const auto together = ScoreWindows(models, {&base}, Windows({window, window}), {.context = 16}, TestPool());
  EXPECT_EQ(base.resets, 2);
  SuccessorModel alone(8, 3.0F);
  SuccessorModel alone_base(8, 2.0F);
  const PerplexityResult single = Score(alone, &alone_base, {window, window}, {.context = 16});
  EXPECT_EQ(together[1].window_nll, single.window_nll);
  EXPECT_EQ(together[1].base->window_kld, single.base->window_kld);
  EXPECT_NE(together[0].window_nll, together[1].window_nll);
}

TEST(PerplexityTest, LogitsOfALargeVocabularyAreTakenInPieces) {
  constexpr int kVocab = 300'000;
  SuccessorModel model(kVocab, 5.0F);
  const PerplexityResult result = Score(model, nullptr, {Counting(256, kVocab)}, {.context = 256});
  EXPECT_EQ(result.tokens_scored, 127);
  EXPECT_LE(model.largest_batch, size_t{64} << 20);
  EXPECT_NEAR(result.nll(), std::log(std::exp(5.0) + kVocab - 1) - 5.0, kScoring);
}

TEST(PerplexityTest, WindowsAreBounded) {
  SuccessorModel model(8, 1.0F);
  const std::vector<Token> window = Counting(8, 8);
  EXPECT_EQ(Score(model, nullptr, {window, window, window}, {.context = 8, .windows = 2}).windows, 2);
  EXPECT_EQ(model.resets, 2);
}

TEST(PerplexityTest, LogitsThatAreNotFiniteEndThatModelAloneAndABasesEndTheRun) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), kInfinity, -kInfinity}) {
    SuccessorModel good(8, 1.0F);
    SuccessorModel bad(8, 1.0F);
    bad.broken_position = 6;
    bad.broken_value = value;
    const std::vector<Token> window = Counting(8, 8);
    const ScoredModel models[] = {{&bad}, {&good}};
    const auto results = ScoreWindows(models, {}, Windows({window, window}), {.context = 8}, TestPool());
    EXPECT_THAT(results[0].failure, HasSubstr("the model gives logits that are not finite in window 0 at position 6"));
    EXPECT_EQ(results[1].failure, "");
    EXPECT_EQ(results[1].windows, 2);
    try {
      Score(good, &bad, {window}, {.context = 8});
      FAIL() << "a value of " << value << " was accepted from the base";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInvalid);
      EXPECT_THAT(error.what(), HasSubstr("the base model"));
    }
  }
}

TEST(PerplexityTest, TheEnginesPartIsEverydayArithmeticAgainstFine) {
  SuccessorModel model(8, 2.0F), everyday(8, 1.9F), base(8, 2.5F), everyday_base(8, -1.0F);
  const std::vector<Token> window = Counting(16, 8);
  const ScoredModel models[] = {{&model, &everyday}};
  const PerplexityResult both =
      ScoreWindows(models, {&base, &everyday_base}, Windows({window, window}), {.context = 16}, TestPool()).front();
  const auto expect_same = [](const Divergences& a, const Divergences& b) {
    EXPECT_EQ(a.window_kld, b.window_kld);
    EXPECT_EQ(a.window_top1, b.window_top1);
    EXPECT_EQ(a.kld_median, b.kld_median);
    EXPECT_EQ(a.kld_p99, b.kld_p99);
    EXPECT_EQ(a.kld_max, b.kld_max);
  };
  // What it has in common with a model against a base.
  SuccessorModel fine(8, 2.0F), coarse(8, 1.9F), fine_base(8, 2.5F), coarse_base(8, -1.0F);
  expect_same(both.engine.value(), *Score(coarse, &fine, {window, window}, {.context = 16}).base);
  expect_same(both.base->engine.value(), *Score(coarse_base, &fine_base, {window, window}, {.context = 16}).base);
  // The rest does not know of it.
  const PerplexityResult alone = Score(fine, &fine_base, {window, window}, {.context = 16});
  EXPECT_EQ(both.window_nll, alone.window_nll);
  EXPECT_EQ(both.base->window_nll, alone.base->window_nll);
  expect_same(*both.base, *alone.base);
  EXPECT_FALSE(alone.engine.has_value());
  EXPECT_FALSE(alone.base->engine.has_value());
}

TEST(PerplexityTest, EverydayLogitsThatAreNotFiniteEndTheModel) {
  SuccessorModel model(8, 2.0F), everyday(8, 2.0F);
  everyday.broken_position = 6;
  everyday.broken_value = std::numeric_limits<float>::quiet_NaN();
  const ScoredModel models[] = {{&model, &everyday}};
  const PerplexityResult result =
      ScoreWindows(models, {}, Windows({Counting(8, 8)}), {.context = 8}, TestPool()).front();
  EXPECT_THAT(result.failure, HasSubstr("in window 0 at position 6 in everyday arithmetic"));
}

}  // namespace
}  // namespace assay
