// Damaged model files: one line on stderr, exit code 3, nothing on stdout, no file left, never a crash.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "base/testing/temporary_directory.h"
#include "gguf/gguf.h"
#include "gguf/testing/gguf_bytes.h"
#include "run_assay.h"

namespace assay {
namespace {

using ::testing::AllOf;
using testing::GgufBytes;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::WriteBytes;

constexpr uint32_t kF32 = 0, kQ4_K = 12;

// Reading, and reading in order to write, refuse it alike.
void ExpectRefused(const std::string& bytes, const std::string& part) {
  const TemporaryDirectory directory;
  WriteBytes(directory / "bad.gguf", bytes);
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"inspect", directory / "bad.gguf"},
        {"inspect", directory / "bad.gguf", "--json"},
        {"quantize", directory / "bad.gguf", directory / "out.gguf", "Q4_K_M"}}) {
    const Outcome outcome = RunAssay(arguments);
    EXPECT_EQ(outcome.exit_code, 3) << outcome.err;
    if (arguments.back() == "--json") {
      EXPECT_THAT(outcome.out, AllOf(HasSubstr("\"exit_code\": 3"), HasSubstr("bad.gguf")));
    } else {
      EXPECT_EQ(outcome.out, "");
    }
    EXPECT_THAT(outcome.err, AllOf(StartsWith("assay: "), HasSubstr("bad.gguf"), HasSubstr(part)));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  }
  EXPECT_EQ(directory.file_count(), 1U);
}

TEST(HostileFiles, TruncatedInEverySection) {
  const std::string whole = ReadFile(BundledPath("tiny-qwen35-draft.gguf"));
  ExpectRefused(whole.substr(0, 0), "empty");
  ExpectRefused(whole.substr(0, 3), "truncated");                    // in the magic number
  ExpectRefused(whole.substr(0, 20), "truncated");                   // in the counts
  ExpectRefused(whole.substr(0, 100), "truncated");                  // in the metadata
  ExpectRefused(whole.substr(0, whole.find("blk.2")), "truncated");  // in the tensors' declarations
  ExpectRefused(whole.substr(0, whole.size() / 2), "truncated");     // in the data
  ExpectRefused(whole.substr(0, whole.size() - 1024), "blk.3");      // in the last tensor
}

TEST(HostileFiles, Foreign) {
  ExpectRefused("#!/bin/sh\necho no\n", "not a GGUF file");
  ExpectRefused(GgufBytes(0, 0, 1).str(), "version 1");
  ExpectRefused(GgufBytes(0, 0, 0x03000000).str(), "big-endian");
}

TEST(HostileFiles, TensorsThatCannotBe) {
  const auto with_tensor = [](std::initializer_list<uint64_t> shape, uint32_t type, uint64_t offset) {
    GgufBytes b(1, 1);
    b.Key("general.architecture", GgufType::kString).Text("llama");
    b.Tensor("t.weight", shape, type, offset).Data(64);
    return b.str();
  };
  ExpectRefused(with_tensor({1024}, kF32, 0), "needs 4096 bytes at offset 0 of 64");
  ExpectRefused(with_tensor({4}, kF32, UINT64_MAX - 31), "'t.weight'");
  ExpectRefused(with_tensor({1ULL << 40, 1ULL << 40}, kF32, 0), "overflow");
  ExpectRefused(with_tensor({100}, kQ4_K, 0), "rows of 100");
  ExpectRefused(with_tensor({4}, 99, 0), "unknown type 99");
}

