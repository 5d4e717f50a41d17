#include "gguf/gguf.h"
#include "base/testing/temporary_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "gguf/testing/gguf_bytes.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using testing::GgufBytes;
using ::testing::HasSubstr;
using testing::WriteBytes;

std::filesystem::path Demo() { return std::filesystem::path(ASSAY_SOURCE_DIR) / "models" / "tiny-qwen35-draft.gguf"; }

std::vector<GgufTensorInfo> Declare(const GgufFile& file) {
  std::vector<GgufTensorInfo> out;
  for (const GgufTensor& tensor : file.tensors()) out.push_back({tensor.name, tensor.shape, tensor.format});
  return out;
}

void Copy(const GgufFile& from, const std::filesystem::path& to) {
  GgufWriter writer(to, from.metadata(), Declare(from));
  for (const GgufTensor& tensor : from.tensors()) writer.WriteData(tensor.data);
  writer.Finish();
}

std::string MessageOf(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Gguf, ReadsTheDemoModel) {
  const GgufFile file = GgufFile::Open(Demo());
  EXPECT_EQ(file.version(), 3U);
  EXPECT_EQ(file.GetString("general.architecture"), "qwen35");
  EXPECT_EQ(file.GetUint("qwen35.block_count"), 4U);
  EXPECT_FLOAT_EQ(static_cast<float>(file.GetFloat("qwen35.attention.layer_norm_rms_epsilon")), 1e-6F);
  EXPECT_EQ(file.FindStrings("tokenizer.ggml.tokens").size(), 4096U);
  EXPECT_THAT(file.FindInts("qwen35.rope.dimension_sections"), ElementsAre(3, 3, 2, 0));
  const GgufTensor* embedding = file.FindTensor("token_embd.weight");
  ASSERT_NE(embedding, nullptr);
  EXPECT_THAT(embedding->shape, ElementsAre(256, 4096));
  EXPECT_EQ(embedding->data.size(), 256U * 4096 * 2);
  EXPECT_EQ(file.FindTensor("token_embd"), nullptr);
}

TEST(Gguf, ARoundTripGivesTheSameBytes) {
  const TemporaryDirectory directory;
  Copy(GgufFile::Open(Demo()), directory / "copy.gguf");
  EXPECT_TRUE(ReadFile(Demo()) == ReadFile(directory / "copy.gguf"));
  EXPECT_EQ(directory.file_count(), 1U);
}

// Every type of value, odd tensor sizes and an alignment of its own.
std::string EveryType() {
  GgufBytes b(2, 18);
  b.Key("general.alignment", GgufType::kUint32).Put(uint32_t{64});
  b.Key("u8", GgufType::kUint8).Put(uint8_t{200});
  b.Key("i8", GgufType::kInt8).Put(int8_t{-100});
  b.Key("u16", GgufType::kUint16).Put(uint16_t{60000});
  b.Key("i16", GgufType::kInt16).Put(int16_t{-30000});
  b.Key("i32", GgufType::kInt32).Put(int32_t{-5});
  b.Key("u64", GgufType::kUint64).Put(UINT64_MAX);
  b.Key("i64", GgufType::kInt64).Put(INT64_MIN);
  b.Key("f32", GgufType::kFloat32).Put(0.1F);
  b.Key("f64", GgufType::kFloat64).Put(0.1);
  b.Key("bool", GgufType::kBool).Put(uint8_t{1});
  b.Key("string", GgufType::kString).Text(std::string_view("zero\0 and \xFF", 11));
  b.Key("empty", GgufType::kArray).Put(uint32_t{4}).Put(uint64_t{0});
  b.Key("u16s", GgufType::kArray).Put(uint32_t{2}).Put(uint64_t{2}).Put(uint16_t{7}).Put(uint16_t{65535});
  b.Key("f64s", GgufType::kArray).Put(uint32_t{12}).Put(uint64_t{1}).Put(2.5);
  b.Key("bools", GgufType::kArray).Put(uint32_t{7}).Put(uint64_t{3}).Put(uint8_t{1}).Put(uint8_t{0}).Put(uint8_t{1});
  b.Key("strings", GgufType::kArray).Put(uint32_t{8}).Put(uint64_t{2}).Text("a").Text("");
  b.Key("nested", GgufType::kArray).Put(uint32_t{9}).Put(uint64_t{2});
  b.Put(uint32_t{5}).Put(uint64_t{1}).Put(int32_t{-1});
  b.Put(uint32_t{8}).Put(uint64_t{1}).Text("deep");
  b.Tensor("one", {3}, 0, 0).Tensor("two", {32, 2}, 8, 64);
  b.Data(64 + 128, 64);
  return b.str();
}

