#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace assay {

// A prepared statement. Parameters are numbered from 1, columns from 0, as SQLite does. Text is copied.
class Statement {
 public:
  Statement& Bind(int parameter, int64_t value);
  Statement& Bind(int parameter, double value);
  Statement& Bind(int parameter, std::string_view value);
  Statement& Bind(int parameter, std::span<const float> values);  // a blob
  Statement& BindNull(int parameter);
  // The value of another statement's row as it is, whatever its type.
  Statement& BindValue(int parameter, const Statement& row, int column);
  template <typename T>
  Statement& Bind(int parameter, const std::optional<T>& value) {
    return value.has_value() ? Bind(parameter, *value) : BindNull(parameter);
  }

  // True while there is a row; false at the end.
  bool Step();
  // For statements that give no rows: runs to the end and makes the statement ready to be bound again.
  void Run();

  // Throw kBadFile for a value of another type, which only damage puts there.
  int64_t Integer(int column) const;
  double Real(int column) const;  // NULL, which is what SQLite makes of NaN, is NaN again
  std::vector<float> Floats(int column) const;
  std::string Text(int column) const;
  bool IsNull(int column) const;
  int columns() const;
  // Whether both rows have the same value there, of the same type; NULL is NULL.
  bool SameValue(int column, const Statement& other) const;

 private:
  friend class Database;
  explicit Statement(sqlite3_stmt* handle);
  void Check(int code) const;
  void RequireType(int column, std::initializer_list<int> types) const;

  struct Finalize {
    void operator()(sqlite3_stmt* handle) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
};

// A connection to a database file. The rollback journal is kept (no WAL), so that at rest a database is one file that
// can be copied; foreign keys are enforced; a lock held by another process is waited for.
//
// Errors are one line that names the file: kBadFile for a file that is no database or is damaged, kIo when the system
// refuses (no permission, disk full, locked by another process for too long), kInternal for everything else.
class Database {
 public:
  // Creates the file when it is absent.
  explicit Database(const std::filesystem::path& path);

  void Execute(const std::string& sql);
  Statement Prepare(std::string_view sql);
  int64_t LastInsertId() const;

  int64_t Pragma(std::string_view name);
  void SetPragma(std::string_view name, int64_t value);

 private:
  struct Close {
    void operator()(sqlite3* handle) const;
  };
  std::unique_ptr<sqlite3, Close> handle_;
};

// Copies a database as it is at one moment, whoever else has it open. Nothing is written to it, unless a killed process
// left something to be undone. kBadFile where there is no such file.
void CopyDatabase(const std::filesystem::path& from, const std::filesystem::path& to);

// Everything until Commit() happens, or nothing does: also when the process is killed in between. Transactions do not
// nest. The write lock is taken at once, so that what is read inside holds until the commit.
class Transaction {
 public:
  explicit Transaction(Database& database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  void Commit();

 private:
  Database& database_;
  bool open_ = true;
};

}  // namespace assay
