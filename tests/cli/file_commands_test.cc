// inspect, quantize and synth as users and scripts run them, and what holds for every command.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/testing/temporary_directory.h"
#include "gguf/gguf.h"
#include "gguf/testing/gguf_bytes.h"
#include "run_assay.h"

namespace assay {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kModel = BundledPath("tiny-qwen35.gguf");
const std::string kDraft = BundledPath("tiny-qwen35-draft.gguf");

void ExpectError(const Outcome& outcome, int exit_code, const std::string& part) {
  EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, AllOf(StartsWith("assay: "), HasSubstr(part)));
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
}

json RunJson(std::vector<std::string> arguments) {
  arguments.emplace_back("--json");
  const Outcome outcome = RunAssay(arguments);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  json document = json::parse(outcome.out, nullptr, false);
  EXPECT_FALSE(document.is_discarded()) << outcome.out;
  EXPECT_EQ(document["schema"], 1);
  return document;
}

TEST(Usage, WrongUsageIsOneLineAndExitCode2) {
  ExpectError(RunAssay({}), 2, "no command given; there are ");
  ExpectError(RunAssay({"inspekt"}), 2, "inspekt");
  ExpectError(RunAssay({"--colour"}), 2, "--colour");
  ExpectError(RunAssay({"inspect"}), 2, "MODEL is required; see assay inspect --help");
  ExpectError(RunAssay({"inspect", "a", "b"}), 2, "b");
  ExpectError(RunAssay({"inspect", kDraft, "--threads", "2"}), 2, "--threads");
  ExpectError(RunAssay({"quantize", kDraft, "out", "Q8_0", "-t", "0"}), 2, "--threads");
  ExpectError(RunAssay({"quantize", kDraft, "out", "Q9"}), 2, "'Q9' is not a rung; there are F16, BF16, Q8_0");
  ExpectError(RunAssay({"quantize", kDraft, "out", "Q8_0", "--tensor-type", "a=b"}), 2, "REGEX=TYPE");
  ExpectError(RunAssay({"synth", "--preset", "x", "out"}), 2, "qwen35-0.8B, ");
}

TEST(Usage, EveryCommandHasHelpWithAnExample) {
  const Outcome all = RunAssay({"--help"});
  EXPECT_EQ(all.exit_code, 0);
  EXPECT_EQ(all.err, "");
  size_t commands = 0;
  for (size_t at = all.out.find("Subcommands:\n") + 13; at < all.out.size() && all.out[at] == ' ';
       at = all.out.find('\n', at) + 1, ++commands) {
    const size_t begin = all.out.find_first_not_of(' ', at);
    const std::string name = all.out.substr(begin, all.out.find(' ', begin) - begin);
    const Outcome help = RunAssay({name, "--help"});
    EXPECT_EQ(help.exit_code, 0) << name;
    EXPECT_THAT(help.out, HasSubstr("Example:\n  assay " + name));
  }
  EXPECT_GE(commands, 3U);
  EXPECT_THAT(RunAssay({"--version"}).out, StartsWith("assay "));
}

TEST(Usage, ResultsThatCannotBeWrittenAreAnError) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"inspect", kDraft}, {"inspect", kDraft, "--json"}, {"--help"}, {"--version"}}) {
    const Outcome outcome = RunAssay(arguments, {.stdout_path = "/dev/full"});
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_THAT(outcome.err, HasSubstr("standard output"));
  }
}

// `| head`: no error, and nothing said, as of any program that the system ends so.
TEST(Usage, AReaderThatGoesAwayEndsTheProgramAsSigpipeDoes) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"inspect", kDraft}, {"inspect", kDraft, "--json"}, {"--help"}}) {
    const Outcome outcome = RunAssay(arguments, {.stdout_closed = true});
    EXPECT_EQ(outcome.exit_code, 128 + SIGPIPE);
    EXPECT_EQ(outcome.err, "");
  }
}

