// What a proposal's cutting and drawing promise: guesses follow the distribution that is sent, and rejection against it
// leaves the target's distribution as it is.

#include "remote/proposal.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "decode/testing/small_vocabulary.h"
#include "decode/testing/top_of.h"
#include "decode/verify.h"

namespace assay {
namespace {

const SamplingOptions kSampling{.temperature = 1.0F};

Distribution Sampled(std::span<const float> logits) { return SamplingDistribution(logits, TopOf(logits), kSampling); }

// Chi-squared over its 1% point.
double Misfit(const std::vector<int>& counts, const Distribution& d) {
  const double total = std::accumulate(counts.begin(), counts.end(), 0);
  double sum = 0.0;
  for (Token token = 0; token < kSmallVocab; ++token) {
    const double expected = d.ProbabilityOf(token) * total;
    const double off = counts[static_cast<size_t>(token)] - expected;
    if (expected > 0.0) sum += off * off / expected;
    EXPECT_TRUE(expected > 0.0 || off == 0.0) << token;
  }
  return sum / kChiSquaredAt1Percent[d.size() - 1];
}

TEST(Proposal, KeepsTheLikeliestInTheTokensOrder) {
  const Proposal cut = CutToLikeliest(Distribution({2, 5, 7, 9}, {0.1F, 0.4F, 0.2F, 0.3F}), 3);
  EXPECT_EQ(cut.tokens, (std::vector<Token>{5, 7, 9}));
  EXPECT_EQ(cut.weights[0], 65535);
  EXPECT_NEAR(cut.tail, 0.1, 1e-7);
  const Distribution d = cut.distribution();
  // Weights are rounded to a 65535th of the likeliest.
  EXPECT_NEAR(d.ProbabilityOf(5), 0.4 / 0.9, 2e-5);
  EXPECT_NEAR(d.ProbabilityOf(7), 0.2 / 0.9, 2e-5);
  EXPECT_EQ(d.ProbabilityOf(2), 0.0);
}

TEST(Proposal, OfEqualsTheLowerTokensStay) {
  EXPECT_EQ(CutToLikeliest(Distribution({}, {1.0F, 1.0F, 1.0F, 1.0F}), 2).tokens, (std::vector<Token>{0, 1}));
}

TEST(Proposal, WhatRoundsToNothingIsCut) {
  const Proposal cut = CutToLikeliest(Distribution({}, {1.0F, 1e-7F}), 2);
  EXPECT_EQ(cut.tokens, (std::vector<Token>{0}));
  EXPECT_NEAR(cut.tail, 1e-7, 1e-8);
}

TEST(DrawBehind, FollowsTheDistributionOverTexts) {
  const Distribution d = CutToLikeliest(Sampled(RandomLogits(21)), 5).distribution();
  std::vector<int> counts(kSmallVocab);
  for (uint64_t text = 0; text < kDraws; ++text)
    ++counts[static_cast<size_t>(DrawBehind(d, 7, text * 0x9E3779B97F4A7C15ULL))];
  EXPECT_LT(Misfit(counts, d), 1.0);
}

TEST(DrawBehind, FollowsTheDistributionOverSeeds) {
  const Distribution d = CutToLikeliest(Sampled(RandomLogits(22)), 5).distribution();
  std::vector<int> counts(kSmallVocab);
  for (uint64_t seed = 0; seed < kDraws; ++seed) ++counts[static_cast<size_t>(DrawBehind(d, seed, 99))];
  EXPECT_LT(Misfit(counts, d), 1.0);
}

// The cut is part of the proposal: the target's tokens that it lacks come from the residual.
TEST(Proposal, RejectionAgainstItLeavesTheTargetsDistribution) {
  for (const int most : {1, 2, 4, 8}) {
    std::vector<float> rows;
    for (const uint64_t seed : {11U, 12U, 13U}) {
      const std::vector<float> row = RandomLogits(seed);
      rows.insert(rows.end(), row.begin(), row.end());
    }
    const std::vector<RowTop> tops = TopsOf(rows, kSmallVocab);
    const Distribution q0 = CutToLikeliest(Sampled(RandomLogits(21)), most).distribution();
    const Distribution q1 = CutToLikeliest(Sampled(RandomLogits(22)), most).distribution();
    Rng rng(5);
    std::vector<int> first(kSmallVocab);
    std::vector<int> second(kSmallVocab);
    for (uint64_t i = 0; i < kDraws; ++i) {
      const Token g0 = DrawBehind(q0, i, 1);
      const Token g1 = DrawBehind(q1, i, 2);
      Draft draft;
      draft.tokens = {g0, g1};
      draft.distributions = {q0, q1};
      const Verification v = Verify(rows, tops, draft, kSampling, rng);
      ++first[static_cast<size_t>(v.accepted > 0 ? g0 : v.next)];
      if (v.accepted > 0) ++second[static_cast<size_t>(v.accepted > 1 ? g1 : v.next)];
    }
    EXPECT_LT(Misfit(first, Sampled(RandomLogits(11))), 1.0) << most;
    EXPECT_LT(Misfit(second, Sampled(RandomLogits(12))), 1.0) << most;
  }
}

}  // namespace
}  // namespace assay
