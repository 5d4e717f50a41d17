#include "judge/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "base/error.h"

namespace assay {
namespace {

// Logarithms of how many times as long b took as a, in the rounds in which one session measured both. What of a sample
// is timed is chosen by `seconds`, which may have nothing to say.
template <typename Seconds>
std::vector<double> RoundLogs(std::span<const Sample> a, std::span<const Sample> b, const Seconds& seconds) {
  std::vector<double> logs;
  for (const Sample& x : a) {
    for (const Sample& y : b) {
      if (x.round != y.round || x.session != y.session) continue;
      const std::optional<double> of_x = seconds(x);
      const std::optional<double> of_y = seconds(y);
      if (of_x.has_value() && of_y.has_value()) logs.push_back(std::log(*of_y / *of_x));
    }
  }
  return logs;
}

std::string PercentRange(const Estimate& estimate) {
  const Interval ends = estimate.interval();
  return fmt::format("95% interval {:+.3f} to {:+.3f} %", ends.low, ends.high);
}

std::string RatioRange(const Estimate& estimate) {
  const Interval ends = estimate.interval();
  return fmt::format("{:.3f} times as fast, 95% interval {:.3f} to {:.3f}", estimate.value(), ends.low, ends.high);
}

std::string TooFewClause(const Compared& compared) {
  return fmt::format("in {} there are too few {}s to say anything ({}; {} would do)", compared.name,
                     compared.estimate.unit(), compared.estimate.units(), kFewestUnits);
}

std::string PerplexityClause(const Compared& compared) {
  const Estimate& e = compared.estimate;
  switch (compared.standing) {
    case Standing::kTooFew:
      return TooFewClause(compared);
    case Standing::kBetter:
      return fmt::format("B is better than A in perplexity, {:.3f} % lower ({})", -e.value(), PercentRange(e));
    case Standing::kWorse:
      return fmt::format("B is worse than A in perplexity, {:.3f} % higher ({})", e.value(), PercentRange(e));
    default:
      if (e.mean() == 0.0 && e.error() == 0.0) return "B and A are the same in perplexity";
      return fmt::format("B and A cannot be told apart in perplexity ({:+.3f} %, {}; {} would tell)", e.value(),
                         PercentRange(e), WhatWouldTell(compared));
  }
}

// `b` names B: "B", "it".
std::string SpeedClause(const Compared& compared, std::string_view b) {
  switch (compared.standing) {
    case Standing::kTooFew:
      return TooFewClause(compared);
    case Standing::kBetter:
    case Standing::kWorse:
      return fmt::format("in {} {} is {} ({})", compared.name, b,
                         compared.standing == Standing::kBetter ? "faster" : "slower", RatioRange(compared.estimate));
    case Standing::kBelowFloor:
      return fmt::format("in {} the difference ({}) is smaller than what this machine tells, {:.1f} %", compared.name,
                         RatioRange(compared.estimate), 100.0 * compared.floor);
    default:
      return fmt::format("in {} they cannot be told apart ({}; {} would tell)", compared.name,
                         RatioRange(compared.estimate), WhatWouldTell(compared));
  }
}

std::string SizeClause(double size_pct) {
  if (size_pct == 0.0) return "the files are of one size";
  return fmt::format("B's file is {:.2f} % {}", std::abs(size_pct), size_pct > 0.0 ? "larger" : "smaller");
}

}  // namespace

void RequireSameArithmetic(const RunRecord& a, const RunRecord& b) {
  if (ArithmeticOf(a) == ArithmeticOf(b)) return;
  Fail(ErrorKind::kInternal, "a {} run of {} in {} arithmetic was paired with one of {} in {} arithmetic", a.kind,
       a.model.file, ArithmeticOf(a), b.model.file, ArithmeticOf(b));
}

Estimate PerplexityDifference(std::span<const float> a_window_nll, std::span<const float> b_window_nll) {
  if (a_window_nll.size() != b_window_nll.size()) {
    Fail(ErrorKind::kInternal, "{} windows against {}: perplexities are compared over the same windows",
         a_window_nll.size(), b_window_nll.size());
  }
  std::vector<double> differences;
  for (size_t i = 0; i < a_window_nll.size(); ++i) {
    differences.push_back(static_cast<double>(a_window_nll[i]) - static_cast<double>(b_window_nll[i]));
  }
  return {differences, "window", Order::kSequence, Scale::kPercent};
}

Estimate SpeedRatio(std::span<const Sample> a, std::span<const Sample> b) {
  const auto per_token = [](const Sample& s) { return std::optional(s.seconds / static_cast<double>(s.tokens)); };
  return {RoundLogs(a, b, per_token), "round", Order::kExchangeable, Scale::kRatio};
}

Estimate MachineRatio(std::span<const Sample> a, std::span<const Sample> b) {
  const auto work = [](const Sample& s) { return s.conditions.work_seconds; };
  return {RoundLogs(a, b, work), "round", Order::kExchangeable, Scale::kRatio};
}

double NoiseFloor::floor() const {
  if (!ratio.enough()) return std::numeric_limits<double>::infinity();
  const Interval ends = ratio.interval();
  return std::max(ends.high, 1.0 / ends.low) - 1.0;
}

std::string FloorText(std::span<const NoiseFloor> floors) {
  std::string text;
  for (const NoiseFloor& floor : floors) {
    if (!text.empty()) text += ", ";
    text += std::isfinite(floor.floor()) ? fmt::format("{:.1f} % in {}", 100.0 * floor.floor(), floor.test)
                                         : fmt::format("unknown in {} (too few rounds)", floor.test);
  }
  return text;
}

const char* StandingName(Standing standing) {
  switch (standing) {
    case Standing::kBetter:
      return "better";
    case Standing::kWorse:
      return "worse";
    case Standing::kNotToldApart:
      return "not told apart";
    case Standing::kBelowFloor:
      return "below the floor";
    case Standing::kTooFew:
      return "too few";
  }
  return "";
}

Standing StandingOf(const Compared& compared, bool told) {
  if (!compared.estimate.enough()) return Standing::kTooFew;
  if (!told) return Standing::kNotToldApart;
  const double effect = std::abs(compared.estimate.mean());
  if (effect <= std::log1p(compared.floor)) return Standing::kBelowFloor;
  return (compared.estimate.mean() > 0.0) == compared.more_is_better ? Standing::kBetter : Standing::kWorse;
}

double StrictestLevel(size_t family) { return 1.0 - (1.0 - kLevel) / static_cast<double>(std::max<size_t>(family, 1)); }

void JudgeTogether(std::span<Compared> family) {
  std::vector<double> p_values;
  for (const Compared& compared : family) p_values.push_back(compared.estimate.p_value());
  const std::vector<bool> told = Holm(p_values);
  for (size_t i = 0; i < family.size(); ++i) {
    family[i].standing = StandingOf(family[i], told[i]);
    family[i].level = StrictestLevel(family.size());
  }
}

std::string WhatWouldTell(const Compared& compared) {
  return MoreText(compared.estimate.MoreUnits(compared.estimate.neutral(), compared.level), compared.estimate.unit());
}

std::string ComparisonSentence(std::span<const Compared> family, double size_pct) {
  std::string sentence;
  for (const Compared& compared : family) {
    sentence += compared.more_is_better ? SpeedClause(compared, "B") : PerplexityClause(compared);
    sentence += "; ";
  }
  return sentence + SizeClause(size_pct) + ".";
}

std::string SpeedSentence(std::string_view b, std::string_view a, const Compared& compared) {
  return fmt::format("{} against {}: {}.", b, a, SpeedClause(compared, "it"));
}

}  // namespace assay