TEST(Inspect, TellsWhatAFileHolds) {
  const json result = RunJson({"inspect", kModel});
  EXPECT_EQ(result["architecture"], "qwen35");
  EXPECT_EQ(result["parameters"], 9401264);
  EXPECT_EQ(result["bytes"], 18969568);
  EXPECT_EQ(result["types"], json({{"F16", 18767872}, {"F32", 69312}}));
  EXPECT_EQ(result["metadata"]["qwen35.ssm.group_count"], 2);
  EXPECT_EQ(result["metadata"]["tokenizer.ggml.tokens"]["count"], 4096);
  EXPECT_EQ(result["layers"][1]["layers"], json({3, 7}));
  ASSERT_EQ(result["tensors"].size(), 108U);
  EXPECT_EQ(result["tensors"][0],
            json({{"name", "token_embd.weight"}, {"type", "F16"}, {"shape", {256, 4096}}, {"bytes", 2097152}}));
  // A float as it was written, not as the double that it becomes.
  EXPECT_EQ(result["metadata"]["qwen35.attention.layer_norm_rms_epsilon"], 1e-6);
  EXPECT_THAT(RunAssay({"inspect", kModel}).out, AllOf(HasSubstr("0-2, 4-6"), HasSubstr("blk.7.ffn_down.weight"),
                                                       HasSubstr("1 (F16)"), HasSubstr(" 1e-06\n")));
}

// A file that holds the model's vocabulary alone, with other keys.
std::string VocabularyAlone(const TemporaryDirectory& folder,
                            const std::vector<std::pair<std::string, GgufValue>>& keys,
                            const std::string& without = "") {
  GgufMetadata metadata;
  const GgufFile model = GgufFile::Open(kModel);
  for (const auto& [key, value] : model.metadata()) {
    if (key.starts_with("tokenizer.") && key != without) metadata.emplace_back(key, value);
  }
  for (const auto& [key, value] : keys) SetMetadata(metadata, key, value);
  const std::string path = folder / "vocabulary.gguf";
  GgufWriter(path, metadata, {}).Finish();
  return path;
}

TEST(Inspect, TellsHowTextsBeginAndEnd) {
  const TemporaryDirectory folder;
  const auto pre = std::pair(std::string("tokenizer.ggml.pre"), GgufValue::Of("llama-bpe"));
  const auto bos = std::pair(std::string("tokenizer.ggml.bos_token_id"), GgufValue::Of(uint32_t{4093}));
  const std::string silent = VocabularyAlone(folder, {pre, bos}, "tokenizer.ggml.add_bos_token");
  EXPECT_EQ(RunJson({"inspect", silent})["texts"],
            json({{"begin_with", 4093}, {"said_by", "family"}, {"end_at", {4093, 4095}}}));
  EXPECT_THAT(RunAssay({"inspect", silent}).out,
              AllOf(HasSubstr("begin with  4093 <|endoftext|> (the habit of its family"),
                    HasSubstr("end at      4093 <|endoftext|>, 4095 <|im_end|>")));
  const std::string says = VocabularyAlone(folder, {pre, bos, {"tokenizer.ggml.add_bos_token", GgufValue::Of(false)}});
  EXPECT_THAT(RunAssay({"inspect", says}).out, HasSubstr("begin with  no BOS (as the file says)"));
  const std::string unknown = VocabularyAlone(folder, {{"tokenizer.ggml.pre", GgufValue::Of("tomorrow")}});
  EXPECT_THAT(RunAssay({"inspect", unknown}).out, HasSubstr("none: " + unknown));
  EXPECT_TRUE(RunJson({"inspect", unknown})["texts"].is_null());
}

