#include "store/sqlite.h"

#include <sqlite3.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "base/error.h"

namespace assay {
namespace {

constexpr int kBusyTimeoutMs = 10'000;

ErrorKind KindOf(int code) {
  switch (code & 0xFF) {  // the low byte is the primary code
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_ERROR:  // a table or column that is not there
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
    case SQLITE_FORMAT:
      return ErrorKind::kBadFile;
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return ErrorKind::kIo;
    default:
      return ErrorKind::kInternal;
  }
}

const char* Advice(int code) {
  switch (code & 0xFF) {
    case SQLITE_NOTADB:
      return "name an Assay database or a new file";
    case SQLITE_CORRUPT:
    case SQLITE_ERROR:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
    case SQLITE_FORMAT:
      return "a damaged Assay database: restore it from a copy or name a new file";
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return "check that the folder exists and may be written to";
    case SQLITE_FULL:
    case SQLITE_IOERR:
      return "make room on the disk; what was committed before is kept";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "another process holds it: wait for that one or name another file";
    case SQLITE_CONSTRAINT:
      return "a thing was to be kept twice: see that no other assay works on the same study; if none does, the "
             "database "
             "is damaged, restore it from a copy or name a new file";
    default:
      return "this is a fault of Assay's";
  }
}

[[noreturn]] void FailWith(sqlite3* handle, int code, std::string_view path) {
  const std::string reason = handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(code);
  Fail(KindOf(code), "{}: the database cannot be used: {}; {}", path, reason, Advice(code));
}

// SQLITE_TRANSIENT, without the C cast in its macro: SQLite takes its own copy of what is bound.
sqlite3_destructor_type CopyAtOnce() {
  return reinterpret_cast<sqlite3_destructor_type>(intptr_t{-1});  // NOLINT(performance-no-int-to-ptr): SQLite's own
}

void CheckResult(sqlite3* handle, int code) {
  if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE) return;
  const char* path = sqlite3_db_filename(handle, "main");
  FailWith(handle, code, path != nullptr ? path : "database");
}

// Names that SQLite takes for a database in memory, or for an address: nothing would be kept, or elsewhere.
void RequireFileName(std::string_view path) {
  if (path.empty() || path == ":memory:" || path.starts_with("file:")) {
    Fail(ErrorKind::kUsage, "'{}' is not a file that keeps a database; name one, such as assay.db", path);
  }
}

}  // namespace

Statement::Statement(sqlite3_stmt* handle) : handle_(handle) {}

void Statement::Finalize::operator()(sqlite3_stmt* handle) const { sqlite3_finalize(handle); }

void Statement::Check(int code) const { CheckResult(sqlite3_db_handle(handle_.get()), code); }

Statement& Statement::Bind(int parameter, int64_t value) {
  Check(sqlite3_bind_int64(handle_.get(), parameter, value));
  return *this;
}

Statement& Statement::Bind(int parameter, double value) {
  Check(sqlite3_bind_double(handle_.get(), parameter, value));
  return *this;
}

Statement& Statement::Bind(int parameter, std::string_view value) {
  // A null pointer would bind NULL, and an empty view may have one.
  const char* text = value.empty() ? "" : value.data();
  Check(sqlite3_bind_text64(handle_.get(), parameter, text, value.size(), CopyAtOnce(), SQLITE_UTF8));
  return *this;
}

Statement& Statement::Bind(int parameter, std::span<const float> values) {
  static_assert(std::endian::native == std::endian::little, "blobs of floats are little endian");
  const void* data = values.empty() ? "" : static_cast<const void*>(values.data());
  Check(sqlite3_bind_blob64(handle_.get(), parameter, data, values.size_bytes(), CopyAtOnce()));
  return *this;
}

Statement& Statement::BindNull(int parameter) {
  Check(sqlite3_bind_null(handle_.get(), parameter));
  return *this;
}

Statement& Statement::BindValue(int parameter, const Statement& row, int column) {
  Check(sqlite3_bind_value(handle_.get(), parameter, sqlite3_column_value(row.handle_.get(), column)));
  return *this;
}

bool Statement::Step() {
  const int code = sqlite3_step(handle_.get());
  Check(code);
  return code == SQLITE_ROW;
}

void Statement::Run() {
  while (Step()) {
  }
  Check(sqlite3_reset(handle_.get()));
}

// SQLite would make a number of any text, 0 of most: a figure that nobody measured.
void Statement::RequireType(int column, std::initializer_list<int> types) const {
  const int found = sqlite3_column_type(handle_.get(), column);
  if (std::find(types.begin(), types.end(), found) != types.end()) return;
  const char* path = sqlite3_db_filename(sqlite3_db_handle(handle_.get()), "main");
  const char* name = sqlite3_column_name(handle_.get(), column);
  Fail(ErrorKind::kBadFile,
       "{}: a damaged Assay database: '{}' holds a value of another type; restore it from a copy or name a new file",
       path != nullptr ? path : "database", name != nullptr ? name : "a column");
}

int64_t Statement::Integer(int column) const {
  RequireType(column, {SQLITE_INTEGER});
  return sqlite3_column_int64(handle_.get(), column);
}

