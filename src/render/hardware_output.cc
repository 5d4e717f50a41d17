#include "render/hardware_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "render/measure_json.h"
#include "render/text_table.h"

namespace assay {
namespace {

bool IsGeneration(std::string_view test) { return test.starts_with("tg"); }

// "42.40 [41.90, 42.90]", without the interval where there were too few rounds for one.
std::string RateText(const RunRecord* run) {
  const Metric* rate = run != nullptr ? FindMetric(*run, "tok_per_s") : nullptr;
  if (rate == nullptr) return "-";
  const std::optional<Certainty>& sure = rate->certainty;
  if (!sure.has_value() || !sure->low.has_value() || !sure->high.has_value()) return fmt::format("{:.2f}", rate->value);
  return fmt::format("{:.2f} [{:.2f}, {:.2f}]", rate->value, *sure->low, *sure->high);
}

std::string FigureOr(const RunRecord* run, std::string_view name, double unit, int digits, std::string_view suffix) {
  const Metric* metric = run != nullptr ? FindMetric(*run, name) : nullptr;
  return metric != nullptr ? fmt::format("{:.{}f}{}", metric->value / unit, digits, suffix) : "-";
}

// What the machine's memory was probed to give beside the run: of what bandwidth_util is a share.
std::optional<double> ProbedBytesPerSecond(const MachineSpeeds& machine) {
  for (const RunRecord& run : machine.tests) {
    const Metric* read = FindMetric(run, "read_bytes_per_s");
    const Metric* share = FindMetric(run, "bandwidth_util");
    if (read != nullptr && share != nullptr && share->value > 0.0) return read->value / share->value;
  }
  return std::nullopt;
}

TextTable TableOf(const ModelOnMachines& model) {
  std::vector<TextTable::Column> columns = {{"machine"}, {"backend"}, {"cache"}, {"read GB/s", true}};
  for (const std::string& test : model.tests) {
    columns.push_back({test + " tok/s", true});
    if (!IsGeneration(test)) continue;
    columns.push_back({"of bandwidth", true});
    columns.push_back({"J/token", true});
  }
  TextTable table(std::move(columns));
  for (const MachineSpeeds& machine : model.machines) {
    const std::optional<double> probed = ProbedBytesPerSecond(machine);
    std::vector<std::string> cells = {OneLine(MachineName(machine.environment)),
                                      machine.backend.empty() ? "-" : OneLine(machine.backend),
                                      machine.cache.empty() ? "-" : OneLine(machine.cache),
                                      probed.has_value() ? fmt::format("{:.1f}", *probed / 1e9) : "-"};
    for (const std::string& test : model.tests) {
      const RunRecord* run = FindTest(machine, test);
      cells.push_back(RateText(run));
      if (!IsGeneration(test)) continue;
      cells.push_back(FigureOr(run, "bandwidth_util", 0.01, 1, " %"));
      cells.push_back(FigureOr(run, "joules_per_token", 1.0, 3, ""));
    }
    table.AddRow(std::move(cells));
  }
  return table;
}

// The machine that no other is faster than in the test, by the pairs of that model.
std::optional<size_t> FastestIn(const HardwareComparison& comparison, size_t model, std::string_view test) {
  std::set<size_t> faster, slower;
  for (const MachinePair& pair : comparison.pairs) {
    if (pair.model != model || pair.compared.name != test) continue;
    faster.insert(pair.a);
    slower.insert(pair.b);
  }
  for (const size_t machine : faster) {
    if (!slower.contains(machine)) return machine;
  }
  return std::nullopt;
}

std::string Sentences(const HardwareComparison& comparison, size_t place) {
  const ModelOnMachines& model = comparison.models[place];
  std::string text;
  for (const std::string& test : model.tests) {
    const std::optional<size_t> fastest = FastestIn(comparison, place, test);
    for (const MachinePair& pair : comparison.pairs) {
      if (pair.model != place || pair.compared.name != test || pair.a != fastest) continue;
      text += fmt::format("  {}\n", OneLine(PairSentence(model, pair)));
    }
  }
  return text;
}

// What the table leaves out, and what else than the machines may differ.
std::string Notes(const ModelOnMachines& model) {
  std::string text;
  std::set<std::string> versions;
  for (const MachineSpeeds& machine : model.machines) {
    const std::string name = OneLine(MachineName(machine.environment));
    versions.insert(machine.environment.assay_version);
    if (machine.invalid > 0) text += fmt::format("  {}: {} invalid left out\n", name, machine.invalid);
    if (machine.otherwise > 0) text += fmt::format("  {}: {} with other settings left out\n", name, machine.otherwise);
  }
  if (versions.size() > 1) text += fmt::format("  measured by different versions: {}\n", fmt::join(versions, ", "));
  return text;
}

Json TestJson(const RunRecord& run) {
  Json json = {{"test", run.test}};
  for (const char* figure :
       {"tok_per_s", "tok_per_s_sd", "read_bytes_per_s", "bandwidth_util", "ops_util", "joules_per_token"}) {
    json[figure] = FigureJson(run, figure);
  }
  json["intervals"] = IntervalsJson(run);
  json["rounds"] = run.samples.size();
  json["started_unix_ms"] = run.started_unix_ms;
  return json;
}

Json MachineJson(const MachineSpeeds& machine) {
  const std::optional<double> probed = ProbedBytesPerSecond(machine);
  Json tests = Json::array();
  for (const RunRecord& run : machine.tests) tests.push_back(TestJson(run));
  return {{"machine", machine.environment.machine},
          {"environment", ToJson(machine.environment)},
          {"backend", machine.backend},
          {"cache", machine.cache},
          {"read_gb_per_s", probed.has_value() ? Json(*probed / 1e9) : Json()},
          {"tests", tests},
          {"invalid", machine.invalid},
          {"other_settings", machine.otherwise}};
}

}  // namespace

std::string HardwareText(const HardwareComparison& comparison) {
  std::string text;
  size_t alone = 0;
  for (size_t i = 0; i < comparison.models.size(); ++i) {
    const ModelOnMachines& model = comparison.models[i];
    if (model.machines.size() < 2) {
      ++alone;
      continue;
    }
    text += fmt::format("{} ({}), {}, digest {}\n", OneLine(model.model.file), OneLine(model.model.quant),
                        HumanBytes(model.model.file_bytes), OneLine(model.model.digest));
    text += TableOf(model).ToString() + Notes(model) + Sentences(comparison, i) + "\n";
  }
  if (!comparison.pairs.empty()) {
    text +=
        "mean rates with their 95% intervals over the rounds of each machine's last run; differences are unpaired and\n"
        "judged together; of bandwidth: the share of the read bandwidth probed in the same run\n";
  }
  if (alone > 0) text += fmt::format("{} model{} measured on one machine alone\n", alone, alone == 1 ? "" : "s");
  return text;
}

Json HardwareJson(const HardwareComparison& comparison) {
  Json models = Json::array();
  for (const ModelOnMachines& model : comparison.models) {
    Json json = ToJson(model.model);
    json["machines"] = Json::array();
    for (const MachineSpeeds& machine : model.machines) json["machines"].push_back(MachineJson(machine));
    json["comparisons"] = Json::array();
    models.push_back(std::move(json));
  }
  for (const MachinePair& pair : comparison.pairs) {
    const ModelOnMachines& model = comparison.models[pair.model];
    Json json = {{"test", pair.compared.name},
                 {"a", MachineName(model.machines[pair.a].environment)},
                 {"b", MachineName(model.machines[pair.b].environment)}};
    json.update(ToJson(pair.compared, "ratio"));
    json["floor"] = pair.compared.floor > 0.0 ? Json(pair.compared.floor) : Json();
    json["sentence"] = PairSentence(model, pair);
    models[pair.model]["comparisons"].push_back(std::move(json));
  }
  return models;
}

}  // namespace assay
