#include "judge/statistics.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"

namespace assay {
namespace {

void RequireAtLeast(size_t found, size_t needed, const char* what) {
  if (found < needed) Fail(ErrorKind::kInternal, "{} needs at least {} values, there are {}", what, needed, found);
}

template <typename T>
double SortedQuantile(const std::vector<T>& sorted, double q) {
  RequireAtLeast(sorted.size(), 1, "a quantile");
  const double place = std::clamp(q, 0.0, 1.0) * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  const double weight = place - static_cast<double>(below);
  // Without a weight the upper neighbour must not count: it may be infinite.
  if (weight == 0.0) return static_cast<double>(sorted[below]);
  return static_cast<double>(sorted[below]) * (1.0 - weight) + static_cast<double>(sorted[above]) * weight;
}

template <typename T>
double QuantileOf(std::span<const T> values, double q) {
  std::vector<T> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  return SortedQuantile(sorted, q);
}

template <typename T>
PairedDifference PairDifferenceOf(std::span<const T> a, std::span<const T> b) {
  if (a.size() != b.size()) {
    Fail(ErrorKind::kInternal, "a paired difference needs as many values on both sides, there are {} and {}", a.size(),
         b.size());
  }
  RunningMoments moments;
  for (size_t i = 0; i < a.size(); ++i) moments.Add(static_cast<double>(a[i]) - static_cast<double>(b[i]));
  return {.mean = moments.mean(), .se = moments.standard_error()};
}

RunningMoments MomentsOf(std::span<const double> values) {
  RunningMoments moments;
  for (const double value : values) moments.Add(value);
  return moments;
}

}  // namespace

double Mean(std::span<const double> values) {
  RequireAtLeast(values.size(), 1, "a mean");
  return MomentsOf(values).mean();
}

double SampleSd(std::span<const double> values) { return MomentsOf(values).sd(); }

double Median(std::span<const double> values) { return Quantile(values, 0.5); }

double Quantile(std::span<const double> values, double q) { return QuantileOf(values, q); }

double Quantile(std::span<const float> values, double q) { return QuantileOf(values, q); }

double Mad(std::span<const double> values) {
  const double median = Median(values);
  std::vector<double> deviations;
  deviations.reserve(values.size());
  for (const double value : values) deviations.push_back(std::abs(value - median));
  return Median(deviations);
}

double StandardError(std::span<const double> values) { return MomentsOf(values).standard_error(); }

Summary Summarize(std::span<const double> values) {
  RequireAtLeast(values.size(), 1, "a summary");
  const RunningMoments moments = MomentsOf(values);
  const auto [min, max] = std::minmax_element(values.begin(), values.end());
  return {.count = moments.count(),
          .mean = moments.mean(),
          .sd = values.size() > 1 ? moments.sd() : 0.0,
          .median = Median(values),
          .mad = Mad(values),
          .min = *min,
          .max = *max};
}

PairedDifference PairDifference(std::span<const double> a, std::span<const double> b) { return PairDifferenceOf(a, b); }

PairedDifference PairDifference(std::span<const float> a, std::span<const float> b) { return PairDifferenceOf(a, b); }

void RunningMoments::Add(double value) {
  ++count_;
  const double from_old = value - mean_;
  mean_ += from_old / static_cast<double>(count_);
  squares_ += from_old * (value - mean_);
}

double RunningMoments::variance() const {
  RequireAtLeast(static_cast<size_t>(count_), 2, "a variance");
  return squares_ / static_cast<double>(count_ - 1);
}

double RunningMoments::sd() const { return std::sqrt(variance()); }

double RunningMoments::standard_error() const { return sd() / std::sqrt(static_cast<double>(count_)); }

}  // namespace assay
