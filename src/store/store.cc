#include "store/store.h"

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/error.h"
#include "record/figures.h"
#include "store/schema.h"

namespace assay {
namespace {

std::string SettingsJson(const std::vector<std::pair<std::string, std::string>>& settings) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [name, value] : settings) json[name] = value;
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

// The name of the first guard that tripped and what it saw.
std::optional<std::string> InvalidReason(std::span<const GuardResult> guards) {
  for (const GuardResult& guard : guards) {
    if (guard.tripped) return guard.name + ": " + guard.evidence;
  }
  return std::nullopt;
}

std::optional<std::string_view> View(const std::optional<std::string>& text) {
  if (!text.has_value()) return std::nullopt;
  return std::string_view(*text);
}

}  // namespace

Store::Store(const std::filesystem::path& path) : database_(path) { Migrate(database_, Migrations(), path); }

int64_t Store::AddRun(const RunRecord& record) { return InsertWholeRun(std::nullopt, record); }

int64_t Store::AddStudyRun(int64_t study, const RunRecord& record) { return InsertWholeRun(study, record); }

int64_t Store::InsertWholeRun(std::optional<int64_t> study, const RunRecord& record) {
  Transaction transaction(database_);
  const int64_t run = InsertRun(study, record);
  for (const Sample& sample : record.samples) InsertSample(run, sample);
  InsertResults(run, record);
  transaction.Commit();
  return run;
}

StudyState Store::OpenStudy(const StudyIdentity& identity, bool fresh) {
  Transaction transaction(database_);
  if (fresh) {
    Statement retire =
        database_.Prepare("UPDATE study SET superseded = 1 WHERE kind = ? AND key = ? AND superseded = 0");
    retire.Bind(1, std::string_view(identity.kind)).Bind(2, std::string_view(identity.key)).Run();
  }
  Statement find = database_.Prepare(
      "SELECT id, finished_unix_ms IS NOT NULL FROM study WHERE kind = ? AND key = ? AND superseded = 0");
  find.Bind(1, std::string_view(identity.kind)).Bind(2, std::string_view(identity.key));
  StudyState state;
  if (find.Step()) {
    state.id = find.Integer(0);
    state.finished = find.Integer(1) != 0;
  } else {
    Statement insert = database_.Prepare(
        "INSERT INTO study (kind, key, settings, model_id, environment_id, created_unix_ms) VALUES (?, ?, ?, ?, ?, ?)");
    insert.Bind(1, std::string_view(identity.kind)).Bind(2, std::string_view(identity.key));
    insert.Bind(3, std::string_view(identity.settings)).Bind(4, ModelId(identity.model));
    insert.Bind(5, EnvironmentId(identity.environment)).Bind(6, UnixMilliseconds()).Run();
    state.id = database_.LastInsertId();
  }
  Statement last = database_.Prepare("SELECT coalesce(max(number), 0) FROM session WHERE study_id = ?");
  last.Bind(1, state.id).Step();
  state.session = static_cast<int>(last.Integer(0)) + 1;
  if (!state.finished) {
    Statement begin = database_.Prepare("INSERT INTO session (study_id, number, started_unix_ms) VALUES (?, ?, ?)");
    begin.Bind(1, state.id).Bind(2, int64_t{state.session}).Bind(3, UnixMilliseconds()).Run();
  }
  transaction.Commit();
  return state;
}

void Store::FinishStudy(int64_t study) {
  Statement update = database_.Prepare("UPDATE study SET finished_unix_ms = ? WHERE id = ?");
  update.Bind(1, UnixMilliseconds()).Bind(2, study).Run();
}

int64_t Store::BeginRun(int64_t study, const RunRecord& record) {
  Transaction transaction(database_);
  const int64_t run = InsertRun(study, record);
  transaction.Commit();
  return run;
}

void Store::AddSample(int64_t run, const Sample& sample) { InsertSample(run, sample); }

void Store::FinishRun(int64_t run, const RunRecord& results) {
  Transaction transaction(database_);
  InsertResults(run, results);
  transaction.Commit();
}

