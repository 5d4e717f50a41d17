// `assay ladder` as users and scripts run it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "base/testing/temporary_directory.h"
#include "run_assay.h"

namespace assay {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

std::string ReadText(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class LadderCommandTest : public testing::Test {
 protected:
  // Small enough for seconds. The window is below the prompt's length on purpose: they have nothing to do with another.
  std::vector<std::string> Arguments(const std::vector<std::string>& more = {}, const std::string& rounds = "3") const {
    std::vector<std::string> arguments = {"ladder",    BundledPath("tiny-qwen35-draft.gguf"),
                                          "--text",    BundledPath("eval_prose.txt"),
                                          "--types",   "F16,Q4_0",
                                          "--windows", "4",
                                          "-c",        "128",
                                          "-p",        "32",
                                          "-n",        "8",
                                          "-r",        rounds,
                                          "-o",        (folder_ / "rungs").string(),
                                          "--db",      (folder_ / "assay.db").string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  const TemporaryDirectory folder_;
};

// A busy machine may scatter so much that a guard refuses the speeds; the document is whole all the same.
bool Ended(const Outcome& outcome) { return outcome.exit_code == 0 || outcome.exit_code == 4; }

void ExpectOneLineError(const Outcome& outcome, int exit_code, const std::string& part) {
  EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr(part));
}

TEST_F(LadderCommandTest, JsonHasTheFieldsThatScriptsRead) {
  const Outcome outcome = RunAssay(Arguments({"--json"}));
  ASSERT_TRUE(Ended(outcome)) << outcome.err;
  const json document = json::parse(outcome.out);
  EXPECT_EQ(document["schema"], 1);
  EXPECT_EQ(document["windows"], 4);
  EXPECT_EQ(document["base"]["quant"], "F16");
  ASSERT_EQ(document["rungs"].size(), 2U);
  for (const json& rung : document["rungs"]) {
    EXPECT_EQ(rung["bytes"], std::filesystem::file_size(rung["file"].get<std::string>()));
    for (const char* speed : {"tg", "pp"}) {
      EXPECT_EQ(rung[speed]["samples"].size(), 3U);
      EXPECT_GT(rung[speed]["mean"], 0.0);
      EXPECT_GT(rung[speed]["median"], 0.0);
      EXPECT_GE(rung[speed]["sd"], 0.0);
    }
    EXPECT_GT(rung["ppl"], 1.0);
    EXPECT_TRUE(rung["pareto"].is_boolean() || outcome.exit_code == 4);
    EXPECT_TRUE(rung["pick"].is_boolean());
    EXPECT_TRUE(rung["invalid"].is_null());
  }
  const json& base = document["rungs"][0];
  EXPECT_EQ(base["quant"], "F16");
  EXPECT_EQ(base["ppl"], document["base"]["ppl"]);
  EXPECT_EQ(base["delta_pct"], 0.0);
  EXPECT_EQ(base["kld_mean"], 0.0);
  EXPECT_NEAR(base["bits_per_weight"].get<double>(), 16.0, 0.5);
  const json& rung = document["rungs"][1];
  EXPECT_EQ(rung["quant"], "Q4_0");
  EXPECT_GT(rung["delta_pct_se"], 0.0);
  EXPECT_GT(rung["kld_mean"], 0.0);
  EXPECT_EQ(document["activations"], "fine");
  EXPECT_LT(base["engine"]["kld_mean"], rung["engine"]["kld_mean"]) << "the floor: F16 has no codes";
  EXPECT_EQ(rung["tg_vs_base"]["unit"], "round");
  EXPECT_TRUE(document["placebo"].contains("tg8"));
  EXPECT_EQ(document["verdicts"].back()["name"], "pick");
  EXPECT_FALSE(document["guards"].empty());
  EXPECT_EQ(json::parse(ReadText(folder_ / "rungs/ladder.json")), document) << "the file is what was printed";
}

TEST_F(LadderCommandTest, TheTableIsPrintedAndWrittenAsMarkdown) {
  const Outcome outcome = RunAssay(Arguments());
  ASSERT_TRUE(Ended(outcome)) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("TG 8 tok/s"), HasSubstr("Q4_0"), HasSubstr("Pareto"),
                                 HasSubstr("4 windows of 128 tokens"), HasSubstr("ladder.json")));
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("Q4_0: quantize"), HasSubstr("F16, Q4_0: perplexity"),
                                 HasSubstr("speed, round 3 of 3: "), HasSubstr("placebo F16")));
  const std::string markdown = ReadText(folder_ / "rungs/ladder.md");
  EXPECT_THAT(markdown, AllOf(HasSubstr("| rung | size |"), HasSubstr("| --- | ---: |"), HasSubstr("| Q4_0 |"),
                              HasSubstr("| F16 again |"), HasSubstr("Machine: ")));
}

TEST_F(LadderCommandTest, AFinishedLadderIsToldAgainWithoutMeasuring) {
  const json first = json::parse(RunAssay(Arguments({"--json"})).out);
  const Outcome again = RunAssay(Arguments({"--json"}));
  json second = json::parse(again.out);
  EXPECT_TRUE(second["measured_before"]);
  EXPECT_EQ(second["rungs"], first["rungs"]);
  EXPECT_EQ(second["verdict"], first["verdict"]);
  EXPECT_EQ(again.err.find("speed, round"), std::string::npos) << again.err;
  EXPECT_THAT(RunAssay(Arguments()).out, HasSubstr("had been measured before"));

  const json fresh = json::parse(RunAssay(Arguments({"--json", "--fresh"})).out);
  EXPECT_FALSE(fresh["measured_before"]);
  EXPECT_EQ(fresh["rungs"][1]["ppl"], first["rungs"][1]["ppl"]) << "the same arithmetic";
  EXPECT_NE(fresh["rungs"][1]["tg"]["samples"], first["rungs"][1]["tg"]["samples"]) << "timed again";
}

