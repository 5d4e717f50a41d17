#include "judge/intervals.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "judge/statistics.h"

namespace assay {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// What a difference is to be found with, if it is as large as it seems.
constexpr double kPower = 0.80;
// Beyond this likeness of neighbours the units are no units.
constexpr double kMostLikeness = 0.9;

// The regularised incomplete beta function's continued fraction (DLMF 8.17.22), by Lentz's method.
double BetaFraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  constexpr double kPrecision = 1e-15;
  double c = 1.0;
  double d = 1.0 / std::max(1.0 - (a + b) * x / (a + 1.0), kTiny);
  double fraction = d;
  for (int m = 1; m <= 500; ++m) {
    const double even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
    for (const double term : {even, odd}) {
      d = 1.0 + term * d;
      if (std::abs(d) < kTiny) d = kTiny;
      c = 1.0 + term / c;
      if (std::abs(c) < kTiny) c = kTiny;
      d = 1.0 / d;
      fraction *= c * d;
    }
    if (std::abs(c * d - 1.0) < kPrecision) break;
  }
  return fraction;
}

// I_x(a, b), DLMF 8.17.1.
double RegularisedBeta(double a, double b, double x) {
  if (x <= 0.0) return 0.0;
  if (x >= 1.0) return 1.0;
  const double front =
      std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
  if (x < (a + 1.0) / (a + b + 2.0)) return front * BetaFraction(a, b, x) / a;
  return 1.0 - front * BetaFraction(b, a, 1.0 - x) / b;
}

// Correlation of neighbours, made free of the bias that estimating it from few values has (Kendall 1954: for a first
// order process it is low by (1 + 3 rho) / n), and at least half of its own standard error, 1 / sqrt(n): a few values
// cannot show that they are not alike.
double Likeness(std::span<const double> values, double mean) {
  const auto n = static_cast<double>(values.size());
  double squares = 0.0;
  double products = 0.0;
  for (size_t i = 0; i < values.size(); ++i) {
    squares += (values[i] - mean) * (values[i] - mean);
    if (i > 0) products += (values[i] - mean) * (values[i - 1] - mean);
  }
  if (!(squares > 0.0)) return 0.0;
  const double seen = products / squares;
  return std::clamp(seen + (1.0 + 3.0 * seen) / n, 0.5 / std::sqrt(n), kMostLikeness);
}

}  // namespace

double StudentTail(double t, double degrees) {
  if (!std::isfinite(t)) return 0.0;
  return RegularisedBeta(degrees / 2.0, 0.5, degrees / (degrees + t * t));
}

double StudentQuantile(double level, double degrees) {
  const double tail = 1.0 - level;
  double high = 1.0;
  while (StudentTail(high, degrees) > tail) high *= 2.0;
  double low = 0.0;
  for (int i = 0; i < 200 && high - low > 1e-12 * high; ++i) {
    const double middle = (low + high) / 2.0;
    (StudentTail(middle, degrees) > tail ? low : high) = middle;
  }
  return high;
}

Estimate::Estimate(std::span<const double> values, std::string_view unit, Order order, Scale scale)
    : error_(kInfinity), units_(static_cast<int>(values.size())), unit_(unit), scale_(scale) {
  if (values.empty()) return;
  mean_ = Mean(values);
  if (values.size() < 2) return;
  error_ = StandardError(values);
  degrees_ = static_cast<double>(values.size()) - 1.0;
  if (order == Order::kExchangeable || !enough()) return;
  // Neighbours that are alike are worth fewer units (the variance of the mean of a first order process).
  const double likeness = Likeness(values, mean_);
  inflation_ = (1.0 + likeness) / (1.0 - likeness);
  error_ *= std::sqrt(inflation_);
  degrees_ = std::max(1.0, static_cast<double>(values.size()) / inflation_ - 1.0);
}

Estimate Estimate::Unpaired(const Estimate& a, const Estimate& b) {
  Estimate difference;
  difference.mean_ = a.mean_ - b.mean_;
  difference.units_ = std::min(a.units_, b.units_);
  difference.unit_ = a.unit_;
  difference.scale_ = a.scale_;
  difference.unpaired_ = true;
  difference.error_ = std::hypot(a.error_, b.error_);
  difference.degrees_ = std::min(a.degrees_, b.degrees_);
  if (difference.error_ == 0.0 || !std::isfinite(difference.error_)) return difference;
  const double of_a = std::pow(a.error_ / difference.error_, 4.0) / a.degrees_;
  const double of_b = std::pow(b.error_ / difference.error_, 4.0) / b.degrees_;
  difference.degrees_ = 1.0 / (of_a + of_b);
  return difference;
}

