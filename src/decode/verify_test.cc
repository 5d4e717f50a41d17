// Speculative sampling leaves the target's distribution as it is: chi-squared tests that also catch broken versions.

#include "decode/verify.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

namespace assay {
namespace {

constexpr int kVocab = 8;
constexpr int kDraws = 100000;
constexpr double kChiSquared7At1Percent = 18.475;

const SamplingOptions kSampling{.temperature = 1.0F};

std::vector<float> Logits(uint64_t seed) {
  Rng rng(seed);
  std::vector<float> logits(kVocab);
  for (float& x : logits) x = static_cast<float>(1.5 * rng.Normal());
  return logits;
}

double ChiSquared(const std::vector<int>& counts, const std::vector<float>& logits) {
  double total = 0.0;
  for (const int count : counts) total += count;
  double sum = 0.0;
  for (const Candidate& c : Distribution(logits, kSampling)) {
    const double expected = c.probability * total;
    const double off = counts[static_cast<size_t>(c.token)] - expected;
    sum += off * off / expected;
  }
  return sum;
}

using VerifyFunction = std::function<Verification(std::span<const float>, const Draft&, const SamplingOptions&, Rng&)>;

// Two guesses drawn from q, judged by rows p0, p1, p2; what comes out first, and second where there is a second.
struct Outcome {
  std::vector<int> first = std::vector<int>(kVocab), second = std::vector<int>(kVocab);
};

Outcome RunDrafts(const VerifyFunction& verify, bool point_mass) {
  std::vector<float> rows;
  for (const uint64_t seed : {11U, 12U, 13U}) {
    const std::vector<float> row = Logits(seed);
    rows.insert(rows.end(), row.begin(), row.end());
  }
  const std::vector<Candidate> q0 = Distribution(Logits(21), kSampling);
  const std::vector<Candidate> q1 = Distribution(Logits(22), kSampling);
  Rng rng(5);
  Outcome outcome;
  for (int i = 0; i < kDraws; ++i) {
    Draft draft;
    if (point_mass) {
      draft.tokens = {3, 1};  // what a table of n-grams would name
    } else {
      draft.tokens = {Draw(q0, rng), Draw(q1, rng)};
      draft.distributions = {q0, q1};
    }
    const Verification verification = verify(rows, draft, kSampling, rng);
    const auto token = [&](int n) {
      return static_cast<size_t>(n < verification.accepted ? draft.tokens[static_cast<size_t>(n)] : verification.next);
    };
    ++outcome.first[token(0)];
    if (verification.accepted >= 1) ++outcome.second[token(1)];
  }
  return outcome;
}

TEST(Verify, GuessesDrawnFromADraftModelLeaveTheTargetsDistribution) {
  const Outcome outcome = RunDrafts(Verify, false);
  EXPECT_LT(ChiSquared(outcome.first, Logits(11)), kChiSquared7At1Percent);
  EXPECT_LT(ChiSquared(outcome.second, Logits(12)), kChiSquared7At1Percent);
}

TEST(Verify, NamedGuessesLeaveTheTargetsDistribution) {
  const Outcome outcome = RunDrafts(Verify, true);
  EXPECT_LT(ChiSquared(outcome.first, Logits(11)), kChiSquared7At1Percent);
  EXPECT_LT(ChiSquared(outcome.second, Logits(12)), kChiSquared7At1Percent);
}

// Two mistakes: drawing the replacement from p instead of from what q left over, and taking a guess unjudged.
TEST(Verify, TheTestCatchesARejectionStepThatIsBrokenOnPurpose) {
  const VerifyFunction replaces_from_p = [](std::span<const float> logits, const Draft& draft,
                                            const SamplingOptions& sampling, Rng& rng) {
    Verification verification = Verify(logits, draft, sampling, rng);
    if (verification.accepted < static_cast<int>(draft.tokens.size())) {
      const size_t row = static_cast<size_t>(verification.accepted) * kVocab;
      verification.next = Draw(Distribution(logits.subspan(row, kVocab), sampling), rng);
    }
    return verification;
  };
  EXPECT_GT(ChiSquared(RunDrafts(replaces_from_p, false).first, Logits(11)), 10 * kChiSquared7At1Percent);
  const VerifyFunction never_refuses = [](std::span<const float> logits, const Draft& draft,
                                          const SamplingOptions& sampling, Rng& rng) {
    Verification verification = Verify(logits, draft, sampling, rng);
    verification.accepted = std::max(verification.accepted, 1);
    return verification;
  };
  EXPECT_GT(ChiSquared(RunDrafts(never_refuses, false).first, Logits(11)), 10 * kChiSquared7At1Percent);
}

TEST(Verify, GreedyTakesTheLongestPrefixOfTheTargetsOwnChoices) {
  const std::vector<float> rows = {0, 9, 0, 0, /**/ 9, 0, 0, 0, /**/ 0, 0, 9, 0, /**/ 0, 0, 0, 9};
  Rng rng(1);
  const auto judge = [&](std::vector<Token> guesses) {
    const size_t used = (guesses.size() + 1) * 4;
    return Verify(std::span(rows).first(used), {std::move(guesses), {}}, {}, rng);
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
