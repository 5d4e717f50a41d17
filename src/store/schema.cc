#include "store/schema.h"

#include <array>

#include "base/error.h"

namespace assay {
namespace {

constexpr int64_t kApplicationId = 0x41535359;  // "ASSY"

// A real number that is NULL is one that could not be computed (not a number).
constexpr std::array<const char*, 4> kMigrations = {R"sql(
CREATE TABLE environment (
  id INTEGER PRIMARY KEY,
  cpu TEXT NOT NULL,
  cores INTEGER NOT NULL,
  isa TEXT NOT NULL,               -- JSON array
  memory_bytes INTEGER NOT NULL,
  kernel TEXT NOT NULL,
  compiler TEXT NOT NULL,
  assay_version TEXT NOT NULL,
  build_type TEXT NOT NULL,
  governor TEXT                    -- NULL: the machine does not tell
);

CREATE TABLE model (
  id INTEGER PRIMARY KEY,
  fingerprint TEXT NOT NULL,
  file TEXT NOT NULL,
  architecture TEXT NOT NULL,
  name TEXT NOT NULL,
  quant TEXT NOT NULL,
  parameters INTEGER NOT NULL,
  file_bytes INTEGER NOT NULL,
  tensor_bytes INTEGER NOT NULL,
  UNIQUE (fingerprint, file)
);

-- A set of runs that belong together and can be resumed. Its key holds all that the figures depend on.
CREATE TABLE study (
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,              -- "ladder"
  key TEXT NOT NULL,
  settings TEXT NOT NULL,          -- JSON object
  model_id INTEGER NOT NULL REFERENCES model (id),
  environment_id INTEGER NOT NULL REFERENCES environment (id),
  created_unix_ms INTEGER NOT NULL,
  finished_unix_ms INTEGER,
  superseded INTEGER NOT NULL DEFAULT 0  -- measured anew since
);
CREATE UNIQUE INDEX study_current ON study (kind, key) WHERE superseded = 0;

-- Each start of a study.
CREATE TABLE session (
  study_id INTEGER NOT NULL REFERENCES study (id),
  number INTEGER NOT NULL,         -- from 1
  started_unix_ms INTEGER NOT NULL,
  PRIMARY KEY (study_id, number)
) WITHOUT ROWID;

CREATE TABLE run (
  id INTEGER PRIMARY KEY,
  study_id INTEGER REFERENCES study (id),  -- NULL: a run by itself
  record_schema INTEGER NOT NULL,
  kind TEXT NOT NULL,
  test TEXT NOT NULL,
  model_id INTEGER NOT NULL REFERENCES model (id),
  base_model_id INTEGER REFERENCES model (id),
  environment_id INTEGER NOT NULL REFERENCES environment (id),
  settings TEXT NOT NULL,          -- JSON object of strings
  started_unix_ms INTEGER NOT NULL,
  finished_unix_ms INTEGER,
  status TEXT NOT NULL CHECK (status IN ('running', 'done', 'invalid')),
  invalid_reason TEXT,
  UNIQUE (study_id, kind, test, model_id)  -- a study measures a thing once
);

CREATE TABLE metric (
  run_id INTEGER NOT NULL REFERENCES run (id),
  name TEXT NOT NULL,
  value REAL,
  error REAL,                      -- NULL: it has none
  PRIMARY KEY (run_id, name)
);

CREATE TABLE sample (
  run_id INTEGER NOT NULL REFERENCES run (id),
  round INTEGER NOT NULL,
  place INTEGER NOT NULL,          -- within the round
  session INTEGER NOT NULL,        -- of the study; 1 for a run by itself
  tokens INTEGER NOT NULL,
  seconds REAL,
  taken_unix_ms INTEGER NOT NULL,
  load_average REAL,
  cpu_mhz REAL,
  involuntary_switches INTEGER NOT NULL,
  major_faults INTEGER NOT NULL,
  PRIMARY KEY (run_id, round)
) WITHOUT ROWID;

CREATE TABLE guard (
  run_id INTEGER NOT NULL REFERENCES run (id),
  name TEXT NOT NULL,
  tripped INTEGER NOT NULL,
  evidence TEXT NOT NULL,
  PRIMARY KEY (run_id, name)
);

-- Many values of one kind, such as the log-likelihood of each position: float32, little endian.
CREATE TABLE series (
  run_id INTEGER NOT NULL REFERENCES run (id),
  name TEXT NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (run_id, name)
) WITHOUT ROWID;

-- Files that Assay made of others: what a recipe ("Q4_K_M") makes of a source, so that a file that lies there is known.
CREATE TABLE derived (
  source_fingerprint TEXT NOT NULL,
  recipe TEXT NOT NULL,
  environment_id INTEGER NOT NULL REFERENCES environment (id),
  fingerprint TEXT NOT NULL,
  PRIMARY KEY (source_fingerprint, recipe, environment_id)
) WITHOUT ROWID;
)sql",
                                                    R"sql(
ALTER TABLE guard ADD COLUMN warning INTEGER NOT NULL DEFAULT 0;
)sql",
                                                    R"sql(
ALTER TABLE model RENAME COLUMN fingerprint TO digest;
ALTER TABLE model ADD COLUMN mix TEXT NOT NULL DEFAULT '';
ALTER TABLE derived RENAME COLUMN source_fingerprint TO source_digest;
ALTER TABLE derived RENAME COLUMN fingerprint TO digest;
-- The 95% interval: NULL ends say that there were too few units; no unit, that the figure has no interval.
ALTER TABLE metric ADD COLUMN low REAL;
ALTER TABLE metric ADD COLUMN high REAL;
ALTER TABLE metric ADD COLUMN unit TEXT;
ALTER TABLE metric ADD COLUMN units INTEGER;
ALTER TABLE metric ADD COLUMN method TEXT;
ALTER TABLE sample ADD COLUMN swapped_pages INTEGER;
ALTER TABLE sample ADD COLUMN work_seconds REAL;
CREATE INDEX run_by_kind ON run (kind, model_id);

CREATE TABLE verdict (
  run_id INTEGER NOT NULL REFERENCES run (id),
  place INTEGER NOT NULL,          -- order within the run
  name TEXT NOT NULL,
  about TEXT NOT NULL,
  outcome TEXT NOT NULL,
  sentence TEXT NOT NULL,
  PRIMARY KEY (run_id, place)
) WITHOUT ROWID;
)sql",
                                                    R"sql(
