#include "store/sqlite.h"
#include "base/testing/temporary_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <fstream>
#include <limits>

#include "base/error.h"
#include "store/testing/error_of.h"

namespace assay {
namespace {

using testing::HasSubstr;
using testing::Not;

int64_t Count(Database& database, const std::string& table) {
  Statement select = database.Prepare("SELECT count(*) FROM " + table);
  select.Step();
  return select.Integer(0);
}

TEST(SqliteTest, ValuesComeBackAsTheyWereBound) {
  const TemporaryDirectory directory;
  Database database(directory / "a.db");
  database.Execute("CREATE TABLE t (i INTEGER, r REAL, nan REAL, s TEXT, empty TEXT, n TEXT, b BLOB)");
  Statement insert = database.Prepare("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?)");
  const std::string text("a\0b'\"; DROP TABLE t", 19);
  const std::vector<float> floats = {1.5F, -0.0F, std::numeric_limits<float>::denorm_min()};
  insert.Bind(1, std::numeric_limits<int64_t>::min()).Bind(2, 0.1).Bind(3, std::nan(""));
  insert.Bind(4, std::string_view(text)).Bind(5, std::string_view()).BindNull(6);
  insert.Bind(7, std::span<const float>(floats)).Run();

  Statement select = database.Prepare("SELECT * FROM t");
  ASSERT_TRUE(select.Step());
  EXPECT_EQ(select.Integer(0), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(select.Real(1), 0.1);
  EXPECT_TRUE(std::isnan(select.Real(2)));
  EXPECT_EQ(select.Text(3), text);
  EXPECT_FALSE(select.IsNull(4));
  EXPECT_EQ(select.Text(4), "");
  EXPECT_TRUE(select.IsNull(5));
  EXPECT_EQ(select.Floats(6), floats);
  EXPECT_FALSE(select.Step());
}

TEST(SqliteTest, ATransactionWithoutCommitLeavesNothing) {
  const TemporaryDirectory directory;
  Database database(directory / "a.db");
  database.Execute("CREATE TABLE t (x INTEGER)");
  {
    Transaction transaction(database);
    database.Execute("INSERT INTO t VALUES (1)");
  }
  EXPECT_EQ(Count(database, "t"), 0);
  {
    Transaction transaction(database);
    database.Execute("INSERT INTO t VALUES (1)");
    transaction.Commit();
  }
  EXPECT_EQ(Count(database, "t"), 1);
}

// The process dies by SIGKILL inside a transaction whose pages are already on the disk.
TEST(SqliteTest, AKilledProcessLeavesWhatItCommittedAndNothingElse) {
  const TemporaryDirectory directory;
  const auto path = directory / "a.db";
  const pid_t child = fork();
  if (child == 0) {
    Database database(path);
    database.Execute("CREATE TABLE t (x TEXT); INSERT INTO t VALUES ('committed')");
    database.Execute("PRAGMA cache_size = 1");  // spill at once
    const Transaction transaction(database);
    Statement insert = database.Prepare("INSERT INTO t VALUES (?)");
    const std::string page(5000, 'x');
    for (int i = 0; i < 200; ++i) insert.Bind(1, std::string_view(page)).Run();
    kill(getpid(), SIGKILL);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  ASSERT_TRUE(std::filesystem::exists(directory / "a.db-journal")) << "nothing was spilled: the test tests nothing";

  Database database(path);
  EXPECT_EQ(Count(database, "t"), 1);
}

TEST(SqliteTest, AtRestADatabaseIsOneFile) {
  const TemporaryDirectory directory;
  {
    Database database(directory / "a.db");
    database.Execute("CREATE TABLE t (x INTEGER); INSERT INTO t VALUES (1)");
  }
  int files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory.path())) ++files;
  EXPECT_EQ(files, 1);
}

TEST(SqliteTest, ForeignKeysAreEnforced) {
  const TemporaryDirectory directory;
  Database database(directory / "a.db");
  database.Execute("CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p INTEGER REFERENCES p (id))");
  EXPECT_THROW(database.Execute("INSERT INTO c VALUES (7)"), Error);
}

TEST(SqliteTest, AFileThatIsNoDatabaseIsABadFileInOneLine) {
  const TemporaryDirectory directory;
  const auto path = directory / "text.db";
  std::ofstream(path) << "this is a text, and by far long enough to be told from an empty file\n";
  const Error error = ErrorOf([&] { Database(path).Pragma("user_version"); });
  EXPECT_EQ(error.kind(), ErrorKind::kBadFile);
  EXPECT_THAT(error.what(), HasSubstr("text.db"));
  EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
}

TEST(SqliteTest, AFolderThatIsNotThereIsAnIoError) {
  const TemporaryDirectory directory;
  const Error error = ErrorOf([&] { Database database(directory / "absent/a.db"); });
  EXPECT_EQ(error.kind(), ErrorKind::kIo);
  EXPECT_THAT(error.what(), HasSubstr("absent/a.db"));
}

// Root may write to read-only files, so the test is nobody while it tries.
TEST(SqliteTest, AReadOnlyFileIsAnIoError) {
  constexpr uid_t kNobody = 65534;
  const TemporaryDirectory directory;
  const auto path = directory / "a.db";
  Database(path).Execute("CREATE TABLE t (x INTEGER)");
  std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::others_read);
  const uid_t self = geteuid();
  if (self == 0) {
    ASSERT_EQ(seteuid(kNobody), 0);
  }
  const Error error = ErrorOf([&] { Database(path).Execute("INSERT INTO t VALUES (1)"); });
  if (self == 0) {
    ASSERT_EQ(seteuid(self), 0);
  }
  EXPECT_EQ(error.kind(), ErrorKind::kIo);
  EXPECT_THAT(error.what(), HasSubstr("a.db"));
}

// A limit on the database's pages stands in for the disk: SQLite reports both as SQLITE_FULL.
TEST(SqliteTest, AFullDiskIsAnIoErrorAndWhatWasCommittedStays) {
  const TemporaryDirectory directory;
  Database database(directory / "a.db");
  database.Execute("CREATE TABLE t (x TEXT); INSERT INTO t VALUES ('kept')");
  database.Execute("PRAGMA max_page_count = 3");
  const Error error = ErrorOf([&] {
    Transaction transaction(database);
    Statement insert = database.Prepare("INSERT INTO t VALUES (?)");
    insert.Bind(1, std::string_view(std::string(100'000, 'x'))).Run();
    transaction.Commit();
  });
  EXPECT_EQ(error.kind(), ErrorKind::kIo);
  EXPECT_THAT(error.what(), HasSubstr("a.db"));
  EXPECT_EQ(Count(database, "t"), 1);
}

TEST(SqliteTest, AWriterWaitsForAnotherProcess) {
  const TemporaryDirectory directory;
  const auto path = directory / "a.db";
  Database(path).Execute("CREATE TABLE t (x INTEGER)");
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    Database database(path);
    Transaction transaction(database);
    database.Execute("INSERT INTO t VALUES (1)");
    if (write(ready[1], "x", 1) != 1) _exit(1);
    usleep(200'000);
    transaction.Commit();
    _exit(0);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  Database database(path);
  database.Execute("INSERT INTO t VALUES (2)");
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(Count(database, "t"), 2);
}

}  // namespace
}  // namespace assay