TEST(Tokenize, ShowsTheTokensOfATextAsARunHasThem) {
  const json result = RunJson({"tokenize", kModel, "-p", "It is <|im_end|>"});
  EXPECT_EQ(result["count"], result["ids"].size());
  EXPECT_EQ(result["pieces"].front(), "It");
  EXPECT_EQ(result["pieces"].back(), "<|im_end|>");
  EXPECT_EQ(result["bos_added"], false);
  EXPECT_EQ(result["round_trip"], true);
  const json plain = RunJson({"tokenize", kModel, "-p", "It is <|im_end|>", "--no-special"});
  EXPECT_GT(plain["count"], result["count"]);
  EXPECT_EQ(plain["round_trip"], true);
  const Outcome table = RunAssay({"tokenize", kModel, "-p", "It is\n"});
  EXPECT_EQ(table.exit_code, 0);
  EXPECT_THAT(table.out, AllOf(HasSubstr("\"It\""), HasSubstr("\"\\n\""), HasSubstr("3 tokens of 6 bytes; decoded")));
}

TEST(Tokenize, AVocabularyAloneIsEnoughAndBosIsAddedOnce) {
  const TemporaryDirectory folder;
  const auto bos = static_cast<uint32_t>(RunJson({"tokenize", kModel, "-p", "<|im_start|>"})["ids"][0]);
  const std::string path = VocabularyAlone(folder, {{"tokenizer.ggml.bos_token_id", GgufValue::Of(bos)},
                                                    {"tokenizer.ggml.add_bos_token", GgufValue::Of(true)}});
  const json once = RunJson({"tokenize", path, "-p", "It"});
  EXPECT_EQ(once["ids"].size(), 2);
  EXPECT_EQ(once["ids"][0], bos);
  EXPECT_EQ(once["bos_added"], true);
  EXPECT_EQ(once["round_trip"], true);
  EXPECT_EQ(RunJson({"tokenize", path, "-p", "It", "--no-bos"})["ids"].size(), 1);
  const Outcome twice = RunAssay({"tokenize", path, "-p", "<|im_start|>It", "--json"});
  EXPECT_EQ(json::parse(twice.out)["ids"], once["ids"]);
  EXPECT_EQ(json::parse(twice.out)["bos_added"], false);
  EXPECT_THAT(twice.err, HasSubstr("no second one was put in front"));
}

