// Drafts from a draft server as users ask for them: generate and speculate with --draft grpc://...

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "run_assay.h"

namespace assay {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

const std::string kTarget = BundledPath("tiny-qwen35.gguf");
const std::string kDraft = BundledPath("tiny-qwen35-draft.gguf");

// A draft server on a port of its own. It says "127.0.0.1:PORT serves ...".
class Server {
 public:
  explicit Server(std::vector<std::string> more = {}) : program_(Arguments(std::move(more))) {
    const std::string line = program_.FirstLine();
    url_ = "grpc://" + line.substr(0, line.find(' '));
  }
  const std::string& url() const { return url_; }
  Outcome Stop(int signal) { return program_.Stop(signal); }

 private:
  static std::vector<std::string> Arguments(std::vector<std::string> more) {
    more.insert(more.begin(), {"draft-server", "-m", kDraft, "--listen", "127.0.0.1:0", "-t", "1"});
    return more;
  }
  RunningAssay program_;
  std::string url_;
};

Outcome Generate(const std::string& draft, const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {"generate", "-m", kTarget, "-p",     "Once upon a time", "-n",
                                        "40",       "-t", "1",     "--json", "--ignore-eos"};
  if (!draft.empty()) arguments.insert(arguments.end(), {"--draft", draft});
  arguments.insert(arguments.end(), more.begin(), more.end());
  return RunAssay(arguments);
}

void ExpectOneLineError(const Outcome& outcome, int exit_code, const std::string& part) {
  EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr(part));
  EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << outcome.err;
}

TEST(RemoteCommands, GenerateHasTheTextOfTheTargetAloneAndSaysWhoDrafted) {
  const json alone = json::parse(Generate("").out);
  const json home = json::parse(Generate(kDraft).out);
  Server server;
  for (const std::vector<std::string>& more : {std::vector<std::string>{}, {"--no-draft-ahead"}}) {
    const Outcome outcome = Generate(server.url(), more);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    const json remote = json::parse(outcome.out);
    EXPECT_EQ(remote["tokens"], alone["tokens"]);
    const json& speculation = remote["speculation"];
    EXPECT_EQ(speculation["drafted"], home["speculation"]["drafted"]);
    EXPECT_EQ(speculation["accepted"], home["speculation"]["accepted"]);
    EXPECT_EQ(speculation["remote"]["address"], server.url());
    EXPECT_EQ(speculation["remote"]["failed"], 0);
    EXPECT_GT(speculation["remote"]["bursts"], 0);
    EXPECT_GT(speculation["remote"]["bytes"], 0);
    EXPECT_EQ(speculation["remote"]["machine"].get<std::string>().size(), 16U);
    EXPECT_FALSE(speculation["remote"]["device"].get<std::string>().empty());
  }
  EXPECT_TRUE(home["speculation"]["remote"].is_null());
  // The same seed draws the same text, whether or not bursts were there in time.
  const json first = json::parse(Generate(server.url(), {"--temp", "0.8", "--seed", "7"}).out);
  EXPECT_EQ(json::parse(Generate(server.url(), {"--temp", "0.8", "--seed", "7"}).out)["tokens"], first["tokens"]);
}

TEST(RemoteCommands, WhatCannotBeReachedOrDoesNotFitIsOneLine) {
  ExpectOneLineError(Generate("grpc://127.0.0.1:1"), 1, "grpc://127.0.0.1:1");
  ExpectOneLineError(Generate("grpc://127.0.0.1"), 2, "grpc://127.0.0.1");
  Server server({"--token-file", WriteTemporary("token", "secret\n")});
  ExpectOneLineError(Generate(server.url()), 2, "--draft-token-file");
  ExpectOneLineError(Generate(server.url(), {"--draft-token-file", WriteTemporary("empty", "")}), 2,
                     "--draft-token-file");
  EXPECT_EQ(Generate(server.url(), {"--draft-token-file", WriteTemporary("same-token", "secret\n")}).exit_code, 0);
}

TEST(RemoteCommands, SpeculateMeasuresADraftElsewhereBesideTheSameAtHome) {
  const std::string prompts =
      WriteTemporary("tales.jsonl", "{\"prompt\": \"Once upon a time\"}\n{\"prompt\": \"The king\"}\n");
  const std::string database = WriteTemporary("remote.db", "");
  std::filesystem::remove(database);
  Server server;
  const Outcome outcome = RunAssay(
      {"speculate", "--target", kTarget, "--draft", kDraft, server.url(), "--prompts",    prompts, "-k",     "4",
       "-n",        "24",       "-r",    "1",       "-t",   "1",          "--no-placebo", "--db",  database, "--json"});
  EXPECT_THAT(outcome.exit_code, testing::AnyOf(0, 4)) << outcome.err;  // 4: a busy machine
  const json document = json::parse(outcome.out);
  ASSERT_EQ(document["runs"].size(), 2U);
  const json& home = document["runs"][0];
  const json& remote = document["runs"][1];
  EXPECT_TRUE(home["remote"].is_null());
  EXPECT_EQ(home["burst"]["received_bytes"], 0.0);
  EXPECT_EQ(remote["drafted"], home["drafted"]);
  EXPECT_EQ(remote["accepted"], home["accepted"]);
  EXPECT_EQ(remote["remote"]["address"], server.url());
  EXPECT_EQ(remote["remote"]["same_machine"], true);
  EXPECT_EQ(remote["remote"]["at_home"]["draft"], "tiny-qwen35-draft.gguf");
  EXPECT_EQ(remote["burst"]["bursts"], home["burst"]["bursts"]);
  EXPECT_EQ(remote["burst"]["failed"], 0);
  for (const char* name : {"draft_s", "sent_bytes", "received_bytes", "round_s", "predicted_round_s"}) {
    EXPECT_GT(remote["burst"][name], 0.0) << name;
  }
  EXPECT_LT(remote["burst"]["sent_bytes"].get<double>() + remote["burst"]["received_bytes"].get<double>(), 1000.0);
  bool seen = false;
  for (const json& guard : remote["guards"]) {
    if (guard["name"] == "lossless") {
      EXPECT_EQ(guard["tripped"], false) << guard;
    }
    if (guard["name"] != "remote") continue;
    seen = true;
    EXPECT_EQ(guard["tripped"], false) << guard;
    EXPECT_EQ(guard["warning"], true) << guard;
    EXPECT_THAT(guard["evidence"], HasSubstr("the target's own machine"));
  }
  EXPECT_TRUE(seen);
  EXPECT_EQ(server.Stop(SIGTERM).exit_code, 0);
}

}  // namespace
}  // namespace assay
