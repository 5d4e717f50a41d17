#pragma once

#include <cstdint>
#include <span>

namespace assay {

// Statistics of small samples, in double precision throughout. An empty sample, and one too small for what is asked, is
// a kInternal error: a figure that does not exist is never a silent zero.

double Mean(std::span<const double> values);
double SampleSd(std::span<const double> values);  // n - 1 in the denominator; at least two values
double Median(std::span<const double> values);
// Interpolated between order statistics (Hyndman and Fan 1996, definition 7), q in [0, 1].
double Quantile(std::span<const double> values, double q);
double Quantile(std::span<const float> values, double q);
// Median of the absolute deviations from the median, unscaled (a normal's standard deviation is 1.4826 times it).
double Mad(std::span<const double> values);
double StandardError(std::span<const double> values);  // of the mean, for independent values

struct Summary {
  int64_t count = 0;
  double mean = 0.0;
  double sd = 0.0;  // zero for a single value
  double median = 0.0;
  double mad = 0.0;
  double min = 0.0;
  double max = 0.0;
};
Summary Summarize(std::span<const double> values);

// Mean of a[i] - b[i] and its standard error: what is common to both of a pair cancels.
struct PairedDifference {
  double mean = 0.0;
  double se = 0.0;
};
PairedDifference PairDifference(std::span<const double> a, std::span<const double> b);
PairedDifference PairDifference(std::span<const float> a, std::span<const float> b);

// Mean and variance of a stream in one pass (Welford 1962), without the cancellation of sums of squares.
class RunningMoments {
 public:
  void Add(double value);

  int64_t count() const { return count_; }
  double mean() const { return mean_; }
  double variance() const;  // n - 1 in the denominator; at least two values
  double sd() const;
  double standard_error() const;  // of the mean

 private:
  int64_t count_ = 0;
  double mean_ = 0.0;
  double squares_ = 0.0;  // sum of squared deviations from the mean so far
};

}  // namespace assay
