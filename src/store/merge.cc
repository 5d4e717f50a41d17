#include "store/merge.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "store/schema.h"
#include "store/sqlite.h"
#include "store/store.h"

namespace assay {
namespace {

// What of a run lies in tables of its own; all columns but run_id.
struct Part {
  std::string_view table, columns, order;
};
constexpr Part kParts[] = {
    {"metric", "name, value, error, low, high, unit, units, method", "rowid"},
    {"sample",
     "round, place, session, tokens, seconds, taken_unix_ms, load_average, cpu_mhz, involuntary_switches, major_faults,"
     " swapped_pages, work_seconds",
     "round"},
    {"guard", "name, tripped, evidence, warning", "rowid"},
    {"verdict", "place, name, about, outcome, sentence", "place"},
    {"series", "name, data", "name"},
};
constexpr std::string_view kRunColumns =
    "record_schema, kind, test, settings, started_unix_ms, finished_unix_ms, status, invalid_reason";
constexpr std::string_view kEnvironmentColumns =
    "cpu, cores, isa, memory_bytes, kernel, compiler, assay_version, build_type, governor, machine";
constexpr std::string_view kModelColumns =
    "digest, file, architecture, name, quant, parameters, file_bytes, tensor_bytes, mix";

std::string TimeText(int64_t unix_ms) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(static_cast<std::time_t>(unix_ms / 1000)));
}

// "?, ?, ?"
std::string Marks(int count) {
  std::string marks;
  for (int i = 0; i < count; ++i) marks += i == 0 ? "?" : ", ?";
  return marks;
}

// Inserts the row with these values before it.
void InsertRow(Database& to, std::string_view table, std::string_view columns,
               std::initializer_list<std::optional<int64_t>> first, const Statement& row) {
  const int before = static_cast<int>(first.size());
  Statement insert =
      to.Prepare(fmt::format("INSERT INTO {} ({}) VALUES ({})", table, columns, Marks(before + row.columns())));
  int parameter = 0;
  for (const std::optional<int64_t>& value : first) insert.Bind(++parameter, value);
  for (int column = 0; column < row.columns(); ++column) insert.BindValue(++parameter, row, column);
  insert.Run();
}

bool SameRow(const Statement& a, const Statement& b) {
  for (int column = 0; column < a.columns(); ++column) {
    if (!a.SameValue(column, b)) return false;
  }
  return true;
}

// One source into the output, inside of a transaction of the output's.
class Merger {
 public:
  // The paths are for messages.
  Merger(Database& from, std::filesystem::path from_path, Database& to, std::filesystem::path to_path)
      : from_(from), to_(to), from_path_(std::move(from_path)), to_path_(std::move(to_path)) {}

  void Merge(MergeCounts& counts) {
    MergeStudies();
    MergeRuns(counts);
    MergeDerived();
  }

 private:
  template <typename... Args>
  [[noreturn]] void Conflict(fmt::format_string<Args...> what, Args&&... args) const {
    Fail(ErrorKind::kBadFile, "{} and {} contradict each other: {}; one of them was changed: leave it out",
         from_path_.string(), to_path_.string(), fmt::format(what, std::forward<Args>(args)...));
  }

  [[noreturn]] void FailMissing(std::string_view table) const {
    Fail(ErrorKind::kBadFile, "{}: a damaged Assay database: a row of '{}' is missing; restore it from a copy",
         from_path_.string(), table);
  }

  Statement Row(std::string_view table, std::string_view columns, int64_t id) {
    Statement select = from_.Prepare(fmt::format("SELECT {} FROM {} WHERE id = ?", columns, table));
    if (!select.Bind(1, id).Step()) FailMissing(table);
    return select;
  }

  // The output's id of the source's row; adds it where there is none.
  int64_t Environment(int64_t id) {
    const auto [entry, news] = environments_.try_emplace(id, 0);
    if (!news) return entry->second;
    const Statement row = Row("environment", kEnvironmentColumns, id);
    Statement find = to_.Prepare(
        "SELECT id FROM environment WHERE cpu IS ? AND cores IS ? AND isa IS ? AND memory_bytes IS ? AND kernel IS ?"
        " AND compiler IS ? AND assay_version IS ? AND build_type IS ? AND governor IS ? AND machine IS ?");
    for (int column = 0; column < row.columns(); ++column) find.BindValue(column + 1, row, column);
    if (find.Step()) return entry->second = find.Integer(0);
    InsertRow(to_, "environment", kEnvironmentColumns, {}, row);
    return entry->second = to_.LastInsertId();
  }

