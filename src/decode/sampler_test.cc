#include "decode/sampler.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace assay {
namespace {

std::vector<float> LogProbabilities(std::initializer_list<double> p) {
  std::vector<float> logits;
  for (const double x : p) logits.push_back(static_cast<float>(std::log(x)));
  return logits;
}

TEST(Sampler, GreedyTakesTheLowestOfEquals) {
  const std::vector<float> logits = {0.5F, 2.0F, 2.0F, -1.0F};
  EXPECT_EQ(Greedy(logits), 1);
  const auto distribution = Distribution(logits, {});
  ASSERT_EQ(distribution.size(), 1U);
  EXPECT_EQ(distribution[0].token, 1);
}

TEST(Sampler, TemperatureOneIsTheSoftmax) {
  const auto d = Distribution(LogProbabilities({0.1, 0.6, 0.3}), {.temperature = 1.0F});
  ASSERT_EQ(d.size(), 3U);
  EXPECT_EQ(d[0].token, 1);
  EXPECT_NEAR(d[0].probability, 0.6, 1e-6);
  EXPECT_NEAR(d[1].probability, 0.3, 1e-6);
  EXPECT_NEAR(d[2].probability, 0.1, 1e-6);
}

TEST(Sampler, TemperatureHalfSquaresTheOdds) {
  const auto d = Distribution(LogProbabilities({0.2, 0.8}), {.temperature = 0.5F});
  EXPECT_NEAR(d[0].probability / d[1].probability, 16.0, 1e-4);
}

TEST(Sampler, TopPKeepsTheSmallestSetThatReachesTheMass) {
  const auto d = Distribution(LogProbabilities({0.5, 0.3, 0.15, 0.05}), {.temperature = 1.0F, .top_p = 0.7F});
  ASSERT_EQ(d.size(), 2U);
  EXPECT_NEAR(d[0].probability, 0.625, 1e-6);
}

TEST(Sampler, MinPCutsBelowAShareOfTheLargest) {
  const auto d = Distribution(LogProbabilities({0.5, 0.3, 0.15, 0.05}), {.temperature = 1.0F, .min_p = 0.5F});
  ASSERT_EQ(d.size(), 2U);
}

TEST(Sampler, TopKKeepsKAndRenormalises) {
  const auto d = Distribution(LogProbabilities({0.05, 0.5, 0.3, 0.15}), {.temperature = 1.0F, .top_k = 3});
  ASSERT_EQ(d.size(), 3U);
  double sum = 0.0;
  for (const Candidate& c : d) sum += c.probability;
  EXPECT_NEAR(sum, 1.0, 1e-12);
  EXPECT_EQ(d[2].token, 3);
}

TEST(Sampler, DrawsFollowTheDistribution) {
  const auto d = Distribution(LogProbabilities({0.1, 0.2, 0.3, 0.4}), {.temperature = 1.0F});
  constexpr int kDraws = 100000;
  std::vector<int> counts(4);
  Rng rng(7);
  for (int i = 0; i < kDraws; ++i) ++counts[static_cast<size_t>(Draw(d, rng))];
  double chi_squared = 0.0;
  for (const Candidate& c : d) {
    const double expected = c.probability * kDraws;
    const double difference = counts[static_cast<size_t>(c.token)] - expected;
    chi_squared += difference * difference / expected;
  }
  EXPECT_LT(chi_squared, 11.34);  // the 1% point for 3 degrees of freedom
}

TEST(Sampler, RefusesValuesOutOfRange) {
  EXPECT_THROW(CheckSampling({.temperature = -1.0F}), Error);
  EXPECT_THROW(CheckSampling({.temperature = NAN}), Error);
  EXPECT_THROW(CheckSampling({.top_k = -1}), Error);
  EXPECT_THROW(CheckSampling({.top_p = 0.0F}), Error);
  EXPECT_THROW(CheckSampling({.min_p = 1.5F}), Error);
}

}  // namespace
}  // namespace assay
