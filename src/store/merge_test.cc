#include "store/merge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/temporary_directory.h"
#include "store/schema.h"
#include "store/store.h"
#include "store/testing/error_of.h"

namespace assay {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

namespace fs = std::filesystem;

Environment MachineNumber(int number) {
  Environment environment;
  environment.cpu = "A CPU";
  environment.isa = {"avx2"};
  environment.machine = "machine " + std::to_string(number);
  return environment;
}

ModelIdentity MakeModel(const std::string& quant) {
  ModelIdentity model;
  model.file = quant + ".gguf";
  model.digest = "digest " + quant;
  model.quant = quant;
  model.file_bytes = 100;
  return model;
}

RunRecord MakeRun(int machine, const std::string& test, const std::string& quant = "Q8_0") {
  RunRecord run;
  run.kind = "throughput";
  run.test = test;
  run.started_unix_ms = 1'700'000'000'000;
  run.environment = MachineNumber(machine);
  run.model = MakeModel(quant);
  run.base = MakeModel("F16");
  run.settings = {{"threads", "2"}};
  for (int round = 0; round < 3; ++round) run.samples.push_back({.round = round, .tokens = 100, .seconds = 0.1});
  run.metrics = {{"tok_per_s", 1000.0, 1.0, Certainty{999.0, 1001.0, "round", 3, "Student"}}, {"bandwidth_util", 0.5}};
  run.guards = {{"finite", false, "all logits"}};
  run.verdicts = {{"speed", "", "better", "It is faster."}};
  run.series = {{"rates", {1.0F, 2.0F}}};
  return run;
}

StudyIdentity MakeStudy(int machine, const std::string& key = "k") {
  return {
      .kind = "ladder", .key = key, .settings = "{}", .model = MakeModel("F16"), .environment = MachineNumber(machine)};
}

// Of each table all rows but for their numbers, in an order that depends on nothing else.
std::vector<std::string> Content(const fs::path& path) {
  Database database(path);
  std::vector<std::string> rows;
  for (const char* sql :
       {"SELECT r.kind || r.test || r.settings || r.status || r.started_unix_ms || r.finished_unix_ms || m.digest ||"
        " e.machine || coalesce(s.key || s.created_unix_ms || s.superseded, '') FROM run r JOIN model m ON m.id ="
        " r.model_id JOIN environment e ON e.id = r.environment_id LEFT JOIN study s ON s.id = r.study_id",
        "SELECT 'study' || kind || key || created_unix_ms || coalesce(finished_unix_ms, '-') || superseded FROM study",
        "SELECT 'sample' || round || seconds || taken_unix_ms FROM sample", "SELECT name || value FROM metric",
        "SELECT name || hex(data) FROM series", "SELECT name || evidence FROM guard",
        "SELECT name || sentence FROM verdict", "SELECT source_digest || recipe || digest FROM derived"}) {
    Statement select = database.Prepare(sql);
    while (select.Step()) rows.push_back(select.Text(0));
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

class MergeTest : public testing::Test {
 protected:
  MergeTest() {
    Store a(A());
    a.AddRun(MakeRun(1, "tg64"));
    a.AddRun(MakeRun(1, "pp512"));
    const int64_t study = a.OpenStudy(MakeStudy(1), false).id;
    a.AddStudyRun(study, MakeRun(1, "tg64"));
    a.FinishStudy(study);
    a.SetDerived("digest F16", "Q8_0", MachineNumber(1), "digest Q8_0");
    Store b(B());
    b.AddRun(MakeRun(2, "tg64"));
  }

  fs::path A() const { return directory_ / "a.db"; }
  fs::path B() const { return directory_ / "b.db"; }
  fs::path All() const { return directory_ / "all.db"; }
  MergeCounts Merge(const std::vector<fs::path>& sources) const { return MergeStores(sources, All()); }
  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory_.path())) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }
  // The error of merging a copy of A, damaged by the SQL, into what has A.
  Error ErrorAfter(const std::string& sql) const {
    fs::remove(All());
    Merge({A(), B()});
    const std::string before = ReadFile(All());
    const fs::path copy = directory_ / "copy.db";
    fs::copy_file(A(), copy, fs::copy_options::overwrite_existing);
    Database(copy).Execute("PRAGMA foreign_keys = OFF; " + sql);
    const Error error = ErrorOf([&] { Merge({B(), copy}); });
    EXPECT_EQ(ReadFile(All()), before) << sql;
    EXPECT_THAT(error.what(), HasSubstr("copy.db")) << sql;
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error;
  }