TEST(Tokenize, AFileThatDoesNotNameItsRulesIsReadWithAWarning) {
  const TemporaryDirectory folder;
  const Outcome outcome =
      RunAssay({"tokenize", VocabularyAlone(folder, {}, "tokenizer.ggml.pre"), "-p", "It is 12", "--json"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.err, HasSubstr("tokenizer.ggml.pre is missing"));
  EXPECT_EQ(json::parse(outcome.out)["round_trip"], true);
}

TEST(Tokenize, RefusesWhatItCannotDo) {
  const TemporaryDirectory folder;
  ExpectError(RunAssay({"tokenize", kModel}), 2, "tokenize needs a text: -p TEXT, -f FILE or --messages FILE");
  ExpectError(RunAssay({"tokenize", kModel, "-p", "a", "-f", "b"}), 2, "excludes");
  const std::string strange = VocabularyAlone(folder, {{"tokenizer.ggml.pre", GgufValue::Of("strange")}});
  ExpectError(RunAssay({"tokenize", strange, "-p", "a"}), 3, "unknown pre-tokenizer \"strange\"");
}

TEST(Quantize, ReportsWhatItWrote) {
  const TemporaryDirectory directory;
  const std::string out = directory / "out.gguf";
  // The size that another implementation's file has (models/README.md).
  const json result = RunJson({"quantize", kModel, out, "q6_k", "-t", "2"});
  EXPECT_EQ(result["bytes_in"], 18969568);
  EXPECT_EQ(result["bytes_out"], 7899744);
  EXPECT_EQ(std::filesystem::file_size(out), 7899744U);
  EXPECT_NEAR(result["bits_per_weight"].get<double>(), 6.609, 0.001);
  EXPECT_EQ(result["types"], RunJson({"inspect", out})["types"]);
  const std::string dry = directory / "dry.gguf";
  const json report = RunJson(
      {"quantize", kModel, dry, "Q4_K_M", "--tensor-type", "ffn_down=Q8_0", "--tensor-type", "ffn=F16", "--dry-run"});
  EXPECT_EQ(report["type_tensors"]["Q8_0"], 8);
  EXPECT_EQ(report["type_tensors"]["F16"], 16);
  EXPECT_EQ(directory.file_count(), 1U);
}

TEST(Quantize, WarnsOnStderrAloneThatTheSourceIsQuantised) {
  const TemporaryDirectory directory;
  RunJson({"quantize", kDraft, directory / "q8.gguf", "Q8_0"});
  const Outcome outcome = RunAssay({"quantize", directory / "q8.gguf", directory / "q2.gguf", "Q2_K", "--json"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.err, HasSubstr("quantised already"));
  EXPECT_EQ(json::parse(outcome.out)["notes"].size(), 1U);
}

TEST(Quantize, FailuresLeaveNothingBehind) {
  const TemporaryDirectory directory;
  const std::string out = directory / "out.gguf";
  ExpectError(RunAssay({"quantize", kDraft, out, "Q8_0"}, {.largest_file = 1000000}), 1, out + ": cannot write");
  ExpectError(RunAssay({"quantize", kDraft, out, "Q8_0", "--tensor-type", "nothing=Q6_K"}), 2, "'nothing'");
  ExpectError(RunAssay({"quantize", kDraft, out, "Q8_0", "--imatrix", kDraft}), 3, "importance matrix");
  ExpectError(RunAssay({"quantize", kDraft, out, "Q8_0", "--imatrix", "/nonexistent"}), 3, "/nonexistent");
  ExpectError(RunAssay({"quantize", "/nonexistent", out, "Q8_0"}), 3, "/nonexistent: cannot open");
  ExpectError(RunAssay({"quantize", kDraft, directory / "none/out.gguf", "Q8_0"}), 1, "cannot write");
  EXPECT_EQ(directory.file_count(), 0U);
  ExpectError(RunAssay({"quantize", kDraft, kDraft, "Q8_0"}), 2, "is the source itself");
}

// Not even root can write there.
TEST(Quantize, AFolderWithoutPermissionIsAnError) {
  ExpectError(RunAssay({"quantize", kDraft, "/proc/self/out.gguf", "Q8_0"}), 1, "/proc/self/out.gguf: cannot write");
  ExpectError(RunAssay({"quantize", kDraft, "/dev/full", "Q8_0"}), 1, "/dev/full");
}

TEST(Quantize, AnExistingFileIsReplacedWholeOrNotAtAll) {
  const TemporaryDirectory directory;
  const std::string out = directory / "out.gguf";
  testing::WriteBytes(out, "precious");
  ExpectError(RunAssay({"quantize", kDraft, out, "Q8_0"}, {.largest_file = 1000000}), 1, "cannot write");
  EXPECT_EQ(ReadFile(out), "precious");
  EXPECT_EQ(RunAssay({"quantize", kDraft, out, "Q8_0"}).exit_code, 0);
  EXPECT_EQ(GgufFile::Open(out).GetUint("general.file_type"), 7U);
  EXPECT_EQ(directory.file_count(), 1U);
}

TEST(Synth, WritesTheShapeThatWasAsked) {
  const TemporaryDirectory directory;
  const std::string out = directory / "out.gguf";
  const json result =
      RunJson({"synth", "--arch", "qwen35", "--preset", "0.8B", "--type", "Q2_K", "--layers", "1", out});
  EXPECT_EQ(result["bytes"], std::filesystem::file_size(out));
  EXPECT_EQ(result["parameters"], RunJson({"inspect", out})["parameters"]);
  EXPECT_EQ(result["layers"], 1);
  ExpectError(RunAssay({"synth", "--preset", "qwen35-0.8B", directory / "full.gguf"}, {.largest_file = 20000000}), 1,
              "cannot write");
  EXPECT_EQ(directory.file_count(), 1U);
}

}  // namespace
}  // namespace assay