double Statement::Real(int column) const {
  RequireType(column, {SQLITE_FLOAT, SQLITE_INTEGER, SQLITE_NULL});
  return IsNull(column) ? std::numeric_limits<double>::quiet_NaN() : sqlite3_column_double(handle_.get(), column);
}

std::vector<float> Statement::Floats(int column) const {
  RequireType(column, {SQLITE_BLOB});
  const void* data = sqlite3_column_blob(handle_.get(), column);
  std::vector<float> values(static_cast<size_t>(sqlite3_column_bytes(handle_.get(), column)) / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), data, values.size() * sizeof(float));
  return values;
}

std::string Statement::Text(int column) const {
  const unsigned char* text = sqlite3_column_text(handle_.get(), column);
  if (text == nullptr) return {};
  return {reinterpret_cast<const char*>(text), static_cast<size_t>(sqlite3_column_bytes(handle_.get(), column))};
}

bool Statement::IsNull(int column) const { return sqlite3_column_type(handle_.get(), column) == SQLITE_NULL; }

int Statement::columns() const { return sqlite3_column_count(handle_.get()); }

bool Statement::SameValue(int column, const Statement& other) const {
  sqlite3_stmt* a = handle_.get();
  sqlite3_stmt* b = other.handle_.get();
  const int type = sqlite3_column_type(a, column);
  if (type != sqlite3_column_type(b, column)) return false;
  switch (type) {
    case SQLITE_NULL:
      return true;
    case SQLITE_INTEGER:
      return sqlite3_column_int64(a, column) == sqlite3_column_int64(b, column);
    case SQLITE_FLOAT:
      return sqlite3_column_double(a, column) == sqlite3_column_double(b, column);
    default: {  // before their sizes are asked for, the values are what they will be
      const void* x = sqlite3_column_blob(a, column);
      const void* y = sqlite3_column_blob(b, column);
      const auto size = static_cast<size_t>(sqlite3_column_bytes(a, column));
      if (size != static_cast<size_t>(sqlite3_column_bytes(b, column))) return false;
      return size == 0 || std::memcmp(x, y, size) == 0;
    }
  }
}

void Database::Close::operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }

Database::Database(const std::filesystem::path& path) {
  RequireFileName(path.string());
  sqlite3* handle = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_EXRESCODE;
  const int code = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
  handle_.reset(handle);
  if (code != SQLITE_OK) FailWith(handle, code, path.string());
  CheckResult(handle, sqlite3_busy_timeout(handle, kBusyTimeoutMs));
  Execute("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL");
}

void Database::Execute(const std::string& sql) {
  CheckResult(handle_.get(), sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr));
}

Statement Database::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  CheckResult(handle_.get(),
              sqlite3_prepare_v2(handle_.get(), sql.data(), static_cast<int>(sql.size()), &statement, nullptr));
  return Statement(statement);
}

int64_t Database::LastInsertId() const { return sqlite3_last_insert_rowid(handle_.get()); }

int64_t Database::Pragma(std::string_view name) {
  Statement statement = Prepare(fmt::format("PRAGMA {}", name));
  return statement.Step() ? statement.Integer(0) : 0;
}

void Database::SetPragma(std::string_view name, int64_t value) { Execute(fmt::format("PRAGMA {} = {}", name, value)); }

void CopyDatabase(const std::filesystem::path& from, const std::filesystem::path& to) {
  RequireFileName(from.string());
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(from, ignored)) {
    Fail(ErrorKind::kBadFile, "{}: there is no such file; name a database that --db made", from.string());
  }
  struct Close {
    void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
  };
  const auto open = [](const std::filesystem::path& path, int flags) {
    sqlite3* handle = nullptr;
    const int code = sqlite3_open_v2(path.c_str(), &handle, flags | SQLITE_OPEN_EXRESCODE, nullptr);
    std::unique_ptr<sqlite3, Close> owner(handle);
    if (code != SQLITE_OK) FailWith(handle, code, path.string());
    CheckResult(handle, sqlite3_busy_timeout(handle, kBusyTimeoutMs));
    return owner;
  };
  const auto source = open(from, SQLITE_OPEN_READWRITE);
  const auto copy = open(to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  sqlite3_backup* backup = sqlite3_backup_init(copy.get(), "main", source.get(), "main");
  if (backup == nullptr) FailWith(copy.get(), sqlite3_errcode(copy.get()), to.string());
  const int stepped = sqlite3_backup_step(backup, -1);
  const int code = sqlite3_backup_finish(backup);
  if (code == SQLITE_OK && stepped == SQLITE_DONE) return;
  // What went wrong is not kept in the source's handle.
  FailWith(nullptr, code != SQLITE_OK ? code : stepped, from.string());
}

Transaction::Transaction(Database& database) : database_(database) { database_.Execute("BEGIN IMMEDIATE"); }

Transaction::~Transaction() {
  if (!open_) return;
  try {
    database_.Execute("ROLLBACK");
  } catch (const Error&) {  // SQLite has rolled back by itself (disk full): nothing is left to undo
  }
}

void Transaction::Commit() {
  database_.Execute("COMMIT");
  open_ = false;
}

}  // namespace assay
