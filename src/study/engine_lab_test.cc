#include "study/engine_lab.h"
#include "base/testing/temporary_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "measure/environment.h"
#include "store/testing/error_of.h"

namespace assay {
namespace {

using testing::HasSubstr;

const std::filesystem::path kModel = std::filesystem::path(ASSAY_SOURCE_DIR) / "models/tiny-qwen35-draft.gguf";
const std::filesystem::path kText = std::filesystem::path(ASSAY_SOURCE_DIR) / "models/eval_prose.txt";
constexpr int kThreads = 2;

LadderSettings Settings() {
  LadderSettings settings;
  settings.rungs = {Rung::kF16, Rung::kQ4_0};
  settings.context = 64;
  settings.windows = 3;
  settings.prompt = 16;
  settings.generate = 4;
  settings.repetitions = 2;
  return settings;
}

class EngineLabTest : public testing::Test {
 protected:
  std::unique_ptr<EngineLab> MakeLab(const std::string& folder = "rungs") {
    return std::make_unique<EngineLab>(kModel, *backend_, kThreads, kText, directory_ / folder, Settings());
  }

  LadderResult Climb(EngineLab& lab) {
    Store store(directory_ / "assay.db");
    const LadderSubject subject{.source = lab.source(),
                                .text = "eval_prose.txt",
                                .text_hash = lab.text_hash(),
                                .backend = backend_->description(),
                                .threads = kThreads,
                                .environment = CaptureEnvironment()};
    return RunLadder(store, lab, subject, Settings(), {}, false, [](const std::string&, double) {});
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Backend> backend_ = MakeBackend("", kThreads);
};

TEST_F(EngineLabTest, ALadderOfTwoRungsEndToEnd) {
  const auto lab = MakeLab();
  const LadderResult result = Climb(*lab);
  const std::vector<RungRuns>& rungs = result.runs.rungs;
  ASSERT_EQ(rungs.size(), 2U);
  const RunRecord& base = result.runs.base.quality;
  EXPECT_EQ(FindMetric(base, "windows")->value, 3);
  EXPECT_EQ(rungs[0].quality.model.file, "tiny-qwen35-draft.gguf");
  EXPECT_EQ(rungs[1].quality.model.quant, "Q4_0");
  EXPECT_LT(rungs[1].quality.model.file_bytes, rungs[0].quality.model.file_bytes / 2);
  EXPECT_GT(FindMetric(rungs[1].quality, "kld_mean")->value, 0.0);
  EXPECT_NE(FindMetric(rungs[1].quality, "ppl")->value, FindMetric(base, "ppl")->value);
  EXPECT_EQ(FindMetric(rungs[1].quality, "base_ppl")->value, FindMetric(base, "ppl")->value);
  for (const RungRuns& rung : rungs) {
    EXPECT_EQ(rung.tg.samples.size(), 2U);
    EXPECT_EQ(rung.pp.samples.size(), 2U);
    EXPECT_GT(FindMetric(rung.tg, "tok_per_s")->value, 0.0);
    EXPECT_TRUE(rung.tg.samples[0].conditions.work_seconds.has_value());
  }
  EXPECT_EQ(result.runs.placebo->tg.test, "placebo tg4");
  EXPECT_FALSE(result.judgement.sentence().empty());
  EXPECT_TRUE(std::filesystem::exists(directory_ / "rungs/tiny-qwen35-draft-Q4_0.gguf"));
}

TEST_F(EngineLabTest, ARungsFileIsReusedWhenItIsTheOneThatWasMadeElseMadeAnew) {
  const auto lab = MakeLab();
  const auto ignore = [](double) {};
  const std::filesystem::path path = lab->RungPath(Rung::kQ4_0);
  const ModelIdentity made = lab->Prepare(Rung::kQ4_0, std::nullopt, ignore);
  const auto written = std::filesystem::last_write_time(path);
  EXPECT_EQ(lab->Prepare(Rung::kQ4_0, made.digest, ignore), made);
  EXPECT_EQ(std::filesystem::last_write_time(path), written);

  std::ofstream(path, std::ios::trunc) << "not a model";
  EXPECT_EQ(lab->Prepare(Rung::kQ4_0, made.digest, ignore), made);
  std::filesystem::remove(path);
  EXPECT_EQ(lab->Prepare(Rung::kQ4_0, made.digest, ignore), made);
}

TEST_F(EngineLabTest, WhatAKilledWriterLeftIsRemovedAndNothingElse) {
  const auto lab = MakeLab();
  const std::filesystem::path path = lab->RungPath(Rung::kQ4_0);
  const std::filesystem::path leftover = path.string() + ".assay-part-1-0";
  const std::filesystem::path foreign = path.parent_path() / "notes.txt";
  std::ofstream(leftover) << "half";
  std::ofstream(foreign) << "mine";
  lab->Prepare(Rung::kQ4_0, std::nullopt, [](double) {});
  EXPECT_FALSE(std::filesystem::exists(leftover));
  EXPECT_TRUE(std::filesystem::exists(foreign));
}

TEST_F(EngineLabTest, ASecondLadderInTheFolderIsRefused) {
  const auto lab = MakeLab();
  const Error error = ErrorOf([&] { MakeLab(); });
  EXPECT_EQ(error.kind(), ErrorKind::kIo);
  EXPECT_THAT(error.what(), HasSubstr("another ladder works"));
  EXPECT_NO_THROW(MakeLab("other"));
}

TEST_F(EngineLabTest, AFolderThatCannotBeMadeIsAnIoError) {
  std::ofstream(directory_ / "file") << "in the way";
  const Error error = ErrorOf([&] { MakeLab("file/rungs"); });
  EXPECT_EQ(error.kind(), ErrorKind::kIo);
  EXPECT_THAT(error.what(), HasSubstr("file/rungs"));
}

TEST_F(EngineLabTest, ATextWithoutAWholeWindowIsRefusedBeforeRungsAreMade) {
  std::ofstream(directory_ / "short.txt") << "Too short.";
  EngineLab lab(kModel, *backend_, kThreads, directory_ / "short.txt", directory_ / "rungs", Settings());
  EXPECT_EQ(ErrorOf([&] { Climb(lab); }).kind(), ErrorKind::kBadFile);
  EXPECT_TRUE(std::filesystem::is_empty(directory_ / "rungs"));
}

}  // namespace
}  // namespace assay
