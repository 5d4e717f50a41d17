// assay compare as users and scripts run it: two quantisations of one model.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "run_assay.h"
#include "study_models.h"

namespace assay {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

const StudyModel kGemma = {"tiny-gemma3", ""};

std::vector<std::string> Compare(const std::string& a, const std::string& b, const std::string& windows = "8") {
  return {"compare", a,   b,    "--text", BundledPath("eval_prose.txt"), "--windows", windows, "-c", "64", "-p", "16",
          "-n",      "4", "-r", "5"};
}

std::string Legacy() { return RungFile(kGemma, Rung::kQ4_0).string(); }
std::string Mixed() { return RungFile(kGemma, Rung::kQ4_K_M).string(); }

json RunJson(std::vector<std::string> arguments) {
  arguments.emplace_back("--json");
  const Outcome outcome = RunAssay(arguments);
  // A busy machine may scatter so much that a guard refuses the speeds; the document is whole all the same.
  EXPECT_TRUE(outcome.exit_code == 0 || outcome.exit_code == 4) << outcome.err;
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

TEST(CompareCommandTest, AllThatIsMeasuredIsInTheDocument) {
  const json result = RunJson(Compare(Legacy(), Mixed()));
  EXPECT_EQ(result["a"]["file"], "tiny-gemma3-Q4_0.gguf");
  EXPECT_EQ(result["b"]["file"], "tiny-gemma3-Q4_K_M.gguf");
  // Mostly blocks of 4.5 bits a weight in both, the embedding at Q6_K.
  for (const char* model : {"a", "b"}) EXPECT_NEAR(result[model]["bits_per_weight"].get<double>(), 5.0, 0.5);
  EXPECT_EQ(result["tokens_scored"], 8 * 31);
  EXPECT_EQ(result["activations"], "fine");
  EXPECT_GT(result["engine"]["kld_mean"], 0.0);
  EXPECT_GT(result["engine"]["base"]["kld_mean"], 0.0);
  ASSERT_EQ(result["tests"].size(), 6U) << "two of each model and of the placebo";
  for (const json& test : result["tests"]) EXPECT_EQ(test["tok_per_s"]["samples"].size(), 5U);
  EXPECT_EQ(result["tests"][1]["model"], Legacy());
  EXPECT_EQ(result["tests"][2]["model"], Mixed());
  EXPECT_EQ(result["tests"][5]["test"], "placebo tg4");
  EXPECT_EQ(result["tests"][5]["model"], Legacy());
  EXPECT_GT(result["placebo"]["tg4"]["floor"], 0.0);
  EXPECT_EQ(result["intervals"]["delta_pct"]["unit"], "window");
  EXPECT_EQ(result["intervals"]["delta_pct"]["units"], 8);
  EXPECT_EQ(result["speed"]["tg4"]["units"], 5);
  EXPECT_THAT(result["a"]["mix"].get<std::string>(), HasSubstr("Q4_0"));
  const double ratio = result["speed"]["tg4"]["ratio"];
  EXPECT_LE(result["speed"]["tg4"]["low"], ratio);
  EXPECT_GE(result["speed"]["tg4"]["high"], ratio);
  EXPECT_GT(result["base"]["kld_mean"], 0.0);
  EXPECT_GT(result["base"]["top1_agree"], 0.5);
  const double change = result["ppl"].get<double>() / result["base"]["ppl"].get<double>() - 1.0;
  // Means over windows are held as float.
  EXPECT_NEAR(result["perplexity"]["delta_pct"].get<double>(), 100.0 * change, 1e-4);
}

// All three are judged together, so that an interval that leaves out "no difference" is needed, and may not suffice.
TEST(CompareCommandTest, NothingIsToldApartWithinItsInterval) {
  const json result = RunJson(Compare(Legacy(), Mixed()));
  for (const char* test : {"pp16", "tg4"}) {
    const json& speed = result["speed"][test];
    const std::string standing = speed["standing"];
    if (standing == "better") {
      EXPECT_GT(speed["low"], 1.0);
    }
    if (standing == "worse") {
      EXPECT_LT(speed["high"], 1.0);
    }
  }
}

TEST(CompareCommandTest, ACoarserRungIsWorseBeyondTheError) {
  const json result =
      RunJson(Compare(BundledPath("tiny-gemma3-Q8_0.gguf"), RungFile(kGemma, Rung::kQ2_K).string(), "24"));
  EXPECT_EQ(result["perplexity"]["standing"], "worse");
  EXPECT_GT(result["perplexity"]["low"], 0.0);
  EXPECT_LT(result["size_pct"], -30.0);
  EXPECT_THAT(result["sentence"].get<std::string>(), HasSubstr("B is worse than A in perplexity"));
}

TEST(CompareCommandTest, RoundsAreInterleaved) {
  const json result = RunJson(Compare(Legacy(), Mixed()));
  std::vector<std::vector<int>> places(5);
  for (const json& test : result["tests"]) {
    for (const json& run : test["runs"]) places[run["round"].get<size_t>()].push_back(run["order"]);
  }
  for (const std::vector<int>& round : places) EXPECT_THAT(round, ::testing::UnorderedElementsAre(0, 1, 2, 3, 4, 5));
}

TEST(CompareCommandTest, AModelAgainstItselfIsNotToldApart) {
  std::vector<std::string> arguments = Compare(Mixed(), Mixed());
  arguments.back() = "1";  // rounds
  arguments.emplace_back("--no-placebo");
  const Outcome outcome = RunAssay(arguments);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("A, the base"));
  EXPECT_THAT(outcome.out, HasSubstr("B, measured"));
  EXPECT_THAT(outcome.out, HasSubstr("KL(A || B)"));
  EXPECT_THAT(outcome.out, HasSubstr("B and A are the same in perplexity"));
  EXPECT_THAT(outcome.out, HasSubstr("in tg4 there are too few rounds to say anything (1; 4 would do)"));
  EXPECT_THAT(outcome.out, HasSubstr("the files are of one size"));
  arguments.emplace_back("--json");
  EXPECT_TRUE(json::parse(RunAssay(arguments).out)["speed"]["tg4"]["high"].is_null());
}

TEST(CompareCommandTest, WrongRequestsAreRefused) {
  const std::string model = Mixed();
  const std::string text = BundledPath("eval_prose.txt");
  ExpectOneLineError(RunAssay({"compare", model, model}), 2, "--text");
  ExpectOneLineError(RunAssay({"compare", model, "--text", text}), 2, "B");
  ExpectOneLineError(RunAssay({"compare", model, model, "--text", text, "-n", "0"}), 2, "--generate");
  ExpectOneLineError(RunAssay({"compare", model, "/nonexistent.gguf", "--text", text}), 3, "/nonexistent.gguf");
  ExpectOneLineError(RunAssay({"compare", model, model, "--text", "/nonexistent.txt"}), 3, "/nonexistent.txt");
}

}  // namespace
}  // namespace assay
