#include "judge/guards.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace assay {
namespace {

// Of the guards that test a hypothesis: an honest run is refused once in a hundred.
constexpr double kGuardLevel = kPlaceboLevel;

std::string Percent(double ratio) { return fmt::format("{:+.1f}%", 100.0 * (ratio - 1.0)); }

template <typename Named, typename Get>
std::vector<bool> BeyondDoubt(std::span<const Named> all, const Get& estimate) {
  std::vector<double> p_values;
  for (const Named& one : all) p_values.push_back(estimate(one).p_value());
  return Holm(p_values, kGuardLevel);
}

}  // namespace

GuardResult CheckFinite(const std::optional<std::string>& failure) {
  return {.name = "finite", .tripped = failure.has_value(), .evidence = failure.value_or("every logit was finite")};
}

GuardResult CheckUnits(int units, std::string_view unit) {
  const bool few = units < kFewestUnits;
  return {.name = "units",
          .evidence =
              few ? fmt::format("{} {}s: too few to say anything, at least {} are needed", units, unit, kFewestUnits)
                  : fmt::format("{} {}s", units, unit),
          .warning = few};
}

GuardResult CheckSteady(std::span<const MachineBias> subjects) {
  const std::vector<bool> sure = BeyondDoubt(subjects, [](const MachineBias& s) -> const Estimate& { return s.ratio; });
  GuardResult result{.name = "steady"};
  const MachineBias* worst = nullptr;
  for (size_t i = 0; i < subjects.size(); ++i) {
    const MachineBias& subject = subjects[i];
    if (!subject.ratio.enough()) continue;
    if (sure[i] && std::abs(subject.ratio.mean()) > std::log1p(kMostBias)) result.tripped = true;
    if (worst == nullptr || std::abs(subject.ratio.mean()) > std::abs(worst->ratio.mean())) worst = &subject;
  }
  if (worst == nullptr) {
    result.evidence = "too few rounds with fixed work beside them to see whether the machine favoured anything";
    return result;
  }
  const Interval ends = worst->ratio.interval();
  result.evidence =
      fmt::format("fixed work beside the samples ran {} as fast for {} as for its base at most ({} to {})",
                  Percent(worst->ratio.value()), worst->name, Percent(ends.low), Percent(ends.high));
  return result;
}

GuardResult CheckMemory(std::span<const Conditions> conditions, double seconds) {
  int64_t faults = 0;
  int64_t swapped = 0;
  for (const Conditions& c : conditions) {
    faults += c.major_faults;
    swapped += c.swapped_pages.value_or(0);
  }
  const double paging = static_cast<double>(faults + swapped) * kSecondsPerPage;
  return {.name = "memory",
          .tripped = faults + swapped > kPagesTolerated && paging > kMostPagingShare * seconds,
          .evidence = fmt::format("{} pages came from the disk and {} were swapped in {:.1f} s of timed work: some "
                                  "{:.2f}% of it (tolerated {:.0f}%)",
                                  faults, swapped, seconds, seconds > 0.0 ? 100.0 * paging / seconds : 0.0,
                                  100.0 * kMostPagingShare)};
}

GuardResult CheckSpread(std::span<const NamedEstimate> rates) {
  GuardResult result{.name = "spread"};
  const NamedEstimate* worst = nullptr;
  double widest = 0.0;
  for (const NamedEstimate& rate : rates) {
    if (!rate.estimate.enough()) continue;
    const Interval ends = rate.estimate.interval();
    const double reach = std::max(ends.high / rate.estimate.value(), rate.estimate.value() / ends.low) - 1.0;
    if (worst == nullptr || reach > widest) {
      worst = &rate;
      widest = reach;
    }
  }
  if (worst == nullptr) {
    result.evidence = "too few rounds to see a spread";
    return result;
  }
  result.tripped = widest > kWidestRate;
  result.evidence = fmt::format("the interval of {} reaches {:.1f}% to a side (tolerated {:.0f}%)", worst->name,
                                100.0 * widest, 100.0 * kWidestRate);
  return result;
}

GuardResult CheckPlacebo(std::span<const NoiseFloor> floors) {
  const std::vector<bool> differs = BeyondDoubt(floors, [](const NoiseFloor& f) -> const Estimate& { return f.ratio; });
  GuardResult result{.name = "placebo"};
  for (size_t i = 0; i < floors.size(); ++i) {
    const Interval ends = floors[i].ratio.interval(kPlaceboLevel);
    if (!result.evidence.empty()) result.evidence += "; ";
    if (!floors[i].ratio.enough()) {
      result.evidence += fmt::format("{}: too few {}s", floors[i].test, floors[i].ratio.unit());
      continue;
    }
    result.evidence += fmt::format("{}: the same thing twice differs by {} ({} to {} at 99%)", floors[i].test,
                                   Percent(floors[i].ratio.value()), Percent(ends.low), Percent(ends.high));
    result.tripped = result.tripped || differs[i];
  }
  return result;
}

Estimate RateEstimate(std::span<const Sample> samples) {
  std::vector<double> logs;
  for (const Sample& sample : samples) logs.push_back(std::log(sample.tok_per_s()));
  return {logs, "round", Order::kExchangeable, Scale::kRatio};
}

}  // namespace assay