// Kills the ladder as soon as it says that it is at each of several steps, and lets the last start end. Many rounds, so
// that it cannot end before the signal comes.
TEST_F(LadderCommandTest, KilledAndStartedAgainItMeasuresEachThingOnce) {
  const std::vector<std::string> arguments = Arguments({"--json"}, "40");
  for (const std::string step : {"Q4_0: quantize", "F16, Q4_0: perplexity", "speed, round 1 of", "speed, round 2 of"}) {
    const Outcome outcome = RunAssayUntil(arguments, step, SIGKILL);
    EXPECT_EQ(outcome.exit_code, 128 + SIGKILL) << step << ": " << outcome.err;
    EXPECT_EQ(outcome.out, "");
  }
  const Outcome last = RunAssay(arguments);
  ASSERT_TRUE(Ended(last)) << last.err;
  const json document = json::parse(last.out);
  EXPECT_FALSE(document["measured_before"]);
  for (const json& rung : document["rungs"]) {
    EXPECT_EQ(rung["tg"]["samples"].size(), 40U);
    EXPECT_EQ(rung["pp"]["samples"].size(), 40U);
  }
  EXPECT_EQ(last.err.find(": perplexity"), std::string::npos) << "it was finished before: " << last.err;
  EXPECT_EQ(last.err.find("speed, round 1 of"), std::string::npos) << "it was finished before: " << last.err;

  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "rungs")) {
    names.insert(entry.path().filename().string());
  }
  EXPECT_EQ(names, (std::set<std::string>{"ladder.json", "ladder.md", "tiny-qwen35-draft-Q4_0.gguf"}))
      << "nothing half-written is left";
}

TEST_F(LadderCommandTest, AStopSignalEndsItWithALineThatSaysHowToGoOn) {
  const Outcome outcome = RunAssayUntil(Arguments({}, "40"), "speed, round 1 of", SIGINT);
  EXPECT_EQ(outcome.exit_code, 128 + SIGINT) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("the same command goes on from there"));
}

// A user's own files, where the ladder would put its own.
TEST_F(LadderCommandTest, NothingThatItDidNotWriteIsOverwritten) {
  std::filesystem::create_directories(folder_ / "rungs");
  for (const std::string name : {"ladder.md", "ladder.json", "tiny-qwen35-draft-Q4_0.gguf"}) {
    const std::filesystem::path file = folder_ / "rungs" / name;
    std::ofstream(file) << "mine\n";
    ExpectOneLineError(RunAssay(Arguments()), 2, name);
    EXPECT_EQ(ReadText(file), "mine\n");
    std::filesystem::remove(file);
  }
  EXPECT_TRUE(Ended(RunAssay(Arguments({}, "1"))));
  EXPECT_TRUE(Ended(RunAssay(Arguments({"--no-placebo"}, "1")))) << "its own may be";
}

TEST_F(LadderCommandTest, ASourceThatIsQuantisedIsToldOnce) {
  const std::string source = (folder_ / "q8.gguf").string();
  ASSERT_EQ(RunAssay({"quantize", BundledPath("tiny-qwen35-draft.gguf"), source, "Q8_0"}).exit_code, 0);
  const Outcome outcome = RunAssay({"ladder",    source,
                                    "--text",    BundledPath("eval_prose.txt"),
                                    "--types",   "Q4_0,Q2_K",
                                    "--windows", "2",
                                    "-c",        "64",
                                    "-p",        "8",
                                    "-n",        "2",
                                    "-r",        "1",
                                    "-o",        (folder_ / "rungs").string(),
                                    "--db",      (folder_ / "assay.db").string()});
  ASSERT_TRUE(Ended(outcome)) << outcome.err;
  const size_t first = outcome.err.find("quantised already");
  EXPECT_NE(first, std::string::npos);
  EXPECT_EQ(outcome.err.find("quantised already", first + 1), std::string::npos);
  EXPECT_THAT(outcome.out, HasSubstr("Q8_0 is quantised itself"));
}

TEST_F(LadderCommandTest, ErrorsAreOneLineWithTheirExitCode) {
  ExpectOneLineError(RunAssay(Arguments({"--types", "Q9_9"})), 2, "Q9_9");
  ExpectOneLineError(RunAssay(Arguments({"--max-loss", "much"})), 2, "much");
  ExpectOneLineError(RunAssay({"ladder", (folder_ / "absent.gguf").string(), "--text", BundledPath("eval_prose.txt"),
                               "-o", (folder_ / "x").string()}),
                     3, "absent.gguf");
  std::ofstream(folder_ / "no.db") << std::string(2000, 'x');
  ExpectOneLineError(RunAssay({"ladder", BundledPath("tiny-qwen35-draft.gguf"), "--text", BundledPath("eval_prose.txt"),
                               "-o", (folder_ / "x").string(), "--db", (folder_ / "no.db").string()}),
                     3, "no.db");
}

}  // namespace
}  // namespace assay
