// The measuring commands as users and scripts run them.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/testing/temporary_directory.h"
#include "gguf/gguf.h"
#include "run_assay.h"
#include "store/sqlite.h"
#include "store/store.h"
#include "study_models.h"

namespace assay {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

const std::string kDraft = "tiny-qwen35-draft.gguf";
const std::string kModel = "tiny-qwen35.gguf";

json RunJson(std::vector<std::string> arguments) {
  arguments.emplace_back("--json");
  const Outcome outcome = RunAssay(arguments);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  json document = json::parse(outcome.out, nullptr, false);
  EXPECT_FALSE(document.is_discarded()) << outcome.out;
  EXPECT_EQ(document["schema"], 1);
  return document;
}

void ExpectOneLineError(const Outcome& outcome, int exit_code, const std::string& part) {
  EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr(part));
  EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << outcome.err;
}

struct KnownAnswer {
  std::string model, text;
  double perplexity;  // models/README.md: in float32, by an implementation that is not this one; 40 windows
};

class KnownPerplexityTest : public ::testing::TestWithParam<KnownAnswer> {};

TEST_P(KnownPerplexityTest, AgreesWithTheReferenceImplementations) {
  const json result = RunJson(
      {"perplexity", "-m", BundledPath(GetParam().model), "-f", BundledPath(GetParam().text), "--windows", "40"});
  EXPECT_EQ(result["windows"], 40);
  EXPECT_EQ(result["tokens_scored"], 40 * 255);
  EXPECT_NEAR(result["ppl"].get<double>(), GetParam().perplexity, 2e-4 * GetParam().perplexity);
  // Clustered by window: a passage that is hard is hard for all its positions.
  EXPECT_EQ(result["intervals"]["ppl"]["unit"], "window");
  EXPECT_EQ(result["intervals"]["ppl"]["units"], 40);
}

INSTANTIATE_TEST_SUITE_P(Models, KnownPerplexityTest,
                         ::testing::Values(KnownAnswer{kModel, "eval_prose.txt", 23.6554},
                                           KnownAnswer{kModel, "eval_code.txt", 13.7795},
                                           KnownAnswer{kDraft, "eval_prose.txt", 29.4500},
                                           KnownAnswer{kDraft, "eval_code.txt", 16.3972}));

TEST(PerplexityCommandTest, BaseOfTheSameModelDiffersByNothing) {
  const json result = RunJson({"perplexity", "-m", BundledPath(kDraft), "-f", BundledPath("eval_code.txt"), "-c", "128",
                               "--windows", "3", "--base", BundledPath(kDraft)});
  EXPECT_EQ(result["base"]["ppl"], result["ppl"]);
  EXPECT_EQ(result["base"]["delta_pct"], 0.0);
  EXPECT_EQ(result["base"]["kld_max"], 0.0);
  EXPECT_EQ(result["base"]["top1_agree"], 1.0);
}

TEST(PerplexityCommandTest, PairedDifferenceIsTheRatioOfThePerplexities) {
  const json result = RunJson({"perplexity", "-m", BundledPath(kDraft), "-f", BundledPath("eval_prose.txt"),
                               "--windows", "4", "--base", BundledPath(kModel)});
  const json& base = result["base"];
  const double ratio = result["ppl"].get<double>() / base["ppl"].get<double>();
  EXPECT_NEAR(base["delta_pct"].get<double>(), 100.0 * (ratio - 1.0), 1e-9);
  // Pairing removes most of the text's own spread.
  EXPECT_LT(base["delta_pct_se"].get<double>(), 100.0 * result["ppl_se"].get<double>() / base["ppl"].get<double>());
  EXPECT_GT(base["kld_mean"].get<double>(), 0.0);
  EXPECT_LE(base["kld_median"].get<double>(), base["kld_p99"].get<double>());
  EXPECT_LE(base["kld_p99"].get<double>(), base["kld_max"].get<double>());
  // On all of the held-out prose the pair agrees at 0.68 of the positions (models/README.md). A share of 1020 positions
  // scatters around that by sqrt(0.68 * 0.32 / 1020); four times that is one chance in 16,000.
  EXPECT_NEAR(base["top1_agree"].get<double>(), 0.68, 4 * std::sqrt(0.68 * 0.32 / 1020));
}

