#include "judge/intervals.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <limits>

#include "base/rng.h"
#include "judge/statistics.h"
#include "judge/testing/worlds.h"

namespace assay {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Estimate Of(const std::vector<double>& values, Scale scale = Scale::kPlain, Order order = Order::kExchangeable) {
  return {values, "round", order, scale};
}

// Tables of Student's t, to their four digits.
TEST(StudentTest, QuantilesAreThoseOfTheTables) {
  EXPECT_NEAR(StudentQuantile(0.95, 1), 12.7062, 5e-5);
  EXPECT_NEAR(StudentQuantile(0.95, 3), 3.1824, 5e-5);
  EXPECT_NEAR(StudentQuantile(0.95, 10), 2.2281, 5e-5);
  EXPECT_NEAR(StudentQuantile(0.99, 5), 4.0321, 5e-5);
  EXPECT_NEAR(StudentQuantile(0.95, 1e6), 1.9600, 5e-5);
}

TEST(StudentTest, TailAndQuantileAreInverse) {
  for (const double degrees : {1.0, 2.5, 7.0, 99.0}) {
    for (const double level : {0.5, 0.95, 0.9999}) {
      EXPECT_NEAR(StudentTail(StudentQuantile(level, degrees), degrees), 1.0 - level, 1e-9);
    }
  }
}

TEST(EstimateTest, AStudentIntervalOfFourByHand) {
  // Mean 2.5, standard deviation sqrt(5/3), error sqrt(5/12), 3.1824 errors to each side.
  const Estimate estimate = Of({1.0, 2.0, 3.0, 4.0});
  const double half = 3.1824463 * std::sqrt(5.0 / 12.0);
  EXPECT_NEAR(estimate.interval().low, 2.5 - half, 1e-6);
  EXPECT_NEAR(estimate.interval().high, 2.5 + half, 1e-6);
}

TEST(EstimateTest, BelowFourUnitsNothingIsSaid) {
  const Estimate three = Of({1.0, 1.1, 1.2});
  EXPECT_FALSE(three.enough());
  EXPECT_EQ(three.interval().low, -kInfinity);
  EXPECT_EQ(three.p_value(), 1.0);
  EXPECT_EQ(three.certainty().low, std::nullopt);
  EXPECT_EQ(three.certainty().units, 3);
  const Estimate ratio = Of({0.1, 0.1, 0.1}, Scale::kRatio);
  EXPECT_EQ(ratio.interval().low, 0.0);
  EXPECT_EQ(ratio.interval().high, kInfinity);
}

TEST(EstimateTest, RatiosAndPercentsAreOfLogarithms) {
  const Estimate ratio = Of({std::log(2.0), std::log(2.0), std::log(8.0), std::log(0.5)}, Scale::kRatio);
  EXPECT_NEAR(ratio.value(), 2.0, 1e-12);
  const Estimate percent = Of({std::log(1.1), std::log(1.1), std::log(1.1), std::log(1.1)}, Scale::kPercent);
  EXPECT_NEAR(percent.value(), 10.0, 1e-9);
}

TEST(EstimateTest, AValueAtTheEndOfTheIntervalHasItsProbability) {
  for (const Scale scale : {Scale::kPlain, Scale::kRatio, Scale::kPercent}) {
    const Estimate estimate = Of({0.1, 0.2, 0.15, 0.3, 0.12}, scale);
    for (const double level : {0.95, 0.999}) {
      EXPECT_NEAR(estimate.p_value(estimate.interval(level).low), 1.0 - level, 1e-9);
      EXPECT_NEAR(estimate.p_value(estimate.interval(level).high), 1.0 - level, 1e-9);
      EXPECT_GT(estimate.distance(estimate.interval(level).low), 0.0);
    }
    EXPECT_EQ(estimate.p_value(), estimate.p_value(estimate.neutral()));
    EXPECT_NEAR(estimate.p_value(estimate.value()), 1.0, 1e-9);
  }
}

TEST(EstimateTest, NeighboursThatAreAlikeWidenAnInterval) {
  std::vector<double> values;
  for (int i = 0; i < 40; ++i) values.push_back(i < 20 ? 1.0 : -1.0);
  EXPECT_GT(Of(values, Scale::kPlain, Order::kSequence).error(), 3.0 * Of(values).error());
  EXPECT_THAT(Of(values, Scale::kPlain, Order::kSequence).method(), HasSubstr("neighbours alike"));
}

TEST(EstimateTest, TheMetricSaysUnitCountAndMethod) {
  const Metric metric = Of({1.0, 2.0, 3.0, 4.0}).metric("tok_per_s");
  ASSERT_TRUE(metric.certainty.has_value());
  EXPECT_EQ(metric.certainty->unit, "round");
  EXPECT_EQ(metric.certainty->units, 4);
  EXPECT_THAT(metric.certainty->method, HasSubstr("Student, 3 degrees"));
  EXPECT_NEAR(*metric.error, std::sqrt(5.0 / 12.0), 1e-12);
}

TEST(HolmTest, TheSmallestIsComparedWithAllTheNextWithOneLess) {
  EXPECT_THAT(Holm(std::array{0.012, 0.04, 0.013, 0.9}), ElementsAre(true, false, true, false));
  // The first that fails ends it, whatever comes after.
  EXPECT_THAT(Holm(std::array{0.02, 0.021, 0.022, 0.023}), ElementsAre(false, false, false, false));
  EXPECT_THAT(Holm({}), ElementsAre());
}

TEST(MoreUnitsTest, AsManyAsSayThenSuffice) {
  // Units with a mean of 1 and a standard deviation of 4.
  Rng rng(3);
  const auto draw = [&](int count) {
    std::vector<double> values;
    for (int i = 0; i < count; ++i) values.push_back(1.0 + 4.0 * rng.Normal());
    return values;
  };
  std::vector<double> first = draw(30);
  const double mean = Mean(first);
  const double sd = SampleSd(first);
  for (double& x : first) x = 1.0 + 4.0 * (x - mean) / sd;  // what is seen is the truth
  const std::optional<int> more = Of(first).MoreUnits(0.0);
  ASSERT_TRUE(more.has_value());
  // (1.96 + 0.84)^2 * 16 = 126 in all.
  EXPECT_NEAR(*more + 30, 127, 3);
  const Rate found = RateOf(2000, 5, [&](Rng& r) {
    std::vector<double> values;
    for (int i = 0; i < *more + 30; ++i) values.push_back(1.0 + 4.0 * r.Normal());
    return Of(values).interval().low > 0.0;
  });
  EXPECT_NEAR(found.value(), 0.80, 0.03);
}

TEST(MoreUnitsTest, NoneWhenItIsKnownAndNothingWhenItIsHopeless) {
  EXPECT_EQ(Of({1.0, 1.01, 0.99, 1.0}).MoreUnits(0.0), 0);
  EXPECT_EQ(Of({1.0, -1.0, 1.0, -1.0}).MoreUnits(0.0), std::nullopt);
  EXPECT_EQ(Of({1.0}).MoreUnits(0.0), 3);
  EXPECT_EQ(MoreText(1, "prompt"), "1 more prompt");
  EXPECT_EQ(MoreText(11, "window"), "11 more windows");
  EXPECT_EQ(MoreText(std::nullopt, "window"), "more than 100000 windows");
}

// How often an interval leaves out the truth, in worlds that are as unkind as machines and texts are.
struct World {
  const char* name;
  Order order;
  std::function<std::vector<double>(Rng&, int units)> values;  // their true mean is 0
};

std::vector<World> Worlds() {
  return {
      {"normal", Order::kExchangeable,
       [](Rng& rng, int units) {
         std::vector<double> values;
         for (int i = 0; i < units; ++i) values.push_back(rng.Normal());
         return values;
       }},
      {"heavy tails", Order::kExchangeable,
       [](Rng& rng, int units) {
         std::vector<double> values;
         for (int i = 0; i < units; ++i) values.push_back(HeavyTail(rng));
         return values;
       }},
      // Prompts differ in what speculation gives them; each is the mean of three repetitions.
      {"prompts that differ, repetitions that scatter", Order::kExchangeable,
       [](Rng& rng, int units) {
         std::vector<double> values;
         for (int i = 0; i < units; ++i) {
           double sum = 0.1 * rng.Normal();
           for (int r = 0; r < 3; ++r) sum += 0.02 * rng.Normal() / 3.0;
           values.push_back(sum);
         }
         return values;
       }},
      // Two of the same thing in each round of a machine that drifts, with hiccups; the order within a round is drawn.
      {"rounds of a drifting machine", Order::kExchangeable,
       [](Rng& rng, int units) {
         std::vector<double> values;
         for (int i = 0; i < units; ++i) {
           const double slope = 0.02;  // from one turn to the next
           const double first = std::log(NoisySeconds(rng, 0.05));
           const double second = std::log(NoisySeconds(rng, 0.05)) + slope;
           values.push_back(rng.Uniform() < 0.5 ? first - second : second - first);
         }
         return values;
       }},
      // A window is the mean of 255 positions that share a passage.
      {"windows of positions that are alike", Order::kSequence,
       [](Rng& rng, int units) {
         std::vector<double> values;
         for (int i = 0; i < units; ++i) {
           const double passage = 0.1 * rng.Normal();
           values.push_back(passage + rng.Normal() / std::sqrt(255.0));
         }
         return values;
       }},
      {"windows that are alike", Order::kSequence, [](Rng& rng, int units) { return Alike(rng, units, 0.3); }},
  };
}

TEST(CoverageTest, FalseVerdictsAreNoMoreThanTheFivePercentThatAreSaid) {
  constexpr int kTrials = 4000;
  for (const World& world : Worlds()) {
    for (const int units : {2, 4, 5, 8, 16, 40, 100}) {
      const Rate rate = RateOf(kTrials, 17 + static_cast<uint64_t>(units), [&](Rng& rng) {
        return Estimate(world.values(rng, units), "unit", world.order, Scale::kPlain).p_value() < 1.0 - kLevel;
      });
      RecordProperty(fmt::format("{}, {} units", world.name, units), fmt::format("{:.4f}", rate.value()));
      if (std::getenv("ASSAY_SHOW_RATES") != nullptr)
        fmt::print("{:45} {:4} {:.4f}\n", world.name, units, rate.value());
      EXPECT_LE(rate.value(), rate.limit()) << world.name << ", " << units << " units";
    }
  }
}

TEST(CoverageTest, AnEffectThatIsThereIsFound) {
  for (const World& world : Worlds()) {
    for (const int units : {8, 40, 100}) {
      double squares = 0.0;
      for (int i = 0; i < 400; ++i) {
        Rng rng(static_cast<uint64_t>(900 + i));
        const double mean = Mean(world.values(rng, units));
        squares += mean * mean / 400.0;
      }
      const double effect = 4.0 * std::sqrt(squares);
      const Rate found = RateOf(1000, 23, [&](Rng& rng) {
        std::vector<double> values = world.values(rng, units);
        for (double& value : values) value += effect;
        return Estimate(values, "unit", world.order, Scale::kPlain).interval().low > 0.0;
      });
      if (std::getenv("ASSAY_SHOW_RATES") != nullptr)
        fmt::print("power {:39} {:4} {:.3f}\n", world.name, units, found.value());
      // Four true errors away; eight units also pay for Student's tails and for not knowing their likeness.
      EXPECT_GE(found.value(), units == 8 ? 0.5 : 0.9) << world.name << ", " << units << " units";
    }
  }
}

TEST(CoverageTest, AmongManyComparisonsHolmKeepsTheRateOfEvenOneFalseOne) {
  const Rate any = RateOf(2000, 41, [](Rng& rng) {
    std::vector<double> p_values;
    for (int i = 0; i < 28; ++i) {
      std::vector<double> values;
      for (int j = 0; j < 10; ++j) values.push_back(rng.Normal());
      p_values.push_back(Estimate(values, "round", Order::kExchangeable, Scale::kPlain).p_value());
    }
    const std::vector<bool> told = Holm(p_values);
    return std::find(told.begin(), told.end(), true) != told.end();
  });
  EXPECT_LE(any.value(), any.limit());
}

// As scipy 1.15 has it: ttest_ind(..., equal_var=False).
TEST(EstimateTest, UnpairedMeansAreComparedWhateverTheirSpreads) {
  const Estimate difference = Estimate::Unpaired(Of({1, 2, 3, 4}), Of({2, 4, 6, 8, 10}));
  EXPECT_NEAR(difference.value(), -3.5, 1e-12);
  EXPECT_NEAR(difference.error(), std::sqrt(29.0 / 12.0), 1e-12);
  EXPECT_EQ(difference.units(), 4);
  EXPECT_NEAR(difference.p_value(), 0.06913359319239021, 1e-12);
  EXPECT_NEAR(difference.interval().low, -7.385368080514045, 1e-9);
  EXPECT_NEAR(difference.interval().high, 0.3853680805140449, 1e-9);
  EXPECT_THAT(difference.method(), HasSubstr("Welch, 5.52 degrees of freedom"));
  // Both ways the same.
  EXPECT_NEAR(Estimate::Unpaired(Of({2, 4, 6, 8, 10}), Of({1, 2, 3, 4})).p_value(), difference.p_value(), 1e-12);
}

TEST(EstimateTest, UnpairedMeansWithoutSpreadOrUnits) {
  const Estimate equal = Estimate::Unpaired(Of({2, 2, 2, 2}), Of({2, 2, 2, 2}));
  EXPECT_EQ(equal.p_value(), 1.0);
  const Estimate apart = Estimate::Unpaired(Of({3, 3, 3, 3}), Of({2, 2, 2, 2}));
  EXPECT_EQ(apart.p_value(), 0.0);
  EXPECT_EQ(apart.interval().low, 1.0);
  EXPECT_FALSE(Estimate::Unpaired(Of({3, 3, 3, 3}), Of({2})).enough());
  EXPECT_EQ(Estimate::Unpaired(Of({3, 3, 3, 3}), Of({2})).p_value(), 1.0);
  // Of ratios it is the ratio.
  const Estimate ratio = Estimate::Unpaired(Of({std::log(8.0), std::log(8.0)}, Scale::kRatio),
                                            Of({std::log(2.0), std::log(2.0)}, Scale::kRatio));
  EXPECT_NEAR(ratio.value(), 4.0, 1e-12);
}

}  // namespace
}  // namespace assay