TEST(HostileFiles, TypesThatAreKnownByNameAloneCanBeLookedAt) {
  GgufBytes b(2, 1);
  b.Key("general.architecture", GgufType::kString).Text("llama");
  b.Tensor("t.weight", {256}, 16, 0).Tensor("u.weight", {8}, kF32, 96).Data(128);
  const TemporaryDirectory directory;
  const std::string path = directory / "m.gguf";
  WriteBytes(path, b.str());
  const Outcome text = RunAssay({"inspect", path});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.out, HasSubstr("IQ2_XXS"));
  EXPECT_THAT(text.err, HasSubstr("m.gguf: Assay cannot compute with IQ2_XXS: this can be looked at only"));
  EXPECT_THAT(RunAssay({"inspect", path, "--json"}).out, HasSubstr("\"not_computable\": [\n    \"IQ2_XXS\"\n  ]"));
  const Outcome made = RunAssay({"quantize", path, directory / "out.gguf", "Q4_K_M"});
  EXPECT_EQ(made.exit_code, 3);
  EXPECT_THAT(made.err, HasSubstr("tensor 't.weight' is IQ2_XXS (16), which Assay cannot compute with"));
}

// A name with line breaks and terminal codes cannot break the one line, nor reach the terminal.
TEST(HostileFiles, NamesCannotWriteToTheTerminal) {
  GgufBytes b(1, 0);
  b.Tensor("evil\n\x1B[2Jname", {4}, 99, 0).Data(64);
  ExpectRefused(b.str(), "evil ?[2Jname");
  GgufBytes sound(1, 0);
  sound.Tensor("evil\n\x1B[2Jname", {4}, kF32, 0).Data(64);
  const TemporaryDirectory directory;
  WriteBytes(directory / "m.gguf", sound.str());
  const Outcome outcome = RunAssay({"inspect", directory / "m.gguf"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.out.find('\x1B'), std::string::npos);
}

TEST(HostileFiles, NoArchitecture) {
  const TemporaryDirectory directory;
  WriteBytes(directory / "m.gguf", GgufBytes(0, 0).str());
  const Outcome outcome = RunAssay({"quantize", directory / "m.gguf", directory / "out.gguf", "Q4_K_M"});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("general.architecture"));
}

// The commands that run a model: an architecture that Assay does not know, and a tensor that is not there.
void ExpectNotLoaded(const std::function<void(GgufMetadata&, std::vector<GgufTensorInfo>&)>& damage,
                     const std::string& part) {
  const TemporaryDirectory directory;
  const GgufFile sound = GgufFile::Open(BundledPath("tiny-qwen35-draft.gguf"));
  GgufMetadata metadata = sound.metadata();
  std::vector<GgufTensorInfo> infos;
  for (const GgufTensor& tensor : sound.tensors()) infos.push_back({tensor.name, tensor.shape, tensor.format});
  damage(metadata, infos);
  {
    GgufWriter writer(directory / "bad.gguf", metadata, infos);
    for (const GgufTensorInfo& info : infos) writer.WriteData(sound.FindTensor(info.name)->data);
    writer.Finish();
  }
  const Outcome outcome = RunAssay({"perplexity", "-m", directory / "bad.gguf", "-f", BundledPath("eval_math.txt")});
  EXPECT_EQ(outcome.exit_code, 3) << outcome.err;
  EXPECT_THAT(outcome.err, AllOf(StartsWith("assay: "), HasSubstr(part)));
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
}

TEST(HostileFiles, AnUnknownArchitectureIsNamedAndTheKnownOnesListed) {
  const auto damage = [](GgufMetadata& metadata, std::vector<GgufTensorInfo>&) {
    SetMetadata(metadata, "general.architecture", GgufValue::Of("mamba9"));
  };
  ExpectNotLoaded(damage, "'mamba9'");
  ExpectNotLoaded(damage, "qwen35");
}

TEST(HostileFiles, AMissingTensorIsNamed) {
  ExpectNotLoaded(
      [](GgufMetadata&, std::vector<GgufTensorInfo>& infos) {
        std::erase_if(infos, [](const GgufTensorInfo& info) { return info.name == "blk.2.ssm_out.weight"; });
      },
      "blk.2.ssm_out.weight is missing");
}

}  // namespace
}  // namespace assay