  TemporaryDirectory directory_;
};

TEST_F(MergeTest, RunsOfAllSourcesComeTogetherWhole) {
  const std::string a = ReadFile(A());
  const MergeCounts counts = Merge({A(), B()});
  EXPECT_EQ(counts.runs, 4);
  EXPECT_EQ(counts.added, 4);
  EXPECT_EQ(counts.same, 0);
  EXPECT_EQ(ReadFile(A()), a) << "sources are only read";
  EXPECT_THAT(Files(), ElementsAre("a.db", "all.db", "b.db"));

  std::vector<std::string> expected = Content(A());
  for (const std::string& row : Content(B())) expected.push_back(row);
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(Content(All()), expected);
  Store all(All());
  const std::vector<StoredRun> runs = all.AllRuns();
  ASSERT_THAT(runs, SizeIs(4));
  const RunRecord whole = MakeRun(2, "tg64");
  EXPECT_EQ(runs[3].record.environment, whole.environment);
  EXPECT_EQ(runs[3].record.base, whole.base);
  EXPECT_EQ(runs[3].record.metrics, whole.metrics);
  EXPECT_EQ(runs[3].record.samples, whole.samples);
  EXPECT_EQ(runs[3].record.guards, whole.guards);
  EXPECT_EQ(runs[3].record.verdicts, whole.verdicts);
  EXPECT_THAT(all.ReadSeries(runs[3].id, "rates"), ElementsAre(1.0F, 2.0F));
  EXPECT_EQ(all.FindDerived("digest F16", "Q8_0", MachineNumber(1)), "digest Q8_0");
  EXPECT_TRUE(all.OpenStudy(MakeStudy(1), false).finished);
}

TEST_F(MergeTest, MergingAgainAddsNothingInWhateverOrder) {
  Merge({A(), B()});
  const std::string bytes = ReadFile(All());
  const std::vector<std::string> content = Content(All());
  for (const std::vector<fs::path>& sources : {std::vector<fs::path>{A(), B()}, {B(), A()}, {A()}, {B(), B()}}) {
    const MergeCounts counts = Merge(sources);
    EXPECT_EQ(counts.added, 0);
    EXPECT_GT(counts.same, 0);
    EXPECT_EQ(counts.runs, 4);
    EXPECT_EQ(ReadFile(All()), bytes) << "nothing is written where nothing is new";
  }
  // What was merged is a source as good as any.
  const fs::path again = directory_ / "again.db";
  EXPECT_EQ(MergeStores(std::vector<fs::path>{All(), A()}, again).added, 4);
  EXPECT_EQ(Content(again), content);
}

TEST_F(MergeTest, AnOutputKeepsWhatItHasAndGetsWhatIsNew) {
  { Store(All()).AddRun(MakeRun(3, "tg64")); }
  EXPECT_EQ(Merge({A()}).runs, 4);
  { Store(A()).AddRun(MakeRun(1, "tg128")); }
  const MergeCounts counts = Merge({A(), B()});
  EXPECT_EQ(counts.added, 2);
  EXPECT_EQ(counts.same, 3);
  EXPECT_EQ(counts.runs, 6);
}

