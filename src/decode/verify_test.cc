// Speculative sampling leaves the target's distribution as it is: chi-squared tests that also catch broken versions.

#include "decode/verify.h"
#include "decode/testing/small_vocabulary.h"
#include "decode/testing/top_of.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace assay {
namespace {

const SamplingOptions kSampling{.temperature = 1.0F};

Distribution Sampled(std::span<const float> logits, const SamplingOptions& sampling) {
  return SamplingDistribution(logits, TopOf(logits), sampling);
}

// Chi-squared over its 1% point; infinite when a token came that cannot.
double Misfit(const std::vector<int>& counts, uint64_t seed, const SamplingOptions& sampling) {
  const Distribution d = Sampled(RandomLogits(seed), sampling);
  double total = 0.0;
  double sum = 0.0;
  for (const int count : counts) total += count;
  for (Token token = 0; token < kSmallVocab; ++token) {
    const double expected = d.ProbabilityOf(token) * total;
    const double off = counts[static_cast<size_t>(token)] - expected;
    if (expected == 0.0 && off > 0.0) return std::numeric_limits<double>::infinity();
    if (expected > 0.0) sum += off * off / expected;
  }
  return sum / kChiSquaredAt1Percent[d.size() - 1];
}

using VerifyFunction = std::function<Verification(std::span<const float>, std::span<const RowTop>, const Draft&,
                                                  const SamplingOptions&, Rng&)>;

// Two guesses drawn from q, judged by rows p0, p1, p2; what comes out first, and second where there is a second.
struct Outcome {
  std::vector<int> first = std::vector<int>(kSmallVocab), second = std::vector<int>(kSmallVocab);
};

enum class Guesses { kDrawn, kNamed };

Outcome RunDrafts(const VerifyFunction& verify, Guesses guesses, const SamplingOptions& sampling = kSampling) {
  std::vector<float> rows;
  for (const uint64_t seed : {11U, 12U, 13U}) {
    const std::vector<float> row = RandomLogits(seed);
    rows.insert(rows.end(), row.begin(), row.end());
  }
  const std::vector<RowTop> tops = TopsOf(rows, kSmallVocab);
  const Distribution q0 = Sampled(RandomLogits(21), sampling);
  const Distribution q1 = Sampled(RandomLogits(22), sampling);
  Rng rng(5);
  Outcome outcome;
  for (int i = 0; i < kDraws; ++i) {
    Draft draft;
    if (guesses == Guesses::kNamed) {
      draft.tokens = {3, 1};  // what a table of n-grams would name
    } else {
      draft.tokens = {q0.Draw(rng), q1.Draw(rng)};
      draft.distributions = {q0, q1};
    }
    const Verification verification = verify(rows, tops, draft, sampling, rng);
    const auto token = [&](int n) {
      return static_cast<size_t>(n < verification.accepted ? draft.tokens[static_cast<size_t>(n)] : verification.next);
    };
    ++outcome.first[token(0)];
    if (verification.accepted >= 1) ++outcome.second[token(1)];
  }
  return outcome;
}

TEST(Verify, LeavesTheTargetsDistribution) {
  // The filters make the supports of target and draft unequal.
  const SamplingOptions all[] = {kSampling,
                                 {.temperature = 1.0F, .top_k = 4},
                                 {.temperature = 1.0F, .top_p = 0.8F},
                                 {.temperature = 0.7F, .min_p = 0.2F},
                                 {.temperature = 1.5F, .top_k = 6, .top_p = 0.9F, .min_p = 0.05F}};
  for (const SamplingOptions& sampling : all) {
    SCOPED_TRACE(fmt::format("top-k {}, top-p {}, min-p {}", sampling.top_k, sampling.top_p, sampling.min_p));
    for (const Guesses guesses : {Guesses::kDrawn, Guesses::kNamed}) {
      const Outcome outcome = RunDrafts(Verify, guesses, sampling);
      EXPECT_LT(Misfit(outcome.first, 11, sampling), 1.0);
      EXPECT_LT(Misfit(outcome.second, 12, sampling), 1.0);
    }
  }
}

// Two mistakes: drawing the replacement from p instead of from what q left over, and taking a guess unjudged.
TEST(Verify, TheTestCatchesARejectionStepThatIsBrokenOnPurpose) {
  const VerifyFunction replaces_from_p = [](std::span<const float> logits, std::span<const RowTop> tops,
                                            const Draft& draft, const SamplingOptions& sampling, Rng& rng) {
    Verification verification = Verify(logits, tops, draft, sampling, rng);
    if (verification.accepted < static_cast<int>(draft.tokens.size())) {
      const size_t row = static_cast<size_t>(verification.accepted) * kSmallVocab;
      verification.next = Sampled(logits.subspan(row, kSmallVocab), sampling).Draw(rng);
    }
    return verification;
  };
  EXPECT_GT(Misfit(RunDrafts(replaces_from_p, Guesses::kDrawn).first, 11, kSampling), 10.0);
  const VerifyFunction never_refuses = [](std::span<const float> logits, std::span<const RowTop> tops,
                                          const Draft& draft, const SamplingOptions& sampling, Rng& rng) {
    Verification verification = Verify(logits, tops, draft, sampling, rng);
    verification.accepted = std::max(verification.accepted, 1);
    return verification;
  };
  EXPECT_GT(Misfit(RunDrafts(never_refuses, Guesses::kDrawn).first, 11, kSampling), 10.0);
}

TEST(Verify, AProbabilityThatIsNotANumberRefusesTheGuess) {
  const std::vector<float> rows(size_t{2} * kSmallVocab, 0.0F);
  const std::vector<RowTop> tops = TopsOf(rows, kSmallVocab);
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const Draft draft{{3}, {Distribution({}, std::vector<float>(kSmallVocab, kNan))}};
  std::vector<int> counts(kSmallVocab);
  Rng rng(1);
  for (int i = 0; i < 1000; ++i) {
    const Verification verification = Verify(rows, tops, draft, kSampling, rng);
    EXPECT_EQ(verification.accepted, 0);
    ++counts[static_cast<size_t>(verification.next)];
  }
  EXPECT_GT(*std::min_element(counts.begin(), counts.end()), 50);  // the target's own tokens, each about 125 times
}

TEST(Verify, GreedyTakesTheLongestPrefixOfTheTargetsOwnChoices) {
  const std::vector<float> rows = {0, 9, 0, 0, /**/ 9, 0, 0, 0, /**/ 0, 0, 9, 0, /**/ 0, 0, 0, 9};
  Rng rng(1);
  const auto judge = [&](std::vector<Token> guesses) {
    const std::span<const float> used = std::span(rows).first((guesses.size() + 1) * 4);
    return Verify(used, TopsOf(used, 4), {std::move(guesses), {}}, {}, rng);
  };
  Verification v = judge({1, 0, 2});
  EXPECT_EQ(v.accepted, 3);
  EXPECT_EQ(v.next, 3);
  v = judge({1, 3, 2});
  EXPECT_EQ(v.accepted, 1);
  EXPECT_EQ(v.next, 0);
  v = judge({});
  EXPECT_EQ(v.accepted, 0);
  EXPECT_EQ(v.next, 1);
}

}  // namespace
}  // namespace assay