TEST(PerplexityCommandTest, WindowLengthChangesWhatIsScored) {
  const json result = RunJson({"perplexity", "-m", BundledPath(kDraft), "-f", BundledPath("eval_prose.txt"), "-c", "64",
                               "--windows", "5", "--cache", "f32"});
  EXPECT_EQ(result["tokens_scored"], 5 * 31);
  EXPECT_EQ(result["cache"], "f32");
}

TEST(PerplexityCommandTest, BackendsAgree) {
  const auto perplexity = [](const std::string& backend) {
    return RunJson({"perplexity", "-m", BundledPath(kDraft), "-f", BundledPath("eval_prose.txt"), "-c", "128",
                    "--windows", "2", "--backend", backend})["ppl"]
        .get<double>();
  };
  const double oracle = perplexity("ref");
  EXPECT_NEAR(perplexity("cpu"), oracle, 1e-4 * oracle);
}

// What the engine adds is beside the figures, not in them: a file of Q8_0 diverges from its base by what the oracle
// says, which rounds no activations. A tenth is what the rungs of a ladder can be told apart by.
TEST(PerplexityCommandTest, TheDivergenceIsThatOfTheFile) {
  const StudyModel gemma = {"tiny-gemma3", ""};
  const auto measure = [&](std::vector<std::string> how) {
    std::vector<std::string> command = {"perplexity",
                                        "-m",
                                        RungFile(gemma, Rung::kQ8_0).string(),
                                        "--base",
                                        RungFile(gemma, Rung::kF16).string(),
                                        "-f",
                                        BundledPath("eval_prose.txt"),
                                        "-c",
                                        "64",
                                        "--windows",
                                        "4"};
    command.insert(command.end(), how.begin(), how.end());
    return RunJson(command);
  };
  const json oracle = measure({"--backend", "ref"}), fine = measure({}),
             everyday = measure({"--activations", "everyday"});
  const auto divergence = [](const json& result) { return result["base"]["kld_mean"].get<double>(); };
  const double tenth = 0.1 * divergence(oracle);
  EXPECT_NEAR(divergence(fine), divergence(oracle), tenth);
  EXPECT_GT(divergence(everyday), divergence(oracle) + tenth);
  EXPECT_EQ(fine["activations"], "fine");
  EXPECT_EQ(everyday["activations"], "everyday");
  EXPECT_GT(fine["engine"]["kld_mean"].get<double>(), tenth);
  EXPECT_LT(fine["engine"]["base"]["kld_mean"].get<double>(), tenth) << "of 16-bit floats: the floor";
  EXPECT_TRUE(everyday["engine"].is_null());
  EXPECT_TRUE(oracle["engine"].is_null());  // has one arithmetic only
}

TEST(PerplexityCommandTest, HumanOutputShowsEveryFigureWithItsError) {
  const Outcome outcome = RunAssay({"perplexity", "-m", BundledPath(kDraft), "-f", BundledPath("eval_prose.txt"), "-c",
                                    "64", "--windows", "4", "--base", BundledPath(kDraft)});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  EXPECT_THAT(outcome.out, HasSubstr("124 in 4 windows of 64"));
  for (const std::string label :
       {"perplexity", "difference, paired", "KL divergence", "same likeliest token", "this engine's rounding"}) {
    const size_t at = outcome.out.find("  " + label);
    ASSERT_NE(at, std::string::npos) << label;
    EXPECT_THAT(outcome.out.substr(at, outcome.out.find('\n', at) - at), HasSubstr("±"));
  }
}

TEST(PerplexityCommandTest, TextsWithoutAWindowAreBadFiles) {
  const std::string model = BundledPath(kDraft);
  ExpectOneLineError(RunAssay({"perplexity", "-m", model, "-f", WriteTemporary("empty.txt", "")}), 3, "empty");
  const Outcome brief = RunAssay({"perplexity", "-m", model, "-f", WriteTemporary("brief.txt", "Once upon a time")});
  ExpectOneLineError(brief, 3, "less than one window of 512");
  ExpectOneLineError(RunAssay({"perplexity", "-m", model, "-f", "/nonexistent/text"}), 3, "/nonexistent/text");
}

