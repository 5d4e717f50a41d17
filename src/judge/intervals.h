#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "record/record.h"

namespace assay {

// Intervals and the decisions that rest on them. Everywhere the *unit* is what may be taken as independent: a window of
// a text for quality, a prompt for speculation, a round for throughput. What is measured several times within a unit is
// averaged first; repetitions add precision to a unit, never units.

inline constexpr double kLevel = 0.95;
// Below this many units nothing is said: Student's interval of three is ten times as wide as its standard error, and
// the normality that it leans on can be seen by nobody.
inline constexpr int kFewestUnits = 4;

// How units relate: any order, or neighbours in time or text, whose likeness is estimated and widens the interval.
enum class Order { kExchangeable, kSequence };

// What the mean of the units stands for: itself, a ratio (units are logarithms of ratios), or a relative difference in
// percent (units are differences of logarithms).
enum class Scale { kPlain, kRatio, kPercent };

struct Interval {
  double low = 0.0;
  double high = 0.0;
};

// A mean over units with its Student interval.
class Estimate {
 public:
  // Of no units at all: nothing is known.
  Estimate() = default;
  // `unit` names one unit: "window", "prompt", "round".
  Estimate(std::span<const double> values, std::string_view unit, Order order, Scale scale);
  // The first's mean less the second's, where nothing pairs their units: whatever their spreads (Welch 1947, degrees of
  // freedom by Satterthwaite 1946). It has as many units as the one that has fewer. Both are of exchangeable units and
  // of one scale, which it keeps: of ratios it is the ratio.
  static Estimate Unpaired(const Estimate& a, const Estimate& b);

  double value() const;                  // on its scale
  double mean() const { return mean_; }  // before the scale is applied: 0 is no difference
  double neutral() const;                // no difference on its scale: 0, 1 for ratios
  int units() const { return units_; }
  const std::string& unit() const { return unit_; }
  bool enough() const { return units_ >= kFewestUnits; }
  // Of the mean before its scale is applied; infinite below two units. Widened for the likeness of neighbours.
  double error() const { return error_; }
  // The standard error on the scale (by the derivative of the scale): of percents in percent.
  double scaled_error() const;
  // Two-sided. The ends are the scale's limits (0 or minus infinity, infinity) when there are too few units.
  Interval interval(double level = kLevel) const;
  // Two-sided, of the hypothesis that the true value is this one (on the scale); without it, that there is no
  // difference. 1 when there are too few units.
  double p_value(double value) const;
  double p_value() const { return p_value(neutral()); }
  // How far the mean lies above a value of the scale, before the scale is applied: of ratios the logarithm of how many
  // times as large it is.
  double distance(double value) const { return mean_ - Unscaled(value); }
  std::string method() const;  // "Student, 31 degrees of freedom, logarithms"

  // How many units more would be needed for the value to differ from `neutral` (on the scale) in an interval of `level`
  // with a probability of 80%, if mean and spread stay as they are; nothing when that is not to be hoped for (more than
  // kMostUnits) or no spread was seen. 0 when it differs already.
  std::optional<int> MoreUnits(double neutral, double level = kLevel) const;

  Certainty certainty() const;
  Metric metric(std::string name) const;

 private:
  double Scaled(double mean) const;
  double Unscaled(double value) const;

  double mean_ = 0.0, error_ = 0.0, degrees_ = 0.0;
  double inflation_ = 1.0;  // of the variance of the mean, for the likeness of neighbours
  bool unpaired_ = false;
  int units_ = 0;
  std::string unit_;
  Scale scale_ = Scale::kPlain;
};

inline constexpr int kMostUnits = 100'000;

// Holm (1979): which of these hypotheses are rejected so that the probability of even one false rejection among all of
// them is at most 1 - level. A sentence or table that makes several comparisons takes them together.
std::vector<bool> Holm(std::span<const double> p_values, double level = kLevel);

// "12 more windows", "1 more prompt"; "more than 100000 windows" for nothing.
std::string MoreText(const std::optional<int>& more, std::string_view unit);

// Student's t: the probability of a larger |t|, and the two-sided quantile of a level. Degrees need not be whole.
double StudentTail(double t, double degrees);
double StudentQuantile(double level, double degrees);

}  // namespace assay
