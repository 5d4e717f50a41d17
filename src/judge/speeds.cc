#include "judge/speeds.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace assay {
namespace {

// The test, of a placebo as well.
std::string_view TestOf(const RunRecord& run) {
  std::string_view test = run.test;
  if (IsPlacebo(run)) test.remove_prefix(kPlaceboPrefix.size());
  return test;
}

std::string Label(const RunRecord& run) {
  return fmt::format("{} of {}{}", TestOf(run), IsPlacebo(run) ? "the placebo of " : "", NameOf(run.model));
}

bool IsBase(std::span<const RunRecord> runs, const RunRecord& run) {
  return !IsPlacebo(run) && &BaseOf(runs, run.test) == &run;
}

}  // namespace

std::string NameOf(const ModelIdentity& model) { return fmt::format("{} ({})", model.file, model.quant); }

const RunRecord& BaseOf(std::span<const RunRecord> runs, std::string_view test) {
  const auto found = std::find_if(runs.begin(), runs.end(), [&](const RunRecord& run) { return run.test == test; });
  if (found == runs.end()) Fail(ErrorKind::kInternal, "no run of {} to compare with", test);
  return *found;
}

std::vector<NoiseFloor> NoiseFloors(std::span<const RunRecord> runs) {
  std::vector<NoiseFloor> floors;
  for (const RunRecord& run : runs) {
    if (!IsPlacebo(run)) continue;
    const std::string_view test = TestOf(run);
    floors.push_back({std::string(test), SpeedRatio(run.samples, BaseOf(runs, test).samples)});
  }
  return floors;
}

GuardResult FiniteOf(std::span<const RunRecord> runs) {
  for (const RunRecord& run : runs) {
    for (const GuardResult& guard : run.guards) {
      if (guard.name == "finite" && guard.tripped) return guard;
    }
  }
  return CheckFinite(std::nullopt);
}

std::vector<GuardResult> CheckSpeeds(std::span<const RunRecord> runs) {
  std::vector<MachineBias> machine;
  std::vector<NamedEstimate> rates;
  std::vector<Conditions> conditions;
  double seconds = 0.0;
  size_t rounds = runs.empty() ? 0 : runs.front().samples.size();
  for (const RunRecord& run : runs) {
    rounds = std::min(rounds, run.samples.size());
    rates.push_back({Label(run), RateEstimate(run.samples)});
    for (const Sample& sample : run.samples) {
      conditions.push_back(sample.conditions);
      seconds += sample.seconds;
    }
    if (!IsBase(runs, run)) {
      machine.push_back({Label(run), MachineRatio(run.samples, BaseOf(runs, TestOf(run)).samples)});
    }
  }
  std::vector<GuardResult> guards = {CheckUnits(static_cast<int>(rounds), "round"), CheckMemory(conditions, seconds),
                                     CheckSpread(rates)};
  if (!machine.empty()) guards.push_back(CheckSteady(machine));
  if (const std::vector<NoiseFloor> floors = NoiseFloors(runs); !floors.empty()) guards.push_back(CheckPlacebo(floors));
  return guards;
}

std::vector<SpeedPair> SpeedPairs(std::span<const RunRecord> runs) {
  std::vector<SpeedPair> pairs;
  for (const RunRecord& run : runs) {
    if (IsPlacebo(run)) continue;
    const RunRecord& base = BaseOf(runs, run.test);
    if (&base == &run) continue;
    RequireSameArithmetic(run, base);
    pairs.push_back({&run, &base});
  }
  return pairs;
}

std::vector<Compared> CompareSpeeds(std::span<const SpeedPair> pairs, std::span<const NoiseFloor> floors) {
  std::vector<Compared> family;
  for (const auto& [run, base] : pairs) {
    Compared compared{.name = run->test, .estimate = SpeedRatio(run->samples, base->samples)};
    for (const NoiseFloor& floor : floors) {
      if (floor.test == run->test) compared.floor = floor.floor();
    }
    family.push_back(std::move(compared));
  }
  return family;
}

}  // namespace assay
