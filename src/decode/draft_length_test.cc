// The draft-length chooser against simulated machines and models: costs and acceptance are given, time is counted.

#include "decode/draft_length.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace assay {
namespace {

struct World {
  double acceptance;    // of each guess
  double draft_cost;    // of a guess, in plain steps
  double verify_extra;  // of each further token in a batch, in plain steps
};

struct Result {
  double rate = 0.0;  // tokens per plain step's time
  double mean_draft = 0.0;
};

Result Simulate(const World& world, int rounds, uint64_t seed) {
  Rng rng(seed);
  DraftLength chooser(16);
  double tokens = 0.0, time = 0.0, drafted = 0.0;
  for (int r = 0; r < rounds; ++r) {
    const int k = chooser.Choose();
    int accepted = 0;
    while (accepted < k && rng.Uniform() < world.acceptance) ++accepted;
    const double noise = 1.0 + 0.02 * rng.Normal();
    const double draft = k * world.draft_cost * noise;
    const double verify = (1.0 + k * world.verify_extra) * noise;
    chooser.Record(k, accepted, draft, verify);
    tokens += accepted + 1;
    time += draft + verify;
    drafted += k;
  }
  return {tokens / time, drafted / rounds};
}

// The best constant length, by the formula of Leviathan et al.
double BestRate(const World& w) {
  double best = 1.0;
  for (int k = 1; k <= 16; ++k) {
    const double expected = (1.0 - std::pow(w.acceptance, k + 1)) / (1.0 - w.acceptance);
    best = std::max(best, expected / (1.0 + k * (w.draft_cost + w.verify_extra)));
  }
  return best;
}

TEST(DraftLength, ComesCloseToTheBestConstantLength) {
  for (const World world : {World{0.8, 0.1, 0.05}, World{0.6, 0.2, 0.1}, World{0.9, 0.05, 0.02}}) {
    const Result result = Simulate(world, 3000, 3);
    EXPECT_GT(result.rate, 0.95 * BestRate(world)) << "acceptance " << world.acceptance;
  }
}

TEST(DraftLength, LosesAtMostThreePercentWhereDraftingDoesNotPay) {
  for (const World world : {World{0.3, 0.5, 0.3}, World{0.0, 0.2, 0.1}, World{0.5, 0.9, 0.9}, World{0.9, 2.0, 1.0}}) {
    for (const uint64_t seed : {1U, 2U, 3U}) {
      EXPECT_GT(Simulate(world, 300, seed).rate, 0.97)
          << "acceptance " << world.acceptance << ", draft cost " << world.draft_cost;
    }
  }
}

TEST(DraftLength, DraftsMoreWhenMoreIsTaken) {
  const double few = Simulate({0.4, 0.1, 0.05}, 1000, 4).mean_draft;
  const double many = Simulate({0.9, 0.1, 0.05}, 1000, 4).mean_draft;
  EXPECT_LT(few + 2.0, many);
}

TEST(DraftLength, RecoversWhenGuessesBecomeGoodAgain) {
  Rng rng(9);
  DraftLength chooser(8);
  double drafted_late = 0.0;
  for (int r = 0; r < 6000; ++r) {
    const int k = chooser.Choose();
    const double acceptance = r < 500 ? 0.0 : 0.85;
    int accepted = 0;
    while (accepted < k && rng.Uniform() < acceptance) ++accepted;
    chooser.Record(k, accepted, 0.1 * k, 1.0 + 0.05 * k);
    if (r >= 5000) drafted_late += k;
  }
  EXPECT_GT(drafted_late / 1000.0, 3.0);
}

TEST(DraftLength, InterpolatesTheCostOfVerifying) {
  DraftLength chooser(8);
  for (int i = 0; i < 3; ++i) chooser.Record(0, 0, 0.0, 1.0);
  chooser.Record(2, 2, 0.2, 1.2);
  chooser.Record(6, 3, 0.6, 1.8);
  EXPECT_DOUBLE_EQ(chooser.VerifySeconds(1), 1.0);
  EXPECT_DOUBLE_EQ(chooser.VerifySeconds(2), 1.1);
  EXPECT_NEAR(chooser.VerifySeconds(5), 1.5, 1e-12);
  EXPECT_NEAR(chooser.VerifySeconds(9), 1.8 + 2 * 0.8 / 6, 1e-12);
}

}  // namespace
}  // namespace assay
