// Every architecture of the table builds a spec from its file, and refuses files that do not fit.

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {
namespace {

const std::filesystem::path kModels = std::filesystem::path(ASSAY_SOURCE_DIR) / "models";

TEST(Architectures, Qwen35AlternatesDeltaNetsWithFullAttention) {
  const auto model = Model::Open(kModels / "tiny-qwen35.gguf");
  const ModelSpec& spec = model->spec;
  ASSERT_EQ(spec.layers.size(), 8U);
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(spec.layers[i].attention.has_value(), i % 4 == 3) << "layer " << i;
    EXPECT_NE(spec.layers[i].attention.has_value(), spec.layers[i].delta_net.has_value());
    EXPECT_TRUE(spec.layers[i].ffn.has_value());
  }
  const AttentionSpec& a = *spec.layers[3].attention;
  EXPECT_TRUE(a.output_gate);
  EXPECT_EQ(a.rope.dimensions, 16);
  EXPECT_FLOAT_EQ(a.scale, 0.125F);
  const DeltaNetSpec& d = *spec.layers[0].delta_net;
  EXPECT_EQ(d.qkv_width(), 512);
  EXPECT_EQ(d.value_heads, 4);
  EXPECT_TRUE(spec.tied());
  EXPECT_EQ(spec.vocab, 4096);
  EXPECT_EQ(model->tokenizer->size(), 4096);
}

// Files made of another's metadata and tensors, changed a little.
class ChangedFile {
 public:
  ChangedFile() : source_(GgufFile::Open(kModels / "tiny-qwen35-draft.gguf")), metadata_(source_.metadata()) {
    for (const GgufTensor& tensor : source_.tensors()) tensors_.push_back(tensor);
  }
  ~ChangedFile() { std::filesystem::remove(path_); }
  ChangedFile(const ChangedFile&) = delete;
  ChangedFile& operator=(const ChangedFile&) = delete;

  GgufMetadata& metadata() { return metadata_; }
  std::vector<GgufTensor>& tensors() { return tensors_; }

  GgufFile Write() {
    std::vector<GgufTensorInfo> infos;
    for (const GgufTensor& tensor : tensors_) infos.push_back({tensor.name, tensor.shape, tensor.format});
    GgufWriter writer(path_, metadata_, infos);
    for (const GgufTensor& tensor : tensors_) writer.WriteData(tensor.data);
    writer.Finish();
    return GgufFile::Open(path_);
  }

 private:
  GgufFile source_;
  GgufMetadata metadata_;
  std::vector<GgufTensor> tensors_;
  std::filesystem::path path_ = std::filesystem::path(testing::TempDir()) / "assay_arch_test.gguf";
};

std::string MessageOf(const GgufFile& file, ErrorKind kind) {
  try {
    BuildSpec(file);
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.kind()), static_cast<int>(kind));
    return error.what();
  }
  return "no error";
}

TEST(Architectures, UnknownOnesAreNamedWithTheKnown) {
  ChangedFile changed;
  for (auto& [key, value] : changed.metadata()) {
    if (key == "general.architecture") value = GgufValue::Of(std::string("mamba"));
  }
  const std::string message = MessageOf(changed.Write(), ErrorKind::kUnsupported);
  EXPECT_NE(message.find("'mamba'"), std::string::npos) << message;
  for (const std::string_view known : KnownArchitectures()) {
    EXPECT_NE(message.find(known), std::string::npos) << message;
  }
}

TEST(Architectures, WhatIsNoModelIsCalledByItsName) {
  const auto message = [](const char* key, const char* value) {
    ChangedFile changed;
    SetMetadata(changed.metadata(), key, GgufValue::Of(std::string(value)));
    return MessageOf(changed.Write(), ErrorKind::kUnsupported);
  };
  EXPECT_NE(message("general.type", "adapter").find("not a model but a LoRA adapter"), std::string::npos);
  EXPECT_NE(message("general.type", "imatrix").find("an importance matrix"), std::string::npos);
  EXPECT_NE(message("general.type", "mmproj").find("the projector"), std::string::npos);
  EXPECT_NE(message("general.architecture", "clip").find("the projector"), std::string::npos);
  EXPECT_NE(message("general.architecture", "controlvector").find("a control vector"), std::string::npos);
  ChangedFile plain;
  SetMetadata(plain.metadata(), "general.type", GgufValue::Of(std::string("model")));
  EXPECT_NO_THROW(BuildSpec(plain.Write()));
}

TEST(Architectures, AMissingTensorIsNamed) {
  ChangedFile changed;
  std::erase_if(changed.tensors(), [](const GgufTensor& t) { return t.name == "blk.2.ssm_a"; });
  const std::string message = MessageOf(changed.Write(), ErrorKind::kBadFile);
  EXPECT_NE(message.find("blk.2.ssm_a is missing"), std::string::npos) << message;
}

TEST(Architectures, AWrongShapeIsNamed) {
  ChangedFile changed;
  for (GgufTensor& tensor : changed.tensors()) {
    if (tensor.name == "blk.1.ffn_up.weight") std::swap(tensor.shape[0], tensor.shape[1]);
    if (tensor.name == "blk.0.attn_gate.weight") tensor.shape = {128, 512};
  }
  const std::string message = MessageOf(changed.Write(), ErrorKind::kBadFile);
  EXPECT_NE(message.find("blk.0.attn_gate.weight has shape [128, 512]"), std::string::npos) << message;
}

TEST(Architectures, ATensorThatNobodyKnowsIsNotIgnored) {
  ChangedFile changed;
  changed.tensors().push_back(changed.tensors().back());
  changed.tensors().back().name = "blk.0.attn_q.bias";
  const std::string message = MessageOf(changed.Write(), ErrorKind::kUnsupported);
  EXPECT_NE(message.find("blk.0.attn_q.bias"), std::string::npos) << message;
}

TEST(Architectures, HyperparametersOutOfRangeAreRefused) {
  for (const uint32_t value : {0U, 1U << 30U}) {
    ChangedFile changed;
    for (auto& [key, entry] : changed.metadata()) {
      if (key == "qwen35.ssm.time_step_rank") entry = GgufValue::Of(value);
    }
    EXPECT_NE(MessageOf(changed.Write(), ErrorKind::kBadFile).find("time_step_rank"), std::string::npos);
  }
}

}  // namespace
}  // namespace assay