  int64_t Model(int64_t id) {
    const auto [entry, news] = models_.try_emplace(id, 0);
    if (!news) return entry->second;
    const Statement row = Row("model", kModelColumns, id);
    RequireOneFileOfDigest(row);
    Statement find = to_.Prepare("SELECT id FROM model WHERE digest = ? AND file = ?");
    if (find.BindValue(1, row, 0).BindValue(2, row, 1).Step()) return entry->second = find.Integer(0);
    InsertRow(to_, "model", kModelColumns, {}, row);
    return entry->second = to_.LastInsertId();
  }

  int64_t Study(int64_t id) const {
    const auto entry = studies_.find(id);
    if (entry == studies_.end()) FailMissing("study");
    return entry->second;
  }

  // Names and rungs may be told in other words by another version; the bytes are the bytes.
  void RequireOneFileOfDigest(const Statement& model) {
    Statement other = to_.Prepare(
        "SELECT file FROM model WHERE digest = ? AND NOT (architecture = ? AND parameters = ? AND file_bytes = ?"
        " AND tensor_bytes = ?)");
    other.BindValue(1, model, 0).BindValue(2, model, 2).BindValue(3, model, 5).BindValue(4, model, 6);
    if (other.BindValue(5, model, 7).Step()) {
      Conflict("the digest {} is of two different models, {} and {}", model.Text(0), model.Text(1), other.Text(0));
    }
  }

  void MergeStudies() {
    Statement select = from_.Prepare(
        "SELECT id, model_id, environment_id, kind, key, settings, created_unix_ms, finished_unix_ms, superseded"
        " FROM study ORDER BY id");
    while (select.Step()) {
      const int64_t id = MergeStudy(select);
      studies_[select.Integer(0)] = id;
      MergeSessions(select.Integer(0), id);
    }
  }

  int64_t MergeStudy(const Statement& study) {
    constexpr int kKind = 3, kKey = 4, kSettings = 5, kCreated = 6, kFinished = 7, kSuperseded = 8;
    const int64_t environment = Environment(study.Integer(2));
    Statement find =
        to_.Prepare("SELECT id FROM study WHERE kind = ? AND key = ? AND created_unix_ms = ? AND environment_id = ?");
    find.BindValue(1, study, kKind).BindValue(2, study, kKey).BindValue(3, study, kCreated).Bind(4, environment);
    int64_t id = 0;
    if (find.Step()) {
      id = find.Integer(0);
      // Nothing is written where nothing is new.
      Statement finish =
          to_.Prepare("UPDATE study SET finished_unix_ms = ?1 WHERE id = ?2 AND finished_unix_ms IS NULL AND ?1 > 0");
      finish.BindValue(1, study, kFinished).Bind(2, id).Run();
      Statement retire = to_.Prepare("UPDATE study SET superseded = 1 WHERE id = ? AND superseded < ?");
      retire.Bind(1, id).BindValue(2, study, kSuperseded).Run();
    } else {
      // Superseded for now: there is but one current study of a key.
      Statement insert = to_.Prepare(
          "INSERT INTO study (model_id, environment_id, kind, key, settings, created_unix_ms, finished_unix_ms,"
          " superseded) VALUES (?, ?, ?, ?, ?, ?, ?, 1)");
      insert.Bind(1, Model(study.Integer(1))).Bind(2, environment).BindValue(3, study, kKind);
      insert.BindValue(4, study, kKey).BindValue(5, study, kSettings).BindValue(6, study, kCreated);
      insert.BindValue(7, study, kFinished).Run();
      id = to_.LastInsertId();
      if (study.Integer(kSuperseded) == 0) MakeCurrentIfLast(id, study.Text(kKind), study.Text(kKey));
    }
    return id;
  }

  void MakeCurrentIfLast(int64_t study, std::string_view kind, std::string_view key) {
    Statement retire = to_.Prepare(
        "UPDATE study SET superseded = 1 WHERE kind = ? AND key = ? AND superseded = 0"
        " AND created_unix_ms < (SELECT created_unix_ms FROM study WHERE id = ?)");
    retire.Bind(1, kind).Bind(2, key).Bind(3, study).Run();
    Statement raise = to_.Prepare(
        "UPDATE study SET superseded = 0 WHERE id = ?"
        " AND NOT EXISTS (SELECT 1 FROM study WHERE kind = ? AND key = ? AND superseded = 0)");
    raise.Bind(1, study).Bind(2, kind).Bind(3, key).Run();
  }

  void MergeSessions(int64_t from_study, int64_t to_study) {
    Statement select = from_.Prepare("SELECT number, started_unix_ms FROM session WHERE study_id = ? ORDER BY number");
    select.Bind(1, from_study);
    while (select.Step()) {
      Statement find = to_.Prepare("SELECT number, started_unix_ms FROM session WHERE study_id = ? AND number = ?");
      find.Bind(1, to_study).BindValue(2, select, 0);
      if (!find.Step()) {
        InsertRow(to_, "session", "study_id, number, started_unix_ms", {to_study}, select);
      } else if (!SameRow(select, find)) {
        Conflict("a study went on in both, at {} and at {}", TimeText(select.Integer(1)), TimeText(find.Integer(1)));
      }
    }
  }

