// `assay speculate` as users and scripts run it. The machine of a test may be busy: what guards say of its quiet is not
// asserted, what they say of tokens is.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/testing/temporary_directory.h"
#include "gguf/gguf.h"
#include "gguf/testing/other_vocabulary.h"
#include "run_assay.h"

namespace assay {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::string kTarget = BundledPath("tiny-qwen35.gguf");
const std::string kDraft = BundledPath("tiny-qwen35-draft.gguf");

class SpeculateCommandTest : public testing::Test {
 protected:
  void SetUp() override {
    prompts_ = WriteTemporary("sums.jsonl",
                              "{\"id\": \"boxes\", \"prompt\": \"Question: There are 7 boxes with 4 books in each box. "
                              "How many books are there in all?\\nAnswer:\"}\n"
                              "{\"prompt\": \"Solve for x: 4x + 9 = 353.\\nFirst subtract\"}\n"
                              "{\"prompt\": \"Question: Tom has 12 apples and eats 5. How many are left?\\nAnswer:\"}\n"
                              "{\"prompt\": \"The sum of 17 and 25 is\"}\n");
  }

  std::vector<std::string> Arguments(const std::vector<std::string>& drafts,
                                     const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"speculate",
                                          "--target",
                                          target_,
                                          "-n",
                                          "24",
                                          "-r",
                                          "2",
                                          "--prompts",
                                          prompts_,
                                          "--db",
                                          (folder_ / "assay.db").string()};
    arguments.emplace_back("--draft");
    arguments.insert(arguments.end(), drafts.begin(), drafts.end());
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  json Measure(const std::vector<std::string>& drafts, std::vector<std::string> more) const {
    more.emplace_back("--json");
    const Outcome outcome = RunAssay(Arguments(drafts, more));
    EXPECT_THAT(outcome.exit_code, testing::AnyOf(0, 4)) << outcome.err;
    json document = json::parse(outcome.out, nullptr, false);
    EXPECT_FALSE(document.is_discarded()) << outcome.out << outcome.err;
    EXPECT_EQ(document["schema"], 1);
    bool valid = true;
    for (const json& run : document["runs"]) valid = valid && run["valid"].get<bool>();
    EXPECT_EQ(outcome.exit_code, valid ? 0 : 4) << outcome.err;
    if (!valid) {
      EXPECT_THAT(outcome.err, HasSubstr("assay: invalid: "));
    }
    return document;
  }

  std::string target_ = kTarget;
  const TemporaryDirectory folder_;
  std::string prompts_;
};

const json& Guard(const json& run, const std::string& name) {
  for (const json& guard : run["guards"]) {
    if (guard["name"] == name) return guard;
  }
  static const json none;
  ADD_FAILURE() << "no guard " << name;
  return none;
}

void ExpectLossless(const json& run) {
  // A length that adapts may draft nothing on a busy machine, and then claims nothing.
  if (run["k"] != "auto") {
    EXPECT_EQ(run["identical"], true) << run["guards"].dump(2);
  }
  for (const char* name : {"decoded", "lossless", "backend"}) {
    EXPECT_EQ(Guard(run, name)["tripped"], false) << run["guards"].dump(2);
  }
}

TEST_F(SpeculateCommandTest, JsonHasTheFieldsThatScriptsRead) {
  const json document = Measure({kDraft}, {"-k", "2,4"});
  ASSERT_EQ(document["runs"].size(), 2U);
  for (size_t i = 0; i < 2; ++i) {
    const json& run = document["runs"][i];
    const size_t k = i == 0 ? 2 : 4;
    ExpectLossless(run);
    EXPECT_EQ(run["target"], kTarget);
    EXPECT_EQ(run["draft"], kDraft);
    EXPECT_EQ(run["k"], k);
    EXPECT_GT(run["drafted"], 0);
    EXPECT_GT(run["accepted"], 0);
    EXPECT_NEAR(run["accept_rate"].get<double>(), run["accepted"].get<double>() / run["drafted"].get<double>(), 1e-9);
    EXPECT_EQ(run["accept_by_position"].size(), k);
    EXPECT_GT(run["tokens_per_round"], 1.0);
    EXPECT_GT(run["tok_per_s"], 0.0);
    EXPECT_GT(run["baseline_tok_per_s"], 0.0);
    EXPECT_LE(run["speedup_ci"][0], run["speedup"]);
    EXPECT_GE(run["speedup_ci"][1], run["speedup"]);
    EXPECT_EQ(run["speedup_certainty"]["unit"], "prompt");
    EXPECT_EQ(run["speedup_certainty"]["units"], 4);
    EXPECT_TRUE(Guard(run, "books").contains("evidence")) << run["guards"].dump(2);
    EXPECT_GT(run["speed_ratio"], 0.0);
    EXPECT_EQ(run["verify_cost"].size(), k + 1);
    EXPECT_EQ(run["verify_cost"][0], 1.0);
    EXPECT_GT(run["predicted_speedup"], 0.0);
    EXPECT_GE(run["break_even_curve"].size(), k);
    EXPECT_THAT(run["prompt_set"], HasSubstr("sums"));
  }
  EXPECT_THAT(document["pairs"][0]["verdict"], HasSubstr("tiny-qwen35.gguf with tiny-qwen35-draft.gguf"));
  EXPECT_EQ(document["placebo"][kDraft].begin().value()["units"], 4);
  EXPECT_FALSE(document["target"]["digest"].get<std::string>().empty());
}

TEST_F(SpeculateCommandTest, WithoutPlaceboThereIsNoNoiseFloor) {
  const json document = Measure({kDraft}, {"-k", "2", "--no-placebo"});
  EXPECT_TRUE(document["placebo"].is_null());
}

TEST_F(SpeculateCommandTest, TheTargetsOwnRungNgramsAndAutoAreDraftsToo) {
  const json document = Measure({"self:Q2_K", "ngram"}, {"-k", "4,auto"});
  ASSERT_EQ(document["runs"].size(), 4U);
  for (const json& run : document["runs"]) ExpectLossless(run);
  EXPECT_EQ(document["runs"][0]["draft"], "self:Q2_K");
  EXPECT_EQ(document["runs"][1]["k"], "auto");
  EXPECT_EQ(document["pairs"][0]["model"]["quant"], "Q2_K");
  EXPECT_EQ(document["runs"][2]["draft"], "ngram");
  EXPECT_TRUE(document["runs"][2]["speed_ratio"].is_null());
  EXPECT_TRUE(document["pairs"][1]["model"].is_null());
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    EXPECT_EQ(entry.path().filename(), "assay.db") << "nothing of the requantised draft is left";
    ++files;
  }
  EXPECT_EQ(files, 1U);
}

