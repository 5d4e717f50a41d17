#include "judge/statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"

namespace assay {
namespace {

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();

TEST(StatisticsTest, MeanDeviationAndErrorOfKnownValues) {
  // Deviations from 5: -3 -1 -1 -1 0 0 2 4; squares sum to 32.
  const std::vector<double> values = {2, 4, 4, 4, 5, 5, 7, 9};
  EXPECT_DOUBLE_EQ(Mean(values), 5.0);
  EXPECT_DOUBLE_EQ(SampleSd(values), std::sqrt(32.0 / 7.0));
  EXPECT_DOUBLE_EQ(StandardError(values), std::sqrt(32.0 / 7.0 / 8.0));
}

TEST(StatisticsTest, QuantilesInterpolateBetweenOrderStatistics) {
  const std::vector<double> values = {40, 10, 20, 30};
  EXPECT_DOUBLE_EQ(Quantile(values, 0.0), 10.0);
  EXPECT_DOUBLE_EQ(Quantile(values, 1.0), 40.0);
  EXPECT_DOUBLE_EQ(Quantile(values, 0.25), 17.5);  // place 0.75
  EXPECT_DOUBLE_EQ(Quantile(values, 0.99), 39.7);  // place 2.97
  EXPECT_DOUBLE_EQ(Median(values), 25.0);
  EXPECT_DOUBLE_EQ(Median(std::vector<double>{3, 1, 2}), 2.0);
  EXPECT_DOUBLE_EQ(Quantile(std::vector<float>{4, 2}, 0.5), 3.0);
}

TEST(StatisticsTest, InfiniteNeighbourDoesNotSpoilAnExactQuantile) {
  const std::vector<double> values = {1, 2, std::numeric_limits<double>::infinity()};
  EXPECT_DOUBLE_EQ(Median(values), 2.0);
}

TEST(StatisticsTest, MadIgnoresAnOutlier) {
  // Median 3; deviations 2 1 0 1 97.
  EXPECT_DOUBLE_EQ(Mad(std::vector<double>{1, 2, 3, 4, 100}), 1.0);
}

TEST(StatisticsTest, SummaryHoldsEveryFigure) {
  const Summary s = Summarize(std::vector<double>{3, 1, 2, 6});
  EXPECT_EQ(s.count, 4);
  EXPECT_DOUBLE_EQ(s.mean, 3.0);
  EXPECT_DOUBLE_EQ(s.sd, std::sqrt(14.0 / 3.0));
  EXPECT_DOUBLE_EQ(s.median, 2.5);
  EXPECT_DOUBLE_EQ(s.mad, 1.0);  // deviations 0.5 1.5 0.5 3.5
  EXPECT_DOUBLE_EQ(s.min, 1.0);
  EXPECT_DOUBLE_EQ(s.max, 6.0);
  EXPECT_DOUBLE_EQ(Summarize(std::vector<double>{7}).sd, 0.0);
}

TEST(StatisticsTest, PairingCancelsWhatIsCommon) {
  // The values spread over hundreds, the differences 1 2 3 over one: se = 1 / sqrt(3).
  const std::vector<double> a = {101, 302, 503};
  const std::vector<double> b = {100, 300, 500};
  const PairedDifference d = PairDifference(a, b);
  EXPECT_DOUBLE_EQ(d.mean, 2.0);
  EXPECT_DOUBLE_EQ(d.se, 1.0 / std::sqrt(3.0));
  EXPECT_THROW(PairDifference(a, std::vector<double>{1}), Error);
}

TEST(StatisticsTest, RunningMomentsSurviveALargeOffset) {
  // Sums of squares would lose all digits here: 1e9 squared is 1e18, its spacing 128.
  RunningMoments moments;
  for (const double value : {4.0, 7.0, 13.0, 16.0}) moments.Add(1e9 + value);
  EXPECT_EQ(moments.count(), 4);
  EXPECT_DOUBLE_EQ(moments.mean(), 1e9 + 10.0);
  // Each deviation carries the rounding of a mean near 1e9.
  EXPECT_NEAR(moments.variance(), 30.0, 30.0 * 1e9 * 4 * kEpsilon);
  EXPECT_DOUBLE_EQ(moments.standard_error(), moments.sd() / 2.0);
}

TEST(StatisticsTest, FiguresThatDoNotExistAreErrors) {
  const std::vector<double> none;
  const std::vector<double> one = {1};
  EXPECT_THROW(Mean(none), Error);
  EXPECT_THROW(Median(none), Error);
  EXPECT_THROW(SampleSd(one), Error);
  EXPECT_THROW(StandardError(one), Error);
  EXPECT_THROW(Summarize(none), Error);
}

}  // namespace
}  // namespace assay