  void MergeRuns(MergeCounts& counts) {
    Statement select = from_.Prepare("SELECT id, status FROM run ORDER BY id");
    while (select.Step()) {
      if (select.Text(1) == "running") {
        ++counts.unfinished;
      } else {
        ++(MergeRun(select.Integer(0)) ? counts.added : counts.same);
      }
    }
  }

  // True when it was added.
  bool MergeRun(int64_t id) {
    Statement owners = from_.Prepare("SELECT study_id, model_id, base_model_id, environment_id FROM run WHERE id = ?");
    owners.Bind(1, id).Step();
    const auto study = owners.IsNull(0) ? std::nullopt : std::optional(Study(owners.Integer(0)));
    const auto base = owners.IsNull(2) ? std::nullopt : std::optional(Model(owners.Integer(2)));
    const int64_t model = Model(owners.Integer(1));
    const int64_t environment = Environment(owners.Integer(3));
    const Statement row = Row("run", kRunColumns, id);
    if (const auto known = FindRun(row, study, owners.Integer(1), environment)) {
      RequireSame(row, id, *known, {model, base, environment});
      return false;
    }
    InsertRow(to_, "run", fmt::format("study_id, model_id, base_model_id, environment_id, {}", kRunColumns),
              {study, model, base, environment}, row);
    const int64_t added = to_.LastInsertId();
    for (const Part& part : kParts) {
      Statement rows = PartOf(from_, part, id);
      while (rows.Step()) InsertRow(to_, part.table, fmt::format("run_id, {}", part.columns), {added}, rows);
    }
    return true;
  }

  static Statement PartOf(Database& database, const Part& part, int64_t run) {
    Statement select = database.Prepare(
        fmt::format("SELECT {} FROM {} WHERE run_id = ? ORDER BY {}", part.columns, part.table, part.order));
    select.Bind(1, run);
    return select;
  }

  // The output's run that must be the same one. A command may measure one file twice: the first of such runs is the
  // first, the second the second.
  std::optional<int64_t> FindRun(const Statement& row, const std::optional<int64_t>& study, int64_t from_model,
                                 int64_t environment) {
    constexpr int kKind = 1, kTest = 2, kStarted = 4;
    const std::string file = Row("model", "file", from_model).Text(0);
    Statement find = to_.Prepare(
        "SELECT id FROM run WHERE kind = ? AND test = ? AND study_id IS ? AND model_id IN (SELECT id FROM model WHERE"
        " file = ?) AND (study_id IS NOT NULL OR (started_unix_ms = ? AND environment_id = ?))"
        " ORDER BY id LIMIT 1 OFFSET ?");
    find.BindValue(1, row, kKind).BindValue(2, row, kTest).Bind(3, study).Bind(4, std::string_view(file));
    find.BindValue(5, row, kStarted).Bind(6, environment);
    const std::string key = fmt::format("{}\n{}\n{}\n{}\n{}\n{}", row.Text(kKind), row.Text(kTest), study.value_or(0),
                                        file, study ? 0 : row.Integer(kStarted), study ? 0 : environment);
    find.Bind(7, seen_[key]++);
    return find.Step() ? std::optional(find.Integer(0)) : std::nullopt;
  }

  struct Owners {
    int64_t model;
    std::optional<int64_t> base;
    int64_t environment;
  };
  void RequireSame(const Statement& row, int64_t from_run, int64_t to_run, const Owners& owners) {
    const auto conflict = [&](std::string_view what) {
      Conflict("the {} run {} of {} from {} has {} in each", row.Text(1), row.Text(2),
               Row("run", "(SELECT file FROM model WHERE id = model_id)", from_run).Text(0), TimeText(row.Integer(4)),
               what);
    };
    Statement other = to_.Prepare(
        fmt::format("SELECT {}, model_id, base_model_id, environment_id FROM run WHERE id = ?", kRunColumns));
    other.Bind(1, to_run).Step();
    const int mine = row.columns();
    if (other.Integer(mine) != owners.model) conflict("another digest of its model");
    const auto base = other.IsNull(mine + 1) ? std::nullopt : std::optional(other.Integer(mine + 1));
    if (base != owners.base) conflict("another digest of its base");
    if (!SameRow(row, other) || other.Integer(mine + 2) != owners.environment) conflict("other settings");
    for (const Part& part : kParts) {
      Statement a = PartOf(from_, part, from_run);
      Statement b = PartOf(to_, part, to_run);
      bool more = true;
      while (more) {
        more = a.Step();
        if (more != b.Step() || (more && !SameRow(a, b))) conflict(fmt::format("another {}", part.table));
      }
    }
  }