int64_t Store::InsertRun(std::optional<int64_t> study, const RunRecord& record) {
  std::optional<int64_t> base;
  if (record.base.has_value()) base = ModelId(*record.base);
  Statement insert = database_.Prepare(
      "INSERT INTO run (study_id, record_schema, kind, test, model_id, base_model_id, environment_id, settings,"
      " started_unix_ms, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'running')");
  insert.Bind(1, study).Bind(2, int64_t{record.schema}).Bind(3, std::string_view(record.kind));
  insert.Bind(4, std::string_view(record.test)).Bind(5, ModelId(record.model)).Bind(6, base);
  insert.Bind(7, EnvironmentId(record.environment)).Bind(8, std::string_view(SettingsJson(record.settings)));
  insert.Bind(9, record.started_unix_ms).Run();
  return database_.LastInsertId();
}

void Store::InsertSample(int64_t run, const Sample& sample) {
  Statement insert = database_.Prepare(
      "INSERT INTO sample (run_id, round, place, session, tokens, seconds, taken_unix_ms, load_average, cpu_mhz,"
      " involuntary_switches, major_faults, swapped_pages, work_seconds) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
      "?)");
  insert.Bind(1, run).Bind(2, int64_t{sample.round}).Bind(3, int64_t{sample.order}).Bind(4, int64_t{sample.session});
  insert.Bind(5, sample.tokens).Bind(6, sample.seconds).Bind(7, UnixMilliseconds());
  insert.Bind(8, sample.conditions.load_average).Bind(9, sample.conditions.cpu_mhz);
  insert.Bind(10, sample.conditions.involuntary_switches).Bind(11, sample.conditions.major_faults);
  insert.Bind(12, sample.conditions.swapped_pages).Bind(13, sample.conditions.work_seconds).Run();
}