ALTER TABLE environment ADD COLUMN machine TEXT NOT NULL DEFAULT '';  -- '': of before there were such
)sql"};

void RequireAssayDatabase(Database& database, const std::filesystem::path& path) {
  // Tables first: another process may make the database meanwhile, and its tables come with its name.
  Statement tables = database.Prepare("SELECT count(*) FROM sqlite_master");
  tables.Step();
  const int64_t count = tables.Integer(0);
  const int64_t application = database.Pragma("application_id");
  const bool ours = application == kApplicationId || (application == 0 && count == 0);
  if (!ours) {
    Fail(ErrorKind::kBadFile, "{}: a database of another program; name an Assay database or a new file", path.string());
  }
}

}  // namespace

std::span<const char* const> Migrations() { return kMigrations; }

void Migrate(Database& database, std::span<const char* const> migrations, const std::filesystem::path& path) {
  RequireAssayDatabase(database, path);
  const auto newest = static_cast<int64_t>(migrations.size());
  const int64_t found = database.Pragma("user_version");
  if (found < 0 || (found > 0 && database.Pragma("application_id") != kApplicationId)) {
    Fail(ErrorKind::kBadFile,
         "{}: a damaged Assay database: its schema version is {}; restore it from a copy or name a "
         "new file",
         path.string(), found);
  }
  if (found > newest) {
    Fail(ErrorKind::kUnsupported,
         "{}: the database has schema version {}, this program knows up to {}; use a newer Assay or name another file",
         path.string(), found, newest);
  }
  if (found == newest) return;

  Transaction transaction(database);
  // Another process may have done some of it while this one waited for the lock.
  for (int64_t version = database.Pragma("user_version"); version < newest; ++version) {
    database.Execute(migrations[static_cast<size_t>(version)]);
  }
  database.SetPragma("application_id", kApplicationId);
  database.SetPragma("user_version", newest);
  transaction.Commit();
}

}  // namespace assay