  void MergeDerived() {
    // An empty digest says that one was about to be made.
    Statement select =
        from_.Prepare("SELECT environment_id, source_digest, recipe, digest FROM derived WHERE digest <> ''");
    while (select.Step()) {
      const int64_t environment = Environment(select.Integer(0));
      Statement find =
          to_.Prepare("SELECT digest FROM derived WHERE source_digest = ? AND recipe = ? AND environment_id = ?");
      find.BindValue(1, select, 1).BindValue(2, select, 2).Bind(3, environment);
      if (find.Step()) {
        if (find.Text(0) == select.Text(3)) continue;
        if (find.Text(0) != "") {
          Conflict("the {} of {} has the digest {} in one and {} in the other, made by one program on one machine",
                   select.Text(2), select.Text(1), select.Text(3), find.Text(0));
        }
      }
      Statement insert = to_.Prepare(
          "INSERT INTO derived (environment_id, source_digest, recipe, digest) VALUES (?, ?, ?, ?)"
          " ON CONFLICT DO UPDATE SET digest = excluded.digest");
      insert.Bind(1, environment);
      for (int column = 1; column < select.columns(); ++column) insert.BindValue(column + 1, select, column);
      insert.Run();
    }
  }

  Database& from_;
  Database& to_;
  std::filesystem::path from_path_, to_path_;
  std::map<int64_t, int64_t> environments_, models_, studies_;  // of the source's ids the output's
  std::map<std::string, int64_t> seen_;                         // runs of the source that are known by the same
};

void RequireApart(std::span<const std::filesystem::path> sources, const std::filesystem::path& output) {
  for (const std::filesystem::path& source : sources) {
    std::error_code ignored;
    if (source == output || std::filesystem::equivalent(source, output, ignored)) {
      Fail(ErrorKind::kUsage,
           "{} is a source and the output; leave it out of the sources: an output that exists keeps what it has",
           output.string());
    }
  }
}

// The action's errors speak of the source, never of its copy.
template <typename Action>
void NamingTheSource(const std::filesystem::path& source, const std::filesystem::path& copy, const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    std::string text = error.what();
    const size_t at = text.find(copy.string());
    if (at != std::string::npos) text.replace(at, copy.string().size(), source.string());
    if (text.find(source.string()) == std::string::npos) text = fmt::format("{}: {}", source.string(), text);
    Fail(error.kind(), "{}", text);
  }
}

// A copy of today's schema, of which every run could be read.
void CopySource(const std::filesystem::path& source, const std::filesystem::path& copy) {
  CopyDatabase(source, copy);
  Database database(copy);
  if (database.Pragma("user_version") == 0 && database.Pragma("application_id") == 0) {
    Statement tables = database.Prepare("SELECT count(*) FROM sqlite_master");
    if (tables.Step() && tables.Integer(0) == 0) {
      Fail(ErrorKind::kBadFile, "{}: an empty file, not an Assay database; name one that --db made", source.string());
    }
  }
  Migrate(database, Migrations(), source);
  Store(copy).AllRuns();
}

int64_t CountRuns(Database& database) {
  Statement count = database.Prepare("SELECT count(*) FROM run");
  count.Step();
  return count.Integer(0);
}

}  // namespace

MergeCounts MergeStores(std::span<const std::filesystem::path> sources, const std::filesystem::path& output) {
  RequireApart(sources, output);
  const std::filesystem::path parent = output.has_parent_path() ? output.parent_path() : std::filesystem::path(".");
  const TemporaryFolder folder(parent);
  const auto copy_of = [&](size_t source) { return folder.path() / fmt::format("source-{}.db", source); };
  for (size_t i = 0; i < sources.size(); ++i) {
    NamingTheSource(sources[i], copy_of(i), [&] { CopySource(sources[i], copy_of(i)); });
  }

  const bool exists = std::filesystem::exists(output);
  const std::filesystem::path target = exists ? output : folder.path() / "merged.db";
  MergeCounts counts;
  {
    Database to(target);
    Migrate(to, Migrations(), output);
    Transaction transaction(to);
    for (size_t i = 0; i < sources.size(); ++i) {
      NamingTheSource(sources[i], copy_of(i), [&] {
        Database from(copy_of(i));
        Merger(from, sources[i], to, output).Merge(counts);
      });
    }
    counts.runs = CountRuns(to);
    transaction.Commit();
  }
  if (!exists) {
    AtomicFile file(output);
    file.Write(MappedFile(target).bytes());
    file.Commit();
  }
  return counts;
}

}  // namespace assay