TEST(Gguf, EveryMetadataTypeSurvivesARoundTrip) {
  const TemporaryDirectory directory;
  WriteBytes(directory / "in.gguf", EveryType());
  const GgufFile file = GgufFile::Open(directory / "in.gguf");
  EXPECT_EQ(file.alignment(), 64U);
  Copy(file, directory / "out.gguf");
  EXPECT_TRUE(ReadFile(directory / "out.gguf") == EveryType());
}

TEST(Gguf, IntegersConvertWhenTheyFitAndSayWhenTheyDoNot) {
  const std::string bytes = EveryType();
  const GgufFile file = GgufFile::Parse({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, "x");
  EXPECT_EQ(file.GetUint("u8"), 200U);
  EXPECT_EQ(file.GetUint("u64"), UINT64_MAX);
  EXPECT_EQ(file.FindUint("absent"), std::nullopt);
  EXPECT_EQ(file.FindBool("bool"), true);
  EXPECT_THAT(file.FindInts("u16s"), ElementsAre(7, 65535));
  EXPECT_THAT(file.FindInts("bools"), ElementsAre(1, 0, 1));
  EXPECT_THAT(file.FindFloats("f64s"), ElementsAre(2.5F));
  EXPECT_THAT(file.FindStrings("strings"), ElementsAre("a", ""));
  EXPECT_THAT(MessageOf([&] { file.FindUint("i32"); }), HasSubstr("'i32' is not an integer of 0 or more"));
  EXPECT_THAT(MessageOf([&] { file.FindUint("f32"); }), HasSubstr("'f32'"));
  EXPECT_THAT(MessageOf([&] { file.FindUint("bool"); }), HasSubstr("'bool'"));
  EXPECT_THAT(MessageOf([&] { file.FindFloat("string"); }), HasSubstr("not a floating-point number"));
  EXPECT_THAT(MessageOf([&] { file.FindInts("strings"); }), HasSubstr("not an array of integers"));
  EXPECT_THAT(MessageOf([&] { file.FindStrings("u16s"); }), HasSubstr("not an array of strings"));
  EXPECT_THAT(MessageOf([&] { file.GetString("absent"); }), HasSubstr("'absent' is missing"));
}

TEST(Gguf, Version2Reads) {
  GgufBytes b(1, 0, 2);
  b.Tensor("t", {8}, 0, 0).Data(32);
  EXPECT_EQ(GgufFile::Parse(b.span(), "x").FindTensor("t")->data.size(), 32U);
}

TEST(Gguf, TheWriterLeavesNothingBehindUnlessFinished) {
  const TemporaryDirectory directory;
  {
    GgufWriter writer(directory / "out.gguf", {}, {{"t", {4}, Format::kF32}});
    const std::vector<uint8_t> data(16);
    writer.WriteData(std::span(data).first(7));
    EXPECT_THROW(writer.Finish(), Error);
    EXPECT_THROW(writer.WriteData(std::span(data).first(10)), Error);
    writer.WriteData(std::span(data).first(9));
    EXPECT_THROW(writer.WriteData(std::span(data).first(1)), Error);
  }
  EXPECT_EQ(directory.file_count(), 0U);
}

TEST(Gguf, SetMetadataReplacesOrAppends) {
  GgufMetadata metadata;
  SetMetadata(metadata, "a", GgufValue::Of(uint32_t{1}));
  SetMetadata(metadata, "b", GgufValue::Of("text"));
  SetMetadata(metadata, "a", GgufValue::Of(true));
  ASSERT_EQ(metadata.size(), 2U);
  EXPECT_EQ(metadata[0].second.type, GgufType::kBool);
  EXPECT_EQ(metadata[1].second.type, GgufType::kString);
}

// A part of a split model with one tensor of its own.
std::string Part(uint16_t number, uint16_t count, int32_t tensors, std::string_view tensor) {
  GgufBytes b(1, 3);
  b.Key("split.no", GgufType::kUint16).Put(number);
  b.Key("split.count", GgufType::kUint16).Put(count);
  b.Key("split.tensors.count", GgufType::kInt32).Put(tensors);
  b.Tensor(tensor, {4}, 0, 0).Data(16);
  return b.str();
}

TEST(GgufSplit, OpensAllPartsFromTheFirst) {
  const TemporaryDirectory directory;
  WriteBytes(directory / "m-00001-of-00003.gguf", Part(0, 3, 3, "a"));
  WriteBytes(directory / "m-00002-of-00003.gguf", Part(1, 3, 3, "b"));
  WriteBytes(directory / "m-00003-of-00003.gguf", Part(2, 3, 3, "c"));
  const GgufFile file = GgufFile::Open(directory / "m-00001-of-00003.gguf");
  ASSERT_EQ(file.tensors().size(), 3U);
  EXPECT_EQ(file.tensors()[2].name, "c");
  EXPECT_NE(file.FindTensor("b"), nullptr);
  EXPECT_EQ(file.file_bytes(), 3 * Part(0, 3, 3, "a").size());
}

TEST(GgufSplit, AModelIsCalledWithoutTheNumberOfItsPart) {
  EXPECT_EQ(ModelStem("/models/m-00001-of-00002.gguf"), "m");
  EXPECT_EQ(ModelStem("m.gguf"), "m");
  for (const char* whole : {"best-of-3", "12-of-3", "-12-of-3", "m-1-of-", "of-3", ""}) {
    EXPECT_EQ(ModelStem(std::string(whole) + ".gguf"), whole[0] != '\0' ? whole : ".gguf");
  }
}

TEST(GgufSplit, SaysWhatIsWrongWithTheParts) {
  const TemporaryDirectory directory;
  const auto open = [&](std::string_view name) { return MessageOf([&] { GgufFile::Open(directory / name); }); };
  WriteBytes(directory / "m-00001-of-00002.gguf", Part(0, 2, 2, "a"));
  EXPECT_THAT(open("m-00001-of-00002.gguf"), HasSubstr("part 2 of 2 is missing"));
  WriteBytes(directory / "m-00002-of-00002.gguf", Part(1, 2, 2, "a"));
  EXPECT_THAT(open("m-00001-of-00002.gguf"), HasSubstr("'a' is there twice"));
  EXPECT_THAT(open("m-00002-of-00002.gguf"), HasSubstr("name the first part"));
  EXPECT_THAT(open("m-00002-of-00002.gguf"), HasSubstr("m-00001-of-00002.gguf"));
  WriteBytes(directory / "m-00002-of-00002.gguf", Part(0, 2, 2, "b"));
  EXPECT_THAT(open("m-00001-of-00002.gguf"), HasSubstr("belongs to another model"));
  WriteBytes(directory / "m-00002-of-00002.gguf", Part(1, 2, 2, "b"));
  WriteBytes(directory / "m-00001-of-00002.gguf", Part(0, 2, 5, "a"));
  EXPECT_THAT(open("m-00001-of-00002.gguf"), HasSubstr("2 tensors together, but split.tensors.count says 5"));
  WriteBytes(directory / "renamed.gguf", Part(0, 2, 2, "a"));
  EXPECT_THAT(open("renamed.gguf"), HasSubstr("-00001-of-00002.gguf"));
}

}  // namespace
}  // namespace assay
