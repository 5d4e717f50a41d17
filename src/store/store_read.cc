#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "store/store.h"

// What of Store reads back whole records.

namespace assay {
namespace {

constexpr std::string_view kSelectRun =
    "SELECT id, study_id, record_schema, kind, test, model_id, base_model_id, environment_id, settings,"
    " started_unix_ms, coalesce(finished_unix_ms, 0), status FROM run";

RunStatus StatusOf(std::string_view text) {
  if (text == "running") return RunStatus::kRunning;
  if (text == "done") return RunStatus::kDone;
  if (text == "invalid") return RunStatus::kInvalid;
  Fail(ErrorKind::kBadFile,
       "a damaged Assay database: a run's status is '{}'; restore it from a copy or name a new file", text);
}

std::optional<std::string> OptionalText(const Statement& row, int column) {
  if (row.IsNull(column)) return std::nullopt;
  return row.Text(column);
}

std::optional<double> OptionalReal(const Statement& row, int column) {
  if (row.IsNull(column)) return std::nullopt;
  return row.Real(column);
}

std::optional<int64_t> OptionalInteger(const Statement& row, int column) {
  if (row.IsNull(column)) return std::nullopt;
  return row.Integer(column);
}

// JSON that this program wrote: damage to it is damage to the file.
nlohmann::ordered_json ParseJson(const std::string& text) {
  nlohmann::ordered_json json = nlohmann::ordered_json::parse(text, nullptr, false);
  if (json.is_discarded())
    Fail(ErrorKind::kBadFile, "a damaged Assay database: its JSON is damaged: {}; restore it from a copy", text);
  return json;
}

std::string TextOf(const nlohmann::ordered_json& value) {
  if (!value.is_string()) {
    Fail(ErrorKind::kBadFile, "a damaged Assay database: {} stands where a text belongs; restore it from a copy",
         value.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace));
  }
  return value.get<std::string>();
}

Sample ReadSample(const Statement& row) {
  Sample sample;
  sample.round = static_cast<int>(row.Integer(0));
  sample.order = static_cast<int>(row.Integer(1));
  sample.session = static_cast<int>(row.Integer(2));
  sample.tokens = row.Integer(3);
  sample.seconds = row.Real(4);
  sample.conditions.load_average = OptionalReal(row, 5);
  sample.conditions.cpu_mhz = OptionalReal(row, 6);
  sample.conditions.involuntary_switches = row.Integer(7);
  sample.conditions.major_faults = row.Integer(8);
  sample.conditions.swapped_pages = OptionalInteger(row, 9);
  sample.conditions.work_seconds = OptionalReal(row, 10);
  return sample;
}

Metric ReadMetric(const Statement& row) {
  Metric metric{row.Text(0), row.Real(1), OptionalReal(row, 2)};
  if (row.IsNull(3)) return metric;
  metric.certainty = Certainty{.low = OptionalReal(row, 6),
                               .high = OptionalReal(row, 7),
                               .unit = row.Text(3),
                               .units = static_cast<int>(row.Integer(4)),
                               .method = row.Text(5)};
  return metric;
}

[[noreturn]] void FailMissing(std::string_view what) {
  Fail(ErrorKind::kBadFile,
       "a damaged Assay database: the {} of a run is missing; restore it from a copy or name a new file", what);
}

[[noreturn]] void FailDamaged(const StoredRun& run, std::string_view what) {
  Fail(ErrorKind::kBadFile,
       "a damaged Assay database: the {} run {} of {} {}; restore it from a copy or name a new file", run.record.kind,
       run.record.test, run.record.model.file, what);
}

// The mean rate is that of the samples: none of them is missing or another.
void RequireSamplesOfRate(const StoredRun& run, double rate) {
  double sum = 0.0;
  for (const Sample& sample : run.record.samples) sum += sample.tok_per_s();
  const double mean = sum / static_cast<double>(run.record.samples.size());
  constexpr double kRounding = 1e-9;  // of the sum, in whatever order
  if (!(std::abs(mean - rate) <= kRounding * rate)) FailDamaged(run, "has other samples than its mean rate is of");
}

// What was written in one transaction is there as a whole: a figure that is not its evidence's was not measured.
// `windows` is how many values the series of the windows' log-likelihoods has.
void RequireWhole(const StoredRun& run, int64_t windows) {
  const RunRecord& record = run.record;
  for (const Sample& sample : record.samples) {
    if (sample.tokens <= 0 || !(sample.seconds > 0.0)) FailDamaged(run, "has a sample without tokens or time");
  }
  if (run.status == RunStatus::kRunning || (record.kind != "perplexity" && record.kind != "throughput")) return;
  for (const Metric& metric : record.metrics) {
    if (!std::isfinite(metric.value)) FailDamaged(run, "has a figure that is no number");
  }
  if (const Metric* rate = FindMetric(record, "tok_per_s")) RequireSamplesOfRate(run, rate->value);
  const Metric* counted = FindMetric(record, "windows");
  if (counted != nullptr && counted->value != static_cast<double>(windows)) {
    FailDamaged(run, "has other windows than it counts");
  }
}

}  // namespace

std::vector<StoredRun> Store::StudyRuns(int64_t study) {
  Statement select = database_.Prepare(std::string(kSelectRun) + " WHERE study_id = ? ORDER BY id");
  select.Bind(1, study);
  return LoadRuns(select);
}

