#include "decode/sampler.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "base/error.h"
#include "decode/testing/top_of.h"

namespace assay {
namespace {

std::vector<float> LogProbabilities(std::initializer_list<double> p) {
  std::vector<float> logits;
  for (const double x : p) logits.push_back(static_cast<float>(std::log(x)));
  return logits;
}

Distribution Sampled(std::span<const float> logits, const SamplingOptions& options) {
  return SamplingDistribution(logits, TopOf(logits), options);
}

// The definition, in double and by sorting: what each filter leaves, likeliest first.
std::map<Token, double> Reference(std::span<const float> logits, const SamplingOptions& o) {
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  const auto weight = [&](size_t token) {
    return std::exp((static_cast<double>(logits[token]) - static_cast<double>(logits[order.front()])) /
                    static_cast<double>(o.temperature));
  };
  const auto mass = [&] {
    return std::accumulate(order.begin(), order.end(), 0.0, [&](double sum, size_t t) { return sum + weight(t); });
  };
  if (o.top_k > 0) order.resize(std::min(order.size(), static_cast<size_t>(o.top_k)));
  if (o.top_p < 1.0F) {
    const double goal = static_cast<double>(o.top_p) * mass();
    double reached = 0.0;
    size_t kept = 0;
    while (kept < order.size() && reached < goal) reached += weight(order[kept++]);
    order.resize(kept);
  }
  while (weight(order.back()) < static_cast<double>(o.min_p)) order.pop_back();
  const double total = mass();
  std::map<Token, double> probabilities;
  for (const size_t token : order) probabilities[static_cast<Token>(token)] = weight(token) / total;
  return probabilities;
}

void ExpectIsReference(std::span<const float> logits, const SamplingOptions& o, const std::string& what) {
  SCOPED_TRACE(what + fmt::format(", T {}, top-k {}, top-p {}, min-p {}", o.temperature, o.top_k, o.top_p, o.min_p));
  const std::map<Token, double> expected = Reference(logits, o);
  const Distribution found = Sampled(logits, o);
  size_t held = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_TRUE(i == 0 || found.token(i - 1) < found.token(i));
    const auto reference = expected.find(found.token(i));
    if (found.probability(i) < 2e-38) continue;  // counts as 2^-126 of the likeliest
    ASSERT_NE(reference, expected.end()) << "token " << found.token(i);
    // Rounding of a weight to float and the series of 2^x, twice: in the weight and in the sum of all.
    EXPECT_NEAR(found.probability(i), reference->second, 2 * (6e-8 + 5.2e-9) * reference->second);
    EXPECT_EQ(found.ProbabilityOf(found.token(i)), found.probability(i));
    ++held;
  }
  size_t drawable = 0;
  for (const auto& [token, probability] : expected) drawable += probability >= 2e-38 ? 1U : 0U;
  EXPECT_GE(held, drawable);
}

TEST(Sampler, EveryCombinationOfOptionsIsTheSortedDefinition) {
  Rng rng(3);
  std::vector<float> peaked(3000), wide(3000), tied(700), equal(50, 1.5F), outlier(300);
  for (float& x : peaked) x = static_cast<float>(4.0 * rng.Normal());
  for (float& x : wide) x = static_cast<float>(30.0 * rng.Normal());
  for (float& x : tied) x = 0.5F * static_cast<float>(rng.Below(12));
  for (float& x : outlier) x = static_cast<float>(rng.Normal());
  outlier[7] = -1e30F;
  const std::pair<const char*, std::vector<float>> rows[] = {{"peaked", peaked}, {"wide", wide},       {"tied", tied},
                                                             {"equal", equal},   {"outlier", outlier}, {"one", {0.5F}}};
  for (const auto& [name, row] : rows) {
    for (const float temperature : {0.1F, 0.8F, 1.0F, 3.0F}) {
      for (const int top_k : {0, 1, 7, 40, 299, 100000}) {
        for (const float top_p : {1.0F, 0.95F, 0.5F, 0.01F}) {
          for (const float min_p : {0.0F, 0.05F, 0.6F}) {
            ExpectIsReference(row, {temperature, top_k, top_p, min_p}, name);
          }
        }
      }
    }
  }
}

TEST(Sampler, GreedyIsCertain) {
  const std::vector<float> logits = {0.5F, 2.0F, 2.0F, -1.0F};
  const Distribution d = Sampled(logits, {});
  ASSERT_EQ(d.size(), 1U);
  EXPECT_EQ(d.token(0), 1);
  EXPECT_EQ(d.probability(0), 1.0);
}

TEST(Sampler, TemperatureHalfSquaresTheOdds) {
  const Distribution d = Sampled(LogProbabilities({0.2, 0.8}), {.temperature = 0.5F});
  EXPECT_NEAR(d.ProbabilityOf(1) / d.ProbabilityOf(0), 16.0, 1e-4);
}

TEST(Sampler, FiltersKeepWhatTheirNamesSay) {
  const std::vector<float> logits = LogProbabilities({0.05, 0.5, 0.3, 0.15});
  EXPECT_EQ(Sampled(logits, {.temperature = 1.0F, .top_k = 3}).ProbabilityOf(0), 0.0);
  const Distribution nucleus = Sampled(logits, {.temperature = 1.0F, .top_p = 0.7F});
  ASSERT_EQ(nucleus.size(), 2U);
  EXPECT_NEAR(nucleus.ProbabilityOf(1), 0.625, 1e-6);
  EXPECT_EQ(Sampled(logits, {.temperature = 1.0F, .min_p = 0.5F}).size(), 2U);
}

// Over several blocks, with weights that are 0 among them.
TEST(Sampler, DrawsFollowTheDistribution) {
  std::vector<float> logits(1000, -300.0F);
  const Token places[] = {0, 255, 256, 700, 999};
  for (size_t i = 0; i < 5; ++i) logits[static_cast<size_t>(places[i])] = std::log(1.0F + static_cast<float>(i));
  const Distribution d = Sampled(logits, {.temperature = 1.0F});
  constexpr int kDraws = 100000;
  std::map<Token, int> counts;
  Rng rng(7);
  for (int i = 0; i < kDraws; ++i) ++counts[d.Draw(rng)];
  EXPECT_EQ(counts.size(), 5U);
  double chi_squared = 0.0;
  for (const Token token : places) {
    const double expected = d.ProbabilityOf(token) * kDraws;
    chi_squared += (counts[token] - expected) * (counts[token] - expected) / expected;
  }
  EXPECT_LT(chi_squared, 13.28);  // the 1% point for 4 degrees of freedom
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