TEST(PerplexityCommandTest, WrongOptionsAreUsageErrors) {
  const std::string model = BundledPath(kDraft);
  const std::string text = BundledPath("eval_prose.txt");
  ExpectOneLineError(RunAssay({"perplexity", "-m", model}), 2, "--file");
  ExpectOneLineError(RunAssay({"perplexity", "-m", model, "-f", text, "-c", "4"}), 2, "-c");
  ExpectOneLineError(RunAssay({"perplexity", "-m", model, "-f", text, "--windows", "-1"}), 2, "--windows");
  ExpectOneLineError(RunAssay({"perplexity", "-m", model, "-f", text, "--cache", "q8"}), 2, "--cache");
  ExpectOneLineError(RunAssay({"perplexity", "-m", model, "-f", text, "--activations", "int4"}), 2, "--activations");
  ExpectOneLineError(RunAssay({"perplexity", "-m", model, "-f", text, "--backend", "gpu"}), 2, "gpu");
}

TEST(PerplexityCommandTest, MoreWindowsThanTheTextHasAreSaidToBeMissing) {
  std::string text;
  for (int i = 0; i < 200; ++i) text += "It was a dark and stormy night. ";
  const Outcome outcome = RunAssay({"perplexity", "-m", BundledPath(kDraft), "-f", WriteTemporary("night.txt", text),
                                    "--windows", "1000", "-c", "64", "--json"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.err, HasSubstr("--windows 1000"));
  EXPECT_GT(json::parse(outcome.out)["windows"], 5);
}

// The bundled model with this value at the beginning of a tensor of float32.
std::string BrokenModel(const std::string& tensor_name, float value) {
  const GgufFile file = GgufFile::Open(BundledPath(kDraft));
  const std::span<const uint8_t> data = file.FindTensor(tensor_name)->data;
  std::string content = ReadFile(BundledPath(kDraft));
  const size_t at = content.find(std::string(data.begin(), data.end()));
  content.replace(at, sizeof(value), std::string(reinterpret_cast<const char*>(&value), sizeof(value)));
  return WriteTemporary("broken.gguf", content);
}

TEST(PerplexityCommandTest, LogitsThatAreNotFiniteMakeTheRunInvalid) {
  const std::string broken = BrokenModel("output_norm.weight", std::nanf(""));
  const std::vector<std::string> text = {"-f", BundledPath("eval_prose.txt"), "-c", "64", "--windows", "2"};
  std::vector<std::string> alone = {"perplexity", "-m", broken};
  alone.insert(alone.end(), text.begin(), text.end());
  ExpectOneLineError(RunAssay(alone), 4, "the model gives logits that are not finite in window 0 at position 32");
  std::vector<std::string> compared = {"perplexity", "-m", BundledPath(kDraft), "--base", broken};
  compared.insert(compared.end(), text.begin(), text.end());
  ExpectOneLineError(RunAssay(compared), 4, "the base model");
}

TEST(PerplexityCommandTest, TheAdviceForLogitsThatAreNotFiniteIsNotWhatWasDoneAlready) {
  const std::string broken = BrokenModel("output_norm.weight", std::nanf(""));
  const auto advice = [&](const std::string& cache) {
    return RunAssay({"perplexity", "-m", broken, "-f", BundledPath("eval_prose.txt"), "-c", "64", "--windows", "1",
                     "--cache", cache})
        .err;
  };
  EXPECT_THAT(advice("f16"), HasSubstr("try --cache f32"));
  EXPECT_THAT(advice("f32"), ::testing::Not(HasSubstr("--cache")));
}

// The bundled draft model with another value of a key.
std::string DraftWith(const std::string& key, GgufValue value) {
  const GgufFile file = GgufFile::Open(BundledPath(kDraft));
  GgufMetadata metadata = file.metadata();
  SetMetadata(metadata, key, std::move(value));
  std::vector<GgufTensorInfo> infos;
  for (const GgufTensor& tensor : file.tensors()) infos.push_back({tensor.name, tensor.shape, tensor.format});
  std::string path = WriteTemporary("other-" + key + ".gguf", "");
  GgufWriter writer(path, metadata, infos);
  for (const GgufTensor& tensor : file.tensors()) writer.WriteData(tensor.data);
  writer.Finish();
  return path;
}

TEST(PerplexityCommandTest, ABaseThatReadsTheTextAsOtherTokensIsRefused) {
  // A stop and the end of its line are two pieces.
  const std::string other = DraftWith("tokenizer.ggml.pre", GgufValue::Of("gpt-2"));
  const auto compare = [&](const std::string& text) {
    return RunAssay({"perplexity", "-m", other, "--base", BundledPath(kDraft), "-f", text, "-c", "16"});
  };
  std::string words = "the king of the land", lines = words;
  for (int i = 0; i < 200; ++i) {
    words += " and the sea";
    lines += i == 150 ? ".\n" : " and the sea";
  }
  EXPECT_EQ(compare(WriteTemporary("words.txt", words)).exit_code, 0);
  ExpectOneLineError(compare(WriteTemporary("lines.txt", lines)), 2, "have different tokenizers: they read window");
}

TEST(BenchCommandTest, AModelWhoseLogitsAreNotFiniteIsInvalid) {
  const Outcome outcome =
      RunAssay({"bench", "-m", BundledPath(kDraft), BrokenModel("output_norm.weight", std::nanf("")), "-p", "8", "-n",
                "4", "-r", "1", "-t", "1", "--json"});
  EXPECT_EQ(outcome.exit_code, 4);
  EXPECT_THAT(outcome.err, HasSubstr("assay: invalid: finite: "));
  const json result = json::parse(outcome.out);
  EXPECT_EQ(result["guards"][0]["name"], "finite");
  EXPECT_EQ(result["guards"][0]["tripped"], true);
  EXPECT_THAT(result["guards"][0]["evidence"].get<std::string>(), HasSubstr("broken.gguf: logits that are not finite"));
}

TEST(BenchCommandTest, EveryTestOfEveryModelKeepsItsSamples) {
  const json result = RunJson(
      {"bench", "-m", BundledPath(kDraft), BundledPath(kModel), "-p", "32,64", "-n", "8", "-d", "0,16", "-r", "3"});
  ASSERT_EQ(result["tests"].size(), 3U * 2 * 3) << "two models and the placebo";
  std::vector<std::string> names;
  for (const json& test : result["tests"]) {
    names.push_back(test["test"]);
    EXPECT_EQ(test["tok_per_s"]["samples"].size(), 3U);
    EXPECT_GT(test["tok_per_s"]["median"], 0.0);
    EXPECT_EQ(test["quant"], "F16");
  }
  EXPECT_THAT(names,
              ::testing::ElementsAre("pp32", "pp64", "tg8", "pp32 @ d16", "pp64 @ d16", "tg8 @ d16", "pp32", "pp64",
                                     "tg8", "pp32 @ d16", "pp64 @ d16", "tg8 @ d16", "placebo pp32", "placebo pp64",
                                     "placebo tg8", "placebo pp32 @ d16", "placebo pp64 @ d16", "placebo tg8 @ d16"));
  EXPECT_EQ(result["tests"][0]["model"], BundledPath(kDraft));
  EXPECT_EQ(result["tests"][6]["model"], BundledPath(kModel));
}

TEST(BenchCommandTest, RoundsAreInterleaved) {
  const json result = RunJson({"bench", "-m", BundledPath(kDraft), "-p", "16", "-n", "4", "-r", "3"});
  // Each place of each round is taken once.
  std::vector<std::vector<int>> places(3);
  for (const json& test : result["tests"]) {
    for (const json& run : test["runs"]) places[run["round"].get<size_t>()].push_back(run["order"]);
  }
  for (const std::vector<int>& round : places) EXPECT_THAT(round, ::testing::UnorderedElementsAre(0, 1, 2, 3));
}

TEST(BenchCommandTest, SharesFollowFromBytesRateAndProbe) {
  const json result = RunJson({"bench", "-m", BundledPath(kDraft), "-p", "16", "-n", "4", "-r", "2"});
  const json& probe = result["probe"];
  EXPECT_EQ(probe["read_gb_per_s_samples"].size(), 3U);
  const json& pp = result["tests"][0];
  EXPECT_TRUE(pp["bandwidth_util"].is_null());
  EXPECT_NEAR(pp["ops_util"].get<double>() * probe["peak_int8_tops"].get<double>() * 1e12,
              pp["ops_per_s"].get<double>(), 1e-9 * pp["ops_per_s"].get<double>());
  const json& tg = result["tests"][1];
  const double bytes = tg["bytes_per_token"].get<double>() + tg["cache_bytes_per_token"].get<double>();
  const double read = bytes * tg["tok_per_s"]["median"].get<double>() / 1e9;
  EXPECT_NEAR(tg["read_gb_per_s"].get<double>(), read, 1e-9 * read);
  const double share = read / probe["read_gb_per_s"].get<double>();
  EXPECT_NEAR(tg["bandwidth_util"].get<double>(), share, 1e-9 * share);
  // Embedding tied to the output: a token reads nearly all of the file's 5.9 MB.
  EXPECT_NEAR(tg["bytes_per_token"].get<double>(), 5.8e6, 0.3e6);
}

TEST(BenchCommandTest, TableShowsEveryRateWithItsSpread) {
  const Outcome outcome = RunAssay({"bench", "-m", BundledPath(kDraft), "-p", "16", "-n", "4", "-r", "2", "-t", "1"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  for (const std::string part : {"pp16", "tg4", "F16", "±", "GB/s", "% bandwidth", "probed in the same run"}) {
    EXPECT_THAT(outcome.out, HasSubstr(part));
  }
}

TEST(BenchCommandTest, WrongRequestsAreUsageErrors) {
  const std::string model = BundledPath(kDraft);
  ExpectOneLineError(RunAssay({"bench", "-m", model, "-p", "0", "-n", "0"}), 2, "no test is left");
  ExpectOneLineError(RunAssay({"bench", "-m", model, "-r", "0"}), 2, "-r");
  ExpectOneLineError(RunAssay({"bench", "-m", model, "-d", "-5"}), 2, "-d");
  ExpectOneLineError(RunAssay({"bench", "-m", model, "-p", "1,x"}), 2, "-p");
  ExpectOneLineError(RunAssay({"bench"}), 2, "--model");
  ExpectOneLineError(RunAssay({"bench", "-m", "/nonexistent.gguf"}), 3, "/nonexistent.gguf");
}

// A model beyond the context that it was trained for gives figures that nobody should compare, in whatever part it
// plays.
TEST(MeasureCommandsTest, EveryModelBeyondItsContextIsWarnedOf) {
  const std::string model = BundledPath(kModel), text = BundledPath("eval_prose.txt");
  const std::string small = DraftWith("qwen35.context_length", GgufValue::Of(uint32_t{64}));
  const auto said = [](const std::vector<std::string>& arguments) {
    const Outcome outcome = RunAssay(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return outcome.err;
  };
  const std::string trained = small + " was trained for 64";
  EXPECT_THAT(said({"perplexity", "-m", small, "-f", text, "-c", "80", "--windows", "4"}), HasSubstr(trained));
  EXPECT_THAT(said({"perplexity", "-m", model, "--base", small, "-f", text, "-c", "80", "--windows", "4"}),
              HasSubstr(trained));
  EXPECT_THAT(said({"perplexity", "-m", model, "--base", small, "-f", text, "-c", "64", "--windows", "4"}),
              ::testing::Not(HasSubstr("trained for")));
  const std::string bench =
      said({"bench", "-m", small, "-p", "50", "-n", "8", "-d", "0,60", "-r", "1", "--no-placebo"});
  EXPECT_THAT(bench, HasSubstr("pp50 @ d60: 110 tokens, but " + trained));
  EXPECT_THAT(bench, HasSubstr("tg8 @ d60: 68 tokens, but " + trained));
  EXPECT_THAT(bench, ::testing::Not(HasSubstr("pp50: 50 tokens")));
  const std::vector<std::string> generate = {"generate", "-m", model, "--draft", small, "-p", "It was", "-n"};
  const auto generates = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = generate;
    arguments.insert(arguments.end(), more.begin(), more.end());
    return said(arguments);
  };
  EXPECT_THAT(generates({"1", "-c", "80"}), HasSubstr(trained));
  EXPECT_THAT(generates({"80", "--ignore-eos"}), HasSubstr("the draft's context holds 64 tokens"));
}

TEST(MeasureCommandsTest, MoreThreadsThanProcessorsAreWarnedOf) {
  const std::string more = std::to_string(std::thread::hardware_concurrency() + 1);
  const Outcome outcome =
      RunAssay({"bench", "-m", BundledPath(kDraft), "-p", "8", "-n", "0", "-r", "1", "--no-placebo", "-t", more});
  EXPECT_THAT(outcome.err, HasSubstr("-t " + more + ": this process may use"));
}

TEST(MeasureCommandsTest, WhatIsMeasuredIsKept) {
  const std::string database = testing::TempDir() + fmt::format("measured-{}.db", getpid());
  const std::string model = BundledPath(kDraft);
  const std::string text = BundledPath("eval_prose.txt");
  const std::vector<std::vector<std::string>> commands = {
      {"perplexity", "-m", model, "-f", text, "-c", "64", "--windows", "4"},
      {"bench", "-m", model, "-p", "16", "-n", "4", "-r", "1"},
      {"compare", model, model, "--text", text, "-c", "64", "--windows", "4", "-p", "16", "-n", "4", "-r", "1"},
      {"machine", "-t", "1"}};
  for (std::vector<std::string> command : commands) {
    command.insert(command.end(), {"--db", database});
    const Outcome outcome = RunAssay(command);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  }
  std::map<std::string, int> kinds;
  for (const StoredRun& run : Store(database).AllRuns()) ++kinds[run.record.kind];
  EXPECT_EQ(kinds,
            (std::map<std::string, int>{{"perplexity", 2}, {"throughput", 4 + 6}, {"machine", 3}, {"comparison", 2}}));
  std::filesystem::remove(database);
}

TEST(MachineCommandTest, KnowsTheMachineAndItsRates) {
  const json result = RunJson({"machine", "-t", "1"});
  EXPECT_NE(result["cpu"], "");
  EXPECT_TRUE(result["isa"].is_array());
  EXPECT_GT(result["memory_bytes"], 1u << 20);
  EXPECT_GT(result["read_gb_per_s"], 0.0);
  EXPECT_EQ(result["read_gb_per_s_samples"].size(), 5U);
  EXPECT_GT(result["peak"]["f32_tflops"], 0.0);
  EXPECT_GT(result["peak"]["int8_tops"], 0.0);
  EXPECT_EQ(result["machine"].get<std::string>().size(), 16U);
}

// A second machine is made of the first one's database.
TEST(MergeCommandTest, ShowsAModelOnSeveralMachines) {
  const TemporaryDirectory directory;
  const std::string here = directory / "here.db";
  const std::string there = directory / "there.db";
  const std::string all = directory / "all.db";
  const Outcome bench =
      RunAssay({"bench", "-m", BundledPath(kDraft), "-p", "16", "-n", "4", "-r", "4", "--no-placebo", "--db", here});
  ASSERT_TRUE(bench.exit_code == 0 || bench.exit_code == 4) << bench.err;
  std::filesystem::copy_file(here, there);
  Database(there).Execute("UPDATE environment SET machine = 'fedcba9876543210'");
  // A busy machine may scatter so much that a guard refuses the speeds.
  for (const std::string& path : {here, there}) {
    Database(path).Execute("UPDATE guard SET tripped = 0; UPDATE run SET status = 'done', invalid_reason = NULL");
  }
  const json first = RunJson({"merge", here, there, "-o", all});
  EXPECT_EQ(first["runs"], 8);
  EXPECT_EQ(first["added"], 8);
  EXPECT_EQ(first["same"], 0);
  ASSERT_EQ(first["models"].size(), 1U);
  EXPECT_EQ(first["models"][0]["machines"].size(), 2U);
  EXPECT_EQ(first["models"][0]["comparisons"].size(), 2U);
  const json again = RunJson({"merge", here, there, "-o", all});
  EXPECT_EQ(again["added"], 0);
  EXPECT_EQ(again["same"], 8);
  EXPECT_EQ(again["models"], first["models"]);
  EXPECT_EQ(RunJson({"machine", "--compare", "--db", all})["models"], first["models"]);

  const Outcome text = RunAssay({"machine", "--compare", "--db", all});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.out, HasSubstr("(fedcba98)"));
  EXPECT_THAT(text.out, HasSubstr("tg4 tok/s"));
  ExpectOneLineError(RunAssay({"machine", "--compare"}), 2, "--db");
  ExpectOneLineError(RunAssay({"machine", "--compare", "--db", directory / "absent.db"}), 3, "absent.db");
  ExpectOneLineError(RunAssay({"merge", here, directory / "absent.db", "-o", all}), 3, "absent.db");
  ExpectOneLineError(RunAssay({"merge", here, "-o", here}), 2, "is a source and the output");
  ExpectOneLineError(RunAssay({"merge", "-o", all}), 2, "DATABASE");
}

}  // namespace
}  // namespace assay