double Estimate::Scaled(double mean) const {
  switch (scale_) {
    case Scale::kPlain:
      return mean;
    case Scale::kRatio:
      return std::exp(mean);
    case Scale::kPercent:
      return 100.0 * std::expm1(mean);
  }
  return mean;
}

double Estimate::Unscaled(double value) const {
  switch (scale_) {
    case Scale::kPlain:
      return value;
    case Scale::kRatio:
      return std::log(value);
    case Scale::kPercent:
      return std::log1p(value / 100.0);
  }
  return value;
}

double Estimate::value() const { return Scaled(mean_); }

double Estimate::neutral() const { return Scaled(0.0); }

double Estimate::scaled_error() const {
  const double slope = scale_ == Scale::kPlain ? 1.0 : std::exp(mean_) * (scale_ == Scale::kPercent ? 100.0 : 1.0);
  return error_ * slope;
}

Interval Estimate::interval(double level) const {
  if (!enough()) return {Scaled(-kInfinity), Scaled(kInfinity)};
  const double half = StudentQuantile(level, degrees_) * error_;
  return {Scaled(mean_ - half), Scaled(mean_ + half)};
}

double Estimate::p_value(double value) const {
  if (!enough()) return 1.0;
  const double away = distance(value);
  if (error_ == 0.0) return away == 0.0 ? 1.0 : 0.0;
  return StudentTail(away / error_, degrees_);
}

std::string Estimate::method() const {
  std::string text = enough() ? fmt::format("{}, {:.3g} degrees of freedom", unpaired_ ? "Welch" : "Student", degrees_)
                              : fmt::format("none: fewer than {} units", kFewestUnits);
  if (scale_ != Scale::kPlain) text += ", of logarithms";
  if (inflation_ > 1.0) text += fmt::format(", neighbours alike: variance times {:.2f}", inflation_);
  return text;
}

std::optional<int> Estimate::MoreUnits(double neutral, double level) const {
  if (units_ < 2) return std::max(0, kFewestUnits - units_);
  const double away = std::abs(distance(neutral));
  if (error_ == 0.0) return away > 0.0 ? std::optional(std::max(0, kFewestUnits - units_)) : std::nullopt;
  const double scatter = error_ * std::sqrt(static_cast<double>(units_));  // of a unit
  const auto found_by = [&](int units) {
    const double degrees = std::max(1.0, units / inflation_ - 1.0);
    // The one-sided quantile of the power is the two-sided one of 2 power - 1.
    const double quantiles = StudentQuantile(level, degrees) + StudentQuantile(2.0 * kPower - 1.0, degrees);
    return away > quantiles * scatter / std::sqrt(static_cast<double>(units));
  };
  const Interval now = interval(level);
  if (enough() && (neutral < now.low || neutral > now.high)) return 0;
  if (!found_by(kMostUnits)) return std::nullopt;
  int too_few = units_;
  int sufficient = kMostUnits;
  while (sufficient - too_few > 1) {
    const int middle = too_few + (sufficient - too_few) / 2;
    (found_by(middle) ? sufficient : too_few) = middle;
  }
  return std::max(sufficient, kFewestUnits) - units_;
}

Certainty Estimate::certainty() const {
  Certainty certainty{.unit = unit_, .units = units_, .method = method()};
  if (enough()) {
    const Interval ends = interval();
    certainty.low = ends.low;
    certainty.high = ends.high;
  }
  return certainty;
}

Metric Estimate::metric(std::string name) const {
  Metric metric{std::move(name), value()};
  if (std::isfinite(error_)) metric.error = scaled_error();
  metric.certainty = certainty();
  return metric;
}

std::vector<bool> Holm(std::span<const double> p_values, double level) {
  std::vector<size_t> order(p_values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p_values[a] < p_values[b]; });
  std::vector<bool> rejected(p_values.size(), false);
  for (size_t i = 0; i < order.size(); ++i) {
    if (!(p_values[order[i]] <= (1.0 - level) / static_cast<double>(order.size() - i))) break;
    rejected[order[i]] = true;
  }
  return rejected;
}

std::string MoreText(const std::optional<int>& more, std::string_view unit) {
  if (!more.has_value()) return fmt::format("more than {} {}s", kMostUnits, unit);
  return fmt::format("{} more {}{}", *more, unit, *more == 1 ? "" : "s");
}

}  // namespace assay