std::vector<StoredRun> Store::AllRuns() {
  Statement select = database_.Prepare(std::string(kSelectRun) + " ORDER BY id");
  return LoadRuns(select);
}

std::vector<StoredRun> Store::RunsOf(std::string_view kind, std::string_view model_digest) {
  Statement select = database_.Prepare(
      std::string(kSelectRun) + " WHERE kind = ? AND model_id IN (SELECT id FROM model WHERE digest = ?) ORDER BY id");
  select.Bind(1, kind).Bind(2, model_digest);
  return LoadRuns(select);
}

std::vector<float> Store::ReadSeries(int64_t run, std::string_view name) {
  Statement select = database_.Prepare("SELECT data FROM series WHERE run_id = ? AND name = ?");
  select.Bind(1, run).Bind(2, name);
  return select.Step() ? select.Floats(0) : std::vector<float>();
}

int64_t Store::SeriesLength(int64_t run, std::string_view name) {
  Statement select = database_.Prepare("SELECT length(data) FROM series WHERE run_id = ? AND name = ?");
  select.Bind(1, run).Bind(2, name);
  return select.Step() ? select.Integer(0) / static_cast<int64_t>(sizeof(float)) : 0;
}

std::vector<StoredRun> Store::LoadRuns(Statement& select) {
  std::vector<StoredRun> runs;
  while (select.Step()) {
    StoredRun run;
    run.id = select.Integer(0);
    if (!select.IsNull(1)) run.study = select.Integer(1);
    run.record.schema = static_cast<int>(select.Integer(2));
    run.record.kind = select.Text(3);
    run.record.test = select.Text(4);
    run.record.model = LoadModel(select.Integer(5));
    if (!select.IsNull(6)) run.record.base = LoadModel(select.Integer(6));
    run.record.environment = LoadEnvironment(select.Integer(7));
    const nlohmann::ordered_json settings = ParseJson(select.Text(8));
    for (const auto& [name, value] : settings.items()) run.record.settings.emplace_back(name, TextOf(value));
    run.record.started_unix_ms = select.Integer(9);
    run.finished_unix_ms = select.Integer(10);
    run.status = StatusOf(select.Text(11));
    LoadResults(run);
    RequireWhole(run, SeriesLength(run.id, "window_nll"));
    runs.push_back(std::move(run));
  }
  return runs;
}

void Store::LoadResults(StoredRun& run) {
  Statement metrics = database_.Prepare(
      "SELECT name, value, error, unit, units, method, low, high FROM metric WHERE run_id = ? ORDER BY rowid");
  metrics.Bind(1, run.id);
  while (metrics.Step()) run.record.metrics.push_back(ReadMetric(metrics));
  Statement samples = database_.Prepare(
      "SELECT round, place, session, tokens, seconds, load_average, cpu_mhz, involuntary_switches, major_faults,"
      " swapped_pages, work_seconds FROM sample WHERE run_id = ? ORDER BY round");
  samples.Bind(1, run.id);
  while (samples.Step()) run.record.samples.push_back(ReadSample(samples));
  Statement guards =
      database_.Prepare("SELECT name, tripped, evidence, warning FROM guard WHERE run_id = ? ORDER BY rowid");
  guards.Bind(1, run.id);
  while (guards.Step()) {
    run.record.guards.push_back({guards.Text(0), guards.Integer(1) != 0, guards.Text(2), guards.Integer(3) != 0});
  }
  Statement verdicts =
      database_.Prepare("SELECT name, about, outcome, sentence FROM verdict WHERE run_id = ? ORDER BY place");
  verdicts.Bind(1, run.id);
  while (verdicts.Step()) {
    run.record.verdicts.push_back({verdicts.Text(0), verdicts.Text(1), verdicts.Text(2), verdicts.Text(3)});
  }
}

Environment Store::LoadEnvironment(int64_t id) {
  Statement select = database_.Prepare(
      "SELECT cpu, cores, isa, memory_bytes, kernel, compiler, assay_version, build_type, governor, machine"
      " FROM environment WHERE id = ?");
  Environment environment;
  if (!select.Bind(1, id).Step()) FailMissing("environment");
  environment.cpu = select.Text(0);
  environment.cores = static_cast<int>(select.Integer(1));
  for (const nlohmann::ordered_json& name : ParseJson(select.Text(2))) environment.isa.push_back(TextOf(name));
  environment.memory_bytes = static_cast<uint64_t>(select.Integer(3));
  environment.kernel = select.Text(4);
  environment.compiler = select.Text(5);
  environment.assay_version = select.Text(6);
  environment.build_type = select.Text(7);
  environment.governor = OptionalText(select, 8);
  environment.machine = select.Text(9);
  return environment;
}

ModelIdentity Store::LoadModel(int64_t id) {
  Statement select = database_.Prepare(
      "SELECT file, digest, architecture, name, quant, parameters, file_bytes, tensor_bytes, mix FROM model"
      " WHERE id = ?");
  ModelIdentity model;
  if (!select.Bind(1, id).Step()) FailMissing("model");
  model.file = select.Text(0);
  model.digest = select.Text(1);
  model.architecture = select.Text(2);
  model.name = select.Text(3);
  model.quant = select.Text(4);
  model.parameters = static_cast<uint64_t>(select.Integer(5));
  model.file_bytes = static_cast<uint64_t>(select.Integer(6));
  model.tensor_bytes = static_cast<uint64_t>(select.Integer(7));
  model.mix = select.Text(8);
  return model;
}

}  // namespace assay