TEST_F(SpeculateCommandTest, EveryRunOfTheStoreIsComparedWithTheNextBackends) {
  target_ = kDraft;  // the smaller model: ref takes its time
  Measure({"self:Q2_K"}, {"-k", "2"});
  const json document = Measure({"self:Q2_K"}, {"-k", "2", "--backend", "ref"});
  ExpectLossless(document["runs"][0]);
  EXPECT_THAT(Guard(document["runs"][0], "backend")["evidence"], HasSubstr("1 runs of other backends"));
}

TEST_F(SpeculateCommandTest, HumanOutputShowsTableCostsAndVerdict) {
  const Outcome outcome = RunAssay(Arguments({kDraft}, {"-k", "2"}));
  EXPECT_THAT(outcome.exit_code, testing::AnyOf(0, 4)) << outcome.err;
  for (const char* part :
       {"Prompt set", "tokens/round", "95% interval", "plain steps", "break even: k=1:", "assay.db"}) {
    EXPECT_THAT(outcome.out, HasSubstr(part));
  }
}

TEST_F(SpeculateCommandTest, ALargerDraftWarnsWithTheRatio) {
  target_ = kDraft;
  const Outcome outcome = RunAssay(Arguments({kTarget}, {"-k", "1"}));
  EXPECT_THAT(outcome.err, HasSubstr("draft cost: the draft has 3.2"));
}

void ExpectOneLineError(const Outcome& outcome, int exit_code, const std::string& part) {
  EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr(part));
  EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << outcome.err;
}

