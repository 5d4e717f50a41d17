#include "judge/hardware.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "judge/guards.h"
#include "judge/speeds.h"

namespace assay {
namespace {

// Records of before machines had identifiers are told apart by what they say of the machine.
std::string MachineOf(const Environment& e) {
  return e.machine.empty() ? fmt::format("{}\n{}\n{}", e.cpu, e.cores, e.memory_bytes) : e.machine;
}

// What of a run was chosen, not found. The version of the program is neither.
std::tuple<std::string, std::string, std::string> SettingsOf(const RunRecord& run) {
  return {SettingOf(run, "backend"), SettingOf(run, "cache"), ArithmeticOf(run)};
}

bool SameMeasurement(const RunRecord& a, const RunRecord& b) {
  return a.started_unix_ms == b.started_unix_ms && a.environment == b.environment;
}

// Among the runs that began with this one; 0 without a placebo.
double FloorOf(const RunRecord& run, std::span<const RunRecord> runs) {
  const RunRecord* base = nullptr;
  const RunRecord* placebo = nullptr;
  for (const RunRecord& other : runs) {
    if (other.kind != run.kind || !SameMeasurement(other, run)) continue;
    if (base == nullptr && other.test == run.test) base = &other;
    if (other.test == std::string(kPlaceboPrefix) + run.test) placebo = &other;
  }
  if (base == nullptr || placebo == nullptr) return 0.0;
  return NoiseFloor{run.test, SpeedRatio(placebo->samples, base->samples)}.floor();
}

// A later run of a test takes the place of an earlier one.
void Keep(std::vector<RunRecord>& tests, const RunRecord& run) {
  for (RunRecord& test : tests) {
    if (test.test != run.test) continue;
    if (run.started_unix_ms >= test.started_unix_ms) test = run;
    return;
  }
  tests.push_back(run);
}

MachineSpeeds SpeedsOf(std::span<const RunRecord* const> runs) {
  MachineSpeeds speeds;
  const RunRecord* last = nullptr;
  for (const RunRecord* run : runs) {
    if (!run->valid()) {
      ++speeds.invalid;
    } else if (last == nullptr || run->started_unix_ms >= last->started_unix_ms) {
      last = run;
    }
  }
  speeds.environment = (last != nullptr ? last : runs.back())->environment;
  if (last == nullptr) return speeds;
  speeds.backend = SettingOf(*last, "backend");
  speeds.cache = SettingOf(*last, "cache");
  for (const RunRecord* run : runs) {
    if (!run->valid()) continue;
    if (SettingsOf(*run) == SettingsOf(*last)) {
      Keep(speeds.tests, *run);
    } else {
      ++speeds.otherwise;
    }
  }
  return speeds;
}

std::vector<ModelOnMachines> GroupRuns(std::span<const RunRecord> runs) {
  std::vector<ModelOnMachines> models;
  std::vector<std::vector<std::vector<const RunRecord*>>> grouped;  // by model and machine
  std::map<std::string, size_t> model_places;
  std::vector<std::map<std::string, size_t>> machine_places;
  for (const RunRecord& run : runs) {
    if (run.kind != "throughput" || IsPlacebo(run)) continue;
    const auto [model, news] = model_places.try_emplace(run.model.digest, models.size());
    if (news) {
      models.push_back({.model = run.model, .tests = {}, .machines = {}});
      grouped.emplace_back();
      machine_places.emplace_back();
    }
    auto& of_model = grouped[model->second];
    const auto [machine, first] =
        machine_places[model->second].try_emplace(MachineOf(run.environment), of_model.size());
    if (first) of_model.emplace_back();
    of_model[machine->second].push_back(&run);
  }
  for (size_t i = 0; i < models.size(); ++i) {
    for (const auto& of_machine : grouped[i]) models[i].machines.push_back(SpeedsOf(of_machine));
    for (const MachineSpeeds& machine : models[i].machines) {
      for (const RunRecord& test : machine.tests) {
        std::vector<std::string>& names = models[i].tests;
        if (std::find(names.begin(), names.end(), test.test) == names.end()) names.push_back(test.test);
      }
    }
  }
  return models;
}

// The two machines in a test, the faster one first; nothing where they cannot be compared.
std::optional<MachinePair> PairOf(const ModelOnMachines& model, std::string_view test, size_t a, size_t b,
                                  std::span<const RunRecord> runs) {
  const RunRecord* of_a = FindTest(model.machines[a], test);
  const RunRecord* of_b = FindTest(model.machines[b], test);
  if (of_a == nullptr || of_b == nullptr || model.machines[a].cache != model.machines[b].cache ||
      ArithmeticOf(*of_a) != ArithmeticOf(*of_b)) {
    return std::nullopt;
  }
  const Estimate rate_a = RateEstimate(of_a->samples);
  const Estimate rate_b = RateEstimate(of_b->samples);
  const bool in_order = rate_a.mean() >= rate_b.mean();
  MachinePair pair;
  pair.a = in_order ? a : b;
  pair.b = in_order ? b : a;
  pair.compared.name = test;
  pair.compared.estimate = in_order ? Estimate::Unpaired(rate_a, rate_b) : Estimate::Unpaired(rate_b, rate_a);
  // Either machine may err by as much as its own floor.
  pair.compared.floor = (1.0 + FloorOf(*of_a, runs)) * (1.0 + FloorOf(*of_b, runs)) - 1.0;
  return pair;
}

void AddPairs(const ModelOnMachines& model, size_t place, std::span<const RunRecord> runs,
              std::vector<MachinePair>& pairs) {
  for (const std::string& test : model.tests) {
    for (size_t a = 0; a < model.machines.size(); ++a) {
      for (size_t b = a + 1; b < model.machines.size(); ++b) {
        std::optional<MachinePair> pair = PairOf(model, test, a, b, runs);
        if (!pair.has_value()) continue;
        pair->model = place;
        pairs.push_back(std::move(*pair));
      }
    }
  }
}

}  // namespace

const RunRecord* FindTest(const MachineSpeeds& machine, std::string_view test) {
  const auto found =
      std::find_if(machine.tests.begin(), machine.tests.end(), [&](const RunRecord& run) { return run.test == test; });
  return found == machine.tests.end() ? nullptr : &*found;
}

HardwareComparison CompareHardware(std::span<const RunRecord> runs) {
  HardwareComparison result;
  result.models = GroupRuns(runs);
  for (size_t i = 0; i < result.models.size(); ++i) AddPairs(result.models[i], i, runs, result.pairs);
  std::vector<Compared> family;
  for (const MachinePair& pair : result.pairs) family.push_back(pair.compared);
  JudgeTogether(family);
  for (size_t i = 0; i < family.size(); ++i) result.pairs[i].compared = std::move(family[i]);
  return result;
}

std::string MachineName(const Environment& environment) {
  const std::string name =
      fmt::format("{}, {} core{}", environment.cpu, environment.cores, environment.cores == 1 ? "" : "s");
  return environment.machine.empty() ? name : fmt::format("{} ({})", name, environment.machine.substr(0, 8));
}

std::string PairSentence(const ModelOnMachines& model, const MachinePair& pair) {
  return SpeedSentence(MachineName(model.machines[pair.a].environment), MachineName(model.machines[pair.b].environment),
                       pair.compared);
}

}  // namespace assay
