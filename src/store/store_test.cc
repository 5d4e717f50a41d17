#include "store/store.h"
#include "base/testing/temporary_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "store/testing/error_of.h"

namespace assay {
namespace {

using testing::ElementsAre;
using testing::Eq;
using testing::IsEmpty;
using testing::SizeIs;

ModelIdentity MakeModel(const std::string& quant) {
  return {.file = "tiny-" + quant + ".gguf",
          .digest = "fp-" + quant,
          .architecture = "qwen35",
          .name = "Tiny \"quoted\"",
          .quant = quant,
          .parameters = 9'400'000,
          .file_bytes = 18'969'568,
          .tensor_bytes = 18'800'000};
}

Environment MakeEnvironment() {
  return {.cpu = "A CPU @ 2.0 GHz",
          .cores = 2,
          .isa = {"avx2", "avx512"},
          .memory_bytes = uint64_t{1} << 40,
          .kernel = "Linux 6.1.0 x86_64",
          .compiler = "g++ 12",
          .assay_version = "0.1.0",
          .build_type = "Release",
          .governor = std::nullopt,
          .machine = "0123456789abcdef"};
}

Sample MakeSample(int round, int session = 1) {
  Sample sample;
  sample.round = round;
  sample.order = 3;
  sample.tokens = 64;
  sample.seconds = 0.1 + round;
  sample.conditions.load_average = 0.25;
  sample.conditions.major_faults = 5;
  sample.conditions.swapped_pages = 7;
  sample.conditions.work_seconds = 0.25;
  sample.session = session;
  return sample;
}

RunRecord MakeRecord(const std::string& kind, const std::string& test, const std::string& quant) {
  RunRecord record;
  record.kind = kind;
  record.test = test;
  record.started_unix_ms = 1'700'000'000'000;
  record.environment = MakeEnvironment();
  record.model = MakeModel(quant);
  record.settings = {{"threads", "2"}, {"backend", "cpu: \"avx2\""}};
  return record;
}

StudyIdentity MakeIdentity() {
  return {.kind = "ladder", .key = "k1", .settings = "{}", .model = MakeModel("F16"), .environment = MakeEnvironment()};
}

void ExpectEqual(const RunRecord& a, const RunRecord& b) {
  EXPECT_EQ(a.schema, b.schema);
  EXPECT_EQ(a.kind, b.kind);
  EXPECT_EQ(a.test, b.test);
  EXPECT_EQ(a.started_unix_ms, b.started_unix_ms);
  EXPECT_EQ(a.environment, b.environment);
  EXPECT_EQ(a.model, b.model);
  EXPECT_EQ(a.base, b.base);
  EXPECT_EQ(a.settings, b.settings);
  EXPECT_EQ(a.metrics, b.metrics);
  EXPECT_EQ(a.samples, b.samples);
  EXPECT_EQ(a.guards, b.guards);
  EXPECT_EQ(a.verdicts, b.verdicts);
}

TEST(StoreTest, ARunComesBackWhole) {
  const TemporaryDirectory directory;
  RunRecord record = MakeRecord("perplexity", "prose", "Q4_K_M");
  record.base = MakeModel("F16");
  record.model.mix = "Q4_K 80%, Q6_K 20%";
  record.metrics = {{"ppl", 23.655, 0.6},
                    {"kld_mean", 0.01, 0.002, Certainty{0.005, 0.015, "window", 9, "Student"}},
                    {"delta_pct", 0.4, 0.3, Certainty{std::nullopt, std::nullopt, "window", 3, "none"}}};
  record.verdicts = {{"perplexity", "", "worse", "It is worse."}, {"pareto", "Q4_K_M", "yes", ""}};
  record.samples = {MakeSample(0), MakeSample(1)};
  record.guards = {{"finite", false, "all logits"}, {"repetition", false, "2 of 8 texts", true}};
  record.series = {{"position_nll", {1.0F, 2.5F}}};
  int64_t id = 0;
  {
    Store store(directory / "a.db");
    id = store.AddRun(record);
  }
  Store store(directory / "a.db");
  const std::vector<StoredRun> runs = store.AllRuns();
  ASSERT_THAT(runs, SizeIs(1));
  EXPECT_EQ(runs[0].status, RunStatus::kDone);
  EXPECT_EQ(runs[0].study, std::nullopt);
  EXPECT_GT(runs[0].finished_unix_ms, 0);
  ExpectEqual(runs[0].record, record);
  EXPECT_THAT(store.ReadSeries(id, "position_nll"), ElementsAre(1.0F, 2.5F));
  EXPECT_THAT(store.ReadSeries(id, "absent"), IsEmpty());
}

TEST(StoreTest, AFigureWithoutARowIsNotStored) {
  const TemporaryDirectory directory;
  Store store(directory / "a.db");
  RunRecord record = MakeRecord("perplexity", "prose", "Q2_K");
  record.metrics = {{"goodness", 1.0}};
  EXPECT_EQ(ErrorOf([&] { store.AddRun(record); }).kind(), ErrorKind::kInternal);
  EXPECT_THAT(store.AllRuns(), IsEmpty());
}

TEST(StoreTest, RunsOfAKindAreFoundByTheirModelsDigest) {
  const TemporaryDirectory directory;
  Store store(directory / "a.db");
  store.AddRun(MakeRecord("perplexity", "prose", "Q2_K"));
  store.AddRun(MakeRecord("perplexity", "prose", "Q8_0"));
  store.AddRun(MakeRecord("throughput", "tg64", "Q8_0"));
  const std::vector<StoredRun> runs = store.RunsOf("perplexity", "fp-Q8_0");
  ASSERT_THAT(runs, SizeIs(1));
  EXPECT_EQ(runs[0].record.model.quant, "Q8_0");
}

TEST(StoreTest, ATrippedGuardMakesARunInvalid) {
  const TemporaryDirectory directory;
  Store store(directory / "a.db");
  RunRecord record = MakeRecord("perplexity", "prose", "Q2_K");
  record.guards = {{"finite", true, "nan at position 7"}};
  store.AddRun(record);
  EXPECT_EQ(store.AllRuns().at(0).status, RunStatus::kInvalid);
}

TEST(StoreTest, RunsByThemselvesMayRepeat) {
  const TemporaryDirectory directory;
  Store store(directory / "a.db");
  store.AddRun(MakeRecord("perplexity", "prose", "Q8_0"));
  store.AddRun(MakeRecord("perplexity", "prose", "Q8_0"));
  EXPECT_THAT(store.AllRuns(), SizeIs(2));
}

TEST(StoreTest, AStudyResumesUnderItsKeyInANewSession) {
  const TemporaryDirectory directory;
  Store store(directory / "a.db");
  const StudyState first = store.OpenStudy(MakeIdentity(), false);
  EXPECT_EQ(first.session, 1);
  const StudyState second = store.OpenStudy(MakeIdentity(), false);
  EXPECT_EQ(second.id, first.id);
  EXPECT_EQ(second.session, 2);
  EXPECT_FALSE(second.finished);
  store.FinishStudy(first.id);
  EXPECT_TRUE(store.OpenStudy(MakeIdentity(), false).finished);

  StudyIdentity other = MakeIdentity();
  other.key = "k2";
  EXPECT_NE(store.OpenStudy(other, false).id, first.id);
}

TEST(StoreTest, AFreshStudyKeepsTheOldOnesRuns) {
  const TemporaryDirectory directory;
  Store store(directory / "a.db");
  const int64_t old_study = store.OpenStudy(MakeIdentity(), false).id;
  store.AddStudyRun(old_study, MakeRecord("perplexity", "prose", "Q8_0"));
  const StudyState fresh = store.OpenStudy(MakeIdentity(), true);
  EXPECT_NE(fresh.id, old_study);
  EXPECT_EQ(fresh.session, 1);
  EXPECT_THAT(store.StudyRuns(fresh.id), IsEmpty());
  EXPECT_THAT(store.StudyRuns(old_study), SizeIs(1));
  EXPECT_EQ(store.OpenStudy(MakeIdentity(), false).id, fresh.id);
}

TEST(StoreTest, AStudyMeasuresEachThingOnce) {
  const TemporaryDirectory directory;
  Store store(directory / "a.db");
  const int64_t study = store.OpenStudy(MakeIdentity(), false).id;
  const RunRecord record = MakeRecord("throughput", "tg64", "Q8_0");
  const int64_t run = store.BeginRun(study, record);
  EXPECT_EQ(ErrorOf([&] { store.BeginRun(study, record); }).kind(), ErrorKind::kInternal);
  store.AddSample(run, MakeSample(0));
  EXPECT_EQ(ErrorOf([&] { store.AddSample(run, MakeSample(0, 2)); }).kind(), ErrorKind::kInternal);
  EXPECT_THAT(store.StudyRuns(study).at(0).record.samples, SizeIs(1));
}

TEST(StoreTest, AnInterruptedRunKeepsItsSamplesAndGoesOn) {
  const TemporaryDirectory directory;
  int64_t study = 0;
  int64_t run = 0;
  {
    Store store(directory / "a.db");
    study = store.OpenStudy(MakeIdentity(), false).id;
    run = store.BeginRun(study, MakeRecord("throughput", "tg64", "Q8_0"));
    store.AddSample(run, MakeSample(0));
  }
  Store store(directory / "a.db");
  EXPECT_EQ(store.StudyRuns(study).at(0).status, RunStatus::kRunning);
  store.AddSample(run, MakeSample(1, 2));
  RunRecord results;
  results.metrics = {{"tok_per_s", (MakeSample(0).tok_per_s() + MakeSample(1).tok_per_s()) / 2, 2.0}};
  store.FinishRun(run, results);
  const StoredRun stored = store.StudyRuns(study).at(0);
  EXPECT_EQ(stored.status, RunStatus::kDone);
  EXPECT_THAT(stored.record.samples, ElementsAre(MakeSample(0), MakeSample(1, 2)));
  EXPECT_THAT(stored.record.metrics, Eq(results.metrics));
}

// What a damaged file has left of a run may not be told as what was measured.
TEST(StoreTest, ARunWithoutAllOfItsEvidenceIsRefused) {
  const TemporaryDirectory directory;
  int number = 0;
  const auto read_after = [&](const std::string& damage) {
    const auto path = directory / fmt::format("{}.db", number++);
    {
      Store store(path);
      RunRecord speed = MakeRecord("throughput", "tg64", "Q8_0");
      speed.samples = {MakeSample(0), MakeSample(1)};
      speed.metrics = {{"tok_per_s", (MakeSample(0).tok_per_s() + MakeSample(1).tok_per_s()) / 2}};
      store.AddRun(speed);
      RunRecord quality = MakeRecord("perplexity", "prose", "Q8_0");
      quality.metrics = {{"ppl", 23.5}, {"windows", 2.0}};
      quality.series = {{"window_nll", {3.1F, 3.2F}}};
      store.AddRun(quality);
    }
    Database(path).Execute("PRAGMA foreign_keys = OFF; " + damage);
    Store(path).AllRuns();
  };
  EXPECT_NO_THROW(read_after("SELECT 1"));
  EXPECT_NO_THROW(read_after("DELETE FROM sample; UPDATE run SET status = 'running'"));
  for (const char* damage :
       {"DELETE FROM sample", "DELETE FROM sample WHERE round = 1",
        "DELETE FROM sample; UPDATE run SET status = 'invalid'", "UPDATE sample SET seconds = -1",
        "UPDATE sample SET tokens = 0", "UPDATE sample SET seconds = NULL", "DELETE FROM series",
        "UPDATE series SET data = x'00000000'", "UPDATE metric SET value = NULL WHERE name = 'ppl'",
        "UPDATE metric SET value = -9e18 WHERE name = 'windows'", "DELETE FROM model", "DELETE FROM environment",
        "UPDATE run SET settings = '{\"threads\": 2}'", "UPDATE environment SET isa = '[1]'",
        "UPDATE run SET settings = '{'"}) {
    const Error error = ErrorOf([&] { read_after(damage); });
    EXPECT_EQ(error.kind(), ErrorKind::kBadFile) << damage;
    EXPECT_THAT(error.what(), testing::HasSubstr("a damaged Assay database")) << damage;
  }
}

TEST(StoreTest, ADerivedFileIsKnownForItsSourceRecipeAndEnvironment) {
  const TemporaryDirectory directory;
  Store store(directory / "a.db");
  Environment elsewhere = MakeEnvironment();
  elsewhere.assay_version = "9.9.9";
  EXPECT_EQ(store.FindDerived("source", "Q8_0", MakeEnvironment()), std::nullopt);
  store.SetDerived("source", "Q8_0", MakeEnvironment(), "made");
  store.SetDerived("source", "Q8_0", MakeEnvironment(), "made again");
  EXPECT_EQ(store.FindDerived("source", "Q8_0", MakeEnvironment()), "made again");
  EXPECT_EQ(store.FindDerived("source", "Q6_K", MakeEnvironment()), std::nullopt);
  EXPECT_EQ(store.FindDerived("source", "Q8_0", elsewhere), std::nullopt);
}

}  // namespace
}  // namespace assay