TEST_F(SpeculateCommandTest, ErrorsAreOneLineWithTheirExitCode) {
  const auto run = [&](const std::string& draft, const std::vector<std::string>& more) {
    return RunAssay(Arguments({draft}, more));
  };
  ExpectOneLineError(run(kDraft, {"-k", "0"}), 2, "-k 0: a draft has 1 to 32 tokens");
  ExpectOneLineError(run(kDraft, {"-k", "4,33"}), 2, "-k 33");
  ExpectOneLineError(run(kDraft, {"-k", "4,4"}), 2, "named twice");
  ExpectOneLineError(run("self:Q9_9", {}), 2, "Q9_9");
  ExpectOneLineError(run("/nonexistent.gguf", {}), 3, "/nonexistent.gguf");
  ExpectOneLineError(run(kDraft, {"--prompts", WriteTemporary("none.jsonl", "\n")}), 3, "holds no prompts");
  const std::string bad = WriteTemporary("bad.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": \n");
  ExpectOneLineError(run(kDraft, {"--prompts", bad}), 3, "bad.jsonl, line 2: not JSON");
  ExpectOneLineError(RunAssay({"speculate", "--target", kTarget}), 2, "--draft");
  ExpectOneLineError(RunAssay({"generate", "-m", kTarget, "-p", "a", "--draft", "self:Q2_K"}), 2, "assay quantize");
  EXPECT_THAT(std::filesystem::exists(folder_ / "assay.db"), false) << "nothing was measured";
}

// Of one token that no merge makes.
std::string ModelWithAnotherToken() {
  std::string content = ReadFile(kDraft);
  const std::string token = "<|im_start|>";
  const size_t at = content.find(token, content.find("tokenizer.ggml.tokens"));
  EXPECT_NE(at, std::string::npos);
  content[at + 2] = 'I';
  return WriteTemporary("other-tokens.gguf", content);
}

TEST_F(SpeculateCommandTest, ADraftWithAnotherTokenizerIsRefusedWithTheFirstDifference) {
  const Outcome outcome = RunAssay(Arguments({ModelWithAnotherToken()}, {}));
  ExpectOneLineError(outcome, 2, "<|Im_start|>");
  EXPECT_THAT(outcome.err, HasSubstr("<|im_start|>"));
}

// Models of one family pad their vocabularies to different sizes: from the field, llama.gguf and vocab-padded.gguf.
TEST_F(SpeculateCommandTest, ADraftWithMoreOrFewerTokensIsUsedAndToldOf) {
  const std::string more = (folder_ / "more.gguf").string(), fewer = (folder_ / "fewer.gguf").string();
  WriteWithVocabulary(kDraft, more, 4160, {});
  WriteWithVocabulary(kDraft, fewer, 4000, {});
  const json document = Measure({more, fewer}, {"-k", "4", "--no-placebo"});
  int compared = 0;
  for (const json& run : document["runs"]) {
    if (!run["k"].is_number()) continue;
    ExpectLossless(run);
    EXPECT_GT(run["accepted"].get<int>(), 0);
    ++compared;
  }
  EXPECT_EQ(compared, 2);
  const std::vector<std::string> plain = {"generate", "-m", kTarget, "-p", "The sum of 17 and 25 is",
                                          "-n",       "24", "--json"};
  const json expected = json::parse(RunAssay(plain).out);
  for (const auto& [draft, told] : {std::pair(more, "has 4160: those that both use are the same\n"),
                                    std::pair(fewer, "has 4000: those that both use are the same; 96 that")}) {
    std::vector<std::string> arguments = plain;
    arguments.insert(arguments.end(), {"--draft", draft});
    const Outcome outcome = RunAssay(arguments);
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_THAT(outcome.err, HasSubstr(told));
    EXPECT_EQ(json::parse(outcome.out)["tokens"], expected["tokens"]);
  }
}

// Whose logits of one token, neither the first nor the likeliest, are not finite: the output shares the embedding.
std::string DraftWithOneBadLogit(uint16_t half) {
  std::string content = ReadFile(kDraft);
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(content.data()), content.size());
  const GgufFile file = GgufFile::Parse(bytes, kDraft);
  const GgufTensor& embedding = *file.FindTensor("token_embd.weight");
  const size_t row = embedding.data.size() / embedding.rows();
  const auto at = static_cast<size_t>(embedding.data.data() - bytes.data()) + 2000 * row;
  std::memcpy(content.data() + at, &half, sizeof(half));
  return WriteTemporary("one-bad-logit.gguf", content);
}

TEST_F(SpeculateCommandTest, ADraftWhoseLogitsAreNotFiniteHelpsNobody) {
  for (const uint16_t half : {0x7E00, 0x7C00, 0xFC00}) {  // NaN and both infinities
    const std::string draft = DraftWithOneBadLogit(half);
    for (const char* temperature : {"0", "0.8"}) {
      for (const char* k : {"4", "auto"}) {
        const Outcome outcome = RunAssay({"generate", "-m", kTarget, "--draft", draft, "-p", "The king", "-n", "16",
                                          "-k", k, "--temp", temperature, "--json"});
        EXPECT_EQ(outcome.exit_code, 4);
        EXPECT_EQ(json::parse(outcome.out)["error"]["exit_code"], 4);
        EXPECT_THAT(outcome.err, testing::AllOf(HasSubstr("the draft model"), HasSubstr("not finite")));
        EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << outcome.err;
      }
    }
    const json study = Measure({draft}, {"-k", "2"});
    for (const json& run : study["runs"]) {
      EXPECT_EQ(run["valid"], false);
      EXPECT_EQ(Guard(run, "decoded")["tripped"], true);
      EXPECT_THAT(Guard(run, "decoded")["evidence"].get<std::string>(), HasSubstr("the draft model"));
    }
  }
}

}  // namespace
}  // namespace assay