// One command may measure one file twice, in the same moment.
TEST_F(MergeTest, RunsThatAreAlikeStayAsManyAsTheyAre) {
  Store twice(directory_ / "twice.db");
  RunRecord run = MakeRun(4, "tg64");
  twice.AddRun(run);
  run.metrics[1].value = 0.25;
  twice.AddRun(run);
  const std::vector<fs::path> sources = {directory_ / "twice.db"};
  EXPECT_EQ(MergeStores(sources, All()).added, 2);
  EXPECT_EQ(MergeStores(sources, All()).same, 2);
}

TEST_F(MergeTest, ARunWithOtherContentIsAnError) {
  for (const char* change :
       {"UPDATE metric SET value = value / 2 WHERE name = 'bandwidth_util'", "DELETE FROM verdict",
        "UPDATE guard SET evidence = 'none'", "UPDATE series SET data = x'0000803f'",
        "UPDATE run SET settings = '{\"threads\":\"4\"}'", "UPDATE model SET digest = 'other' WHERE quant = 'Q8_0'",
        "UPDATE model SET digest = 'other' WHERE quant = 'F16'", "UPDATE run SET finished_unix_ms = 1",
        "UPDATE sample SET taken_unix_ms = 1", "UPDATE metric SET value = CAST(1000 AS INTEGER), units = 4",
        "INSERT INTO metric (run_id, name, value) SELECT id, 'ppl', 1.0 FROM run",
        "UPDATE derived SET digest = 'other'", "UPDATE session SET started_unix_ms = 1",
        "UPDATE model SET file_bytes = 101"}) {
    const Error error = ErrorAfter(change);
    EXPECT_EQ(error.kind(), ErrorKind::kBadFile) << change;
    EXPECT_THAT(error.what(), HasSubstr("contradict each other")) << change;
  }
}

// Two files of one name and rung, on one machine or on two, are two models.
TEST_F(MergeTest, OneNameWithTwoDigestsIsTwoModels) {
  Store c(directory_ / "c.db");
  RunRecord run = MakeRun(1, "tg64");
  run.started_unix_ms += 5;
  run.model.digest = "another";
  c.AddRun(run);
  EXPECT_EQ(Merge({A(), directory_ / "c.db"}).added, 4);
  EXPECT_THAT(Store(All()).RunsOf("throughput", "another"), SizeIs(1));
}

TEST_F(MergeTest, WhatIsStillMeasuredIsLeftOutUntilItIsDone) {
  Store a(A());
  const int64_t study = a.OpenStudy(MakeStudy(1, "k2"), false).id;
  const int64_t run = a.BeginRun(study, MakeRun(1, "tg64"));
  a.AddSample(run, MakeRun(1, "tg64").samples[0]);
  MergeCounts counts = Merge({A()});
  EXPECT_EQ(counts.added, 3);
  EXPECT_EQ(counts.unfinished, 1);
  RunRecord results = MakeRun(1, "tg64");
  results.metrics[0].value = 1000.0;
  a.FinishRun(run, results);
  a.FinishStudy(study);
  counts = Merge({A()});
  EXPECT_EQ(counts.added, 1);
  EXPECT_EQ(counts.same, 3);
  EXPECT_EQ(counts.unfinished, 0);
  EXPECT_TRUE(Store(All()).OpenStudy(MakeStudy(1, "k2"), false).finished);
}

TEST_F(MergeTest, OfStudiesOfOneKeyTheLastIsCurrent) {
  const auto later = [&](const std::string& name, int64_t created) {
    const fs::path path = directory_ / name;
    {
      Store store(path);
      store.AddStudyRun(store.OpenStudy(MakeStudy(1), false).id, MakeRun(1, "pp512"));
    }
    Database(path).Execute(fmt::format("UPDATE study SET created_unix_ms = {}", created));
    return path;
  };
  const fs::path old_study = later("old.db", 1000);
  const fs::path new_study = later("new.db", 2000);
  for (const std::vector<fs::path>& sources :
       {std::vector<fs::path>{old_study, new_study}, {new_study, old_study}, {new_study, old_study, new_study}}) {
    fs::remove(All());
    Merge(sources);
    Database all(All());
    Statement current = all.Prepare("SELECT created_unix_ms FROM study WHERE superseded = 0");
    ASSERT_TRUE(current.Step());
    EXPECT_EQ(current.Integer(0), 2000);
    EXPECT_FALSE(current.Step());
  }
}