void Store::InsertResults(int64_t run, const RunRecord& results) {
  Statement metric_row = database_.Prepare(
      "INSERT INTO metric (run_id, name, value, error, low, high, unit, units, method)"
      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
  for (const Metric& metric : results.metrics) {
    FigureOf(metric.name);  // it has a row
    const Certainty sure = metric.certainty.value_or(Certainty{});
    const auto text = [&](const std::string& value) {
      return metric.certainty.has_value() ? std::optional(std::string_view(value)) : std::nullopt;
    };
    metric_row.Bind(1, run).Bind(2, std::string_view(metric.name)).Bind(3, metric.value).Bind(4, metric.error);
    metric_row.Bind(5, sure.low).Bind(6, sure.high).Bind(7, text(sure.unit));
    metric_row.Bind(8, metric.certainty.has_value() ? std::optional<int64_t>(sure.units) : std::nullopt);
    metric_row.Bind(9, text(sure.method)).Run();
  }
  Statement guard_row =
      database_.Prepare("INSERT INTO guard (run_id, name, tripped, evidence, warning) VALUES (?, ?, ?, ?, ?)");
  for (const GuardResult& guard : results.guards) {
    guard_row.Bind(1, run).Bind(2, std::string_view(guard.name)).Bind(3, int64_t{guard.tripped});
    guard_row.Bind(4, std::string_view(guard.evidence)).Bind(5, int64_t{guard.warning}).Run();
  }
  Statement verdict_row = database_.Prepare(
      "INSERT INTO verdict (run_id, place, name, about, outcome, sentence) VALUES (?, ?, ?, ?, ?, ?)");
  for (size_t i = 0; i < results.verdicts.size(); ++i) {
    const Verdict& verdict = results.verdicts[i];
    verdict_row.Bind(1, run).Bind(2, static_cast<int64_t>(i)).Bind(3, std::string_view(verdict.name));
    verdict_row.Bind(4, std::string_view(verdict.about)).Bind(5, std::string_view(verdict.outcome));
    verdict_row.Bind(6, std::string_view(verdict.sentence)).Run();
  }
  Statement series_row = database_.Prepare("INSERT INTO series (run_id, name, data) VALUES (?, ?, ?)");
  for (const Series& one : results.series) {
    series_row.Bind(1, run).Bind(2, std::string_view(one.name)).Bind(3, std::span<const float>(one.values)).Run();
  }
  const std::optional<std::string> reason = InvalidReason(results.guards);
  Statement finish =
      database_.Prepare("UPDATE run SET finished_unix_ms = ?, status = ?, invalid_reason = ? WHERE id = ?");
  finish.Bind(1, UnixMilliseconds()).Bind(2, std::string_view(reason.has_value() ? "invalid" : "done"));
  finish.Bind(3, View(reason)).Bind(4, run).Run();
}

int64_t Store::EnvironmentId(const Environment& environment) {
  const std::string isa =
      nlohmann::json(environment.isa).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  const auto bind = [&](Statement& statement) -> Statement& {
    statement.Bind(1, std::string_view(environment.cpu)).Bind(2, int64_t{environment.cores});
    statement.Bind(3, std::string_view(isa)).Bind(4, static_cast<int64_t>(environment.memory_bytes));
    statement.Bind(5, std::string_view(environment.kernel)).Bind(6, std::string_view(environment.compiler));
    statement.Bind(7, std::string_view(environment.assay_version));
    statement.Bind(8, std::string_view(environment.build_type)).Bind(9, View(environment.governor));
    statement.Bind(10, std::string_view(environment.machine));
    return statement;
  };
  Statement find = database_.Prepare(
      "SELECT id FROM environment WHERE cpu = ? AND cores = ? AND isa = ? AND memory_bytes = ? AND kernel = ?"
      " AND compiler = ? AND assay_version = ? AND build_type = ? AND governor IS ? AND machine = ?");
  if (bind(find).Step()) return find.Integer(0);
  Statement insert = database_.Prepare(
      "INSERT INTO environment (cpu, cores, isa, memory_bytes, kernel, compiler, assay_version, build_type, governor,"
      " machine) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  bind(insert).Run();
  return database_.LastInsertId();
}

int64_t Store::ModelId(const ModelIdentity& model) {
  Statement find = database_.Prepare("SELECT id FROM model WHERE digest = ? AND file = ?");
  find.Bind(1, std::string_view(model.digest)).Bind(2, std::string_view(model.file));
  if (find.Step()) return find.Integer(0);
  Statement insert = database_.Prepare(
      "INSERT INTO model (digest, file, architecture, name, quant, parameters, file_bytes, tensor_bytes, mix)"
      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
  insert.Bind(1, std::string_view(model.digest)).Bind(2, std::string_view(model.file));
  insert.Bind(3, std::string_view(model.architecture)).Bind(4, std::string_view(model.name));
  insert.Bind(5, std::string_view(model.quant)).Bind(6, static_cast<int64_t>(model.parameters));
  insert.Bind(7, static_cast<int64_t>(model.file_bytes)).Bind(8, static_cast<int64_t>(model.tensor_bytes));
  insert.Bind(9, std::string_view(model.mix)).Run();
  return database_.LastInsertId();
}

std::optional<std::string> Store::FindDerived(std::string_view source, std::string_view recipe,
                                              const Environment& environment) {
  Transaction transaction(database_);
  Statement find =
      database_.Prepare("SELECT digest FROM derived WHERE source_digest = ? AND recipe = ? AND environment_id = ?");
  find.Bind(1, source).Bind(2, recipe).Bind(3, EnvironmentId(environment));
  std::optional<std::string> digest;
  if (find.Step()) digest = find.Text(0);
  transaction.Commit();
  return digest;
}

bool Store::HasDerived(std::string_view source, std::string_view recipe) {
  Statement find = database_.Prepare("SELECT 1 FROM derived WHERE source_digest = ? AND recipe = ?");
  return find.Bind(1, source).Bind(2, recipe).Step();
}

void Store::SetDerived(std::string_view source, std::string_view recipe, const Environment& environment,
                       std::string_view digest) {
  Transaction transaction(database_);
  Statement insert = database_.Prepare(
      "INSERT INTO derived (source_digest, recipe, environment_id, digest) VALUES (?, ?, ?, ?)"
      " ON CONFLICT DO UPDATE SET digest = excluded.digest");
  insert.Bind(1, source).Bind(2, recipe).Bind(3, EnvironmentId(environment)).Bind(4, digest).Run();
  transaction.Commit();
}

}  // namespace assay
