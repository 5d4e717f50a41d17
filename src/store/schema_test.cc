#include "store/schema.h"
#include "base/testing/temporary_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "store/store.h"
#include "store/testing/error_of.h"

namespace assay {
namespace {

using testing::HasSubstr;

constexpr std::array<const char*, 3> kScripts = {
    "CREATE TABLE t (x INTEGER)",
    "ALTER TABLE t ADD COLUMN y INTEGER NOT NULL DEFAULT 7",
    "CREATE TABLE u (z INTEGER); INSERT INTO u SELECT x + y FROM t",
};

TEST(SchemaTest, AnOlderDatabaseIsUpdatedWithItsRows) {
  const TemporaryDirectory directory;
  const auto path = directory / "a.db";
  Database database(path);
  Migrate(database, std::span(kScripts).first(1), path);
  EXPECT_EQ(database.Pragma("user_version"), 1);
  database.Execute("INSERT INTO t VALUES (1)");

  Migrate(database, kScripts, path);

  EXPECT_EQ(database.Pragma("user_version"), 3);
  Statement select = database.Prepare("SELECT z FROM u");
  ASSERT_TRUE(select.Step());
  EXPECT_EQ(select.Integer(0), 8);
}

TEST(SchemaTest, AMigrationThatFailsLeavesTheOldVersion) {
  const TemporaryDirectory directory;
  const auto path = directory / "a.db";
  Database database(path);
  Migrate(database, std::span(kScripts).first(1), path);
  const std::array<const char*, 3> broken = {kScripts[0], kScripts[1], "CREATE TABLE t (again INTEGER)"};
  EXPECT_THROW(Migrate(database, broken, path), Error);
  EXPECT_EQ(database.Pragma("user_version"), 1);
  EXPECT_NO_THROW(Migrate(database, kScripts, path));
}

TEST(SchemaTest, ANewerDatabaseIsRefusedAndSaysSo) {
  const TemporaryDirectory directory;
  const auto path = directory / "a.db";
  { const Store store(path); }
  const auto newer = static_cast<int64_t>(Migrations().size()) + 1;
  Database(path).SetPragma("user_version", newer);
  const Error error = ErrorOf([&] { const Store store(path); });
  EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
  EXPECT_THAT(error.what(), HasSubstr(fmt::format("version {}", newer)));
  EXPECT_THAT(error.what(), HasSubstr("newer Assay"));
}

// One flipped bit makes the version negative: it may not index the migrations.
TEST(SchemaTest, ANegativeVersionIsDamage) {
  const TemporaryDirectory directory;
  const auto path = directory / "a.db";
  { const Store store(path); }
  for (const int64_t version : {int64_t{-1}, int64_t{-2}, int64_t{-100}, int64_t{INT32_MIN}}) {
    Database(path).SetPragma("user_version", version);
    const Error error = ErrorOf([&] { const Store store(path); });
    EXPECT_EQ(error.kind(), ErrorKind::kBadFile);
    EXPECT_THAT(error.what(), HasSubstr(fmt::format("schema version is {}", version)));
  }
}

TEST(SchemaTest, ADatabaseOfAnotherProgramIsRefusedAndLeftAlone) {
  const TemporaryDirectory directory;
  const auto path = directory / "a.db";
  Database(path).Execute("CREATE TABLE bookmarks (url TEXT)");
  const std::string before = ReadFile(path);
  const Error error = ErrorOf([&] { const Store store(path); });
  EXPECT_EQ(error.kind(), ErrorKind::kBadFile);
  EXPECT_THAT(error.what(), HasSubstr("another program"));
  EXPECT_EQ(ReadFile(path), before);
}

TEST(SchemaTest, ManyProcessesMayOpenANewDatabaseAtOnce) {
  const TemporaryDirectory directory;
  const auto path = directory / "a.db";
  std::vector<std::string> failures(8);
  std::vector<std::thread> threads;
  threads.reserve(failures.size());
  for (std::string& failure : failures) {
    threads.emplace_back([&] {
      try {
        const Store store(path);
      } catch (const Error& error) {
        failure = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(failures, testing::Each(""));
  EXPECT_EQ(Database(path).Pragma("user_version"), static_cast<int64_t>(Migrations().size()));
}

}  // namespace
}  // namespace assay