TEST_F(MergeTest, AnOlderSchemaIsUpdatedInACopyAndANewerOneIsRefused) {
  const fs::path old_path = directory_ / "old.db";
  {
    Database database(old_path);
    Migrate(database, Migrations().first(2), old_path);
    database.Execute(
        "INSERT INTO environment VALUES (1, 'cpu', 2, '[]', 1, 'k', 'c', 'v', 'b', NULL);"
        "INSERT INTO model VALUES (1, 'd', 'f', 'a', 'n', 'q', 1, 2, 3);"
        "INSERT INTO run VALUES (1, NULL, 1, 'machine', 'probe', 1, NULL, 1, '{}', 5, 6, 'done', NULL)");
  }
  const std::string before = ReadFile(old_path);
  EXPECT_EQ(Merge({old_path}).added, 1);
  EXPECT_EQ(ReadFile(old_path), before);
  EXPECT_EQ(Merge({old_path}).same, 1);

  Database(B()).SetPragma("user_version", static_cast<int64_t>(Migrations().size()) + 1);
  const std::string all = ReadFile(All());
  const Error error = ErrorOf([&] { Merge({A(), B()}); });
  EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
  EXPECT_THAT(error.what(), HasSubstr("b.db"));
  EXPECT_EQ(ReadFile(All()), all);
}

TEST_F(MergeTest, WhatIsNoSourceIsRefusedAndNoOutputIsMade) {
  const auto expect = [&](const fs::path& source, ErrorKind kind, const std::string& text) {
    const Error error = ErrorOf([&] { Merge({A(), source}); });
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(text));
    EXPECT_FALSE(fs::exists(All()));
  };
  expect(directory_ / "absent.db", ErrorKind::kBadFile, "no such file");
  expect(directory_.path(), ErrorKind::kBadFile, "no such file");
  WriteFileAtomically(directory_ / "empty.db", "");
  expect(directory_ / "empty.db", ErrorKind::kBadFile, "empty");
  WriteFileAtomically(directory_ / "text.db", std::string(4096, 'x'));
  expect(directory_ / "text.db", ErrorKind::kBadFile, "text.db");
  { Database(directory_ / "other.db").Execute("CREATE TABLE bookmarks (url TEXT)"); }
  expect(directory_ / "other.db", ErrorKind::kBadFile, "another program");
  fs::copy_file(A(), directory_ / "damaged.db");
  Database(directory_ / "damaged.db").Execute("DELETE FROM sample");
  expect(directory_ / "damaged.db", ErrorKind::kBadFile, "damaged.db: a damaged");
  fs::copy_file(A(), directory_ / "typed.db");
  Database(directory_ / "typed.db").Execute("UPDATE guard SET tripped = 'yes'");
  expect(directory_ / "typed.db", ErrorKind::kBadFile, "typed.db: a damaged");
  expect(All(), ErrorKind::kUsage, "is a source and the output");
}

TEST_F(MergeTest, TheOutputIsNoSourceAlsoByAnotherName) {
  fs::create_symlink(A(), directory_ / "link.db");
  const Error error = ErrorOf([&] { MergeStores(std::vector<fs::path>{A()}, directory_ / "link.db"); });
  EXPECT_EQ(error.kind(), ErrorKind::kUsage);
}

TEST_F(MergeTest, ADatabaseThatAnotherProcessReadsIsCopied) {
  Database reader(A());
  Statement select = reader.Prepare("SELECT id FROM run");
  ASSERT_TRUE(select.Step());
  EXPECT_EQ(Merge({A()}).added, 3);
}

}  // namespace
}  // namespace assay
