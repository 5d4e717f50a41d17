// Files that lie about themselves: each must be refused with one line that says what is wrong.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/testing/temporary_directory.h"
#include "gguf/gguf.h"
#include "gguf/testing/gguf_bytes.h"

namespace assay {
namespace {

using ::testing::AllOf;
using testing::GgufBytes;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr uint32_t kF32 = 0, kQ8_0 = 8, kQ4_K = 12;

std::string Refusal(const std::string& bytes, ErrorKind kind = ErrorKind::kBadFile) {
  try {
    GgufFile::Parse({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, "m.gguf");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_THAT(error.what(), AllOf(StartsWith("m.gguf: "), Not(HasSubstr("\n"))));
    return error.what();
  }
  return "accepted";
}

std::string Sound() {
  GgufBytes b(2, 3);
  b.Key("general.architecture", GgufType::kString).Text("qwen35");
  b.Key("list", GgufType::kArray).Put(uint32_t{8}).Put(uint64_t{2}).Text("aa").Text("bb");
  b.Key("numbers", GgufType::kArray).Put(uint32_t{4}).Put(uint64_t{1}).Put(uint32_t{9});
  b.Tensor("a", {32, 2}, kQ8_0, 0).Tensor("b", {4}, kF32, 96);
  b.Data(96 + 16);
  return b.str();
}

TEST(HostileGguf, AFileCutAtAnyByteIsRefused) {
  const std::string whole = Sound();
  ASSERT_EQ(Refusal(whole), "accepted");
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_NE(Refusal(whole.substr(0, length)), "accepted") << "cut to " << length;
  }
}

TEST(HostileGguf, ForeignFiles) {
  EXPECT_THAT(Refusal(""), HasSubstr("empty"));
  EXPECT_THAT(Refusal("PK\x03\x04 something"), HasSubstr("not a GGUF file: a zip archive"));
  EXPECT_THAT(Refusal(GgufBytes(0, 0, 1).str(), ErrorKind::kUnsupported), HasSubstr("version 1"));
  EXPECT_THAT(Refusal(GgufBytes(0, 0, 4).str(), ErrorKind::kUnsupported), HasSubstr("version 4"));
  EXPECT_THAT(Refusal(GgufBytes(0, 0, 3U << 24).str(), ErrorKind::kUnsupported), HasSubstr("big-endian"));
}

TEST(HostileGguf, WhatPeopleTakeForAModelIsCalledByItsName) {
  using std::string_literals::operator""s;
  const auto refusal = [](const std::string& bytes) { return Refusal(bytes); };
  EXPECT_THAT(refusal("version https://git-lfs.github.com/spec/v1\noid sha256:"), HasSubstr("a Git LFS pointer"));
  EXPECT_THAT(refusal("\n <!DOCTYPE HTML><html>"), HasSubstr("a web page"));
  EXPECT_THAT(refusal("<html lang=en>"), HasSubstr("a web page"));
  EXPECT_THAT(refusal("\x10\0\0\0\0\0\0\0{\"__metadata__\": {}}"s), HasSubstr("a safetensors file; convert"));
  EXPECT_THAT(refusal("{\"architectures\": []}"), HasSubstr("JSON"));
  for (const char* old : {"lmgg", "fmgg", "tjgg"}) EXPECT_THAT(refusal(old + "1234"s), HasSubstr("before GGUF"));
  EXPECT_THAT(refusal("algg1234"), HasSubstr("LoRA"));
  EXPECT_THAT(refusal("\x80\x02}q"), HasSubstr("PyTorch"));
  EXPECT_THAT(refusal("\x1F\x8B\x08\0"s), HasSubstr("gzip"));
  EXPECT_THAT(refusal("\xFD\x37zXZ\0"s), HasSubstr("xz"));
  EXPECT_THAT(refusal("\x28\xB5\x2F\xFD"), HasSubstr("zstd"));
  EXPECT_THAT(refusal("Once upon a time"), HasSubstr("it starts with bytes 4f6e6365"));
}

TEST(HostileGguf, FoldersAndAddressesAreNoFiles) {
  const TemporaryDirectory directory;
  const auto refusal = [](const std::filesystem::path& path) -> std::string {
    try {
      GgufFile::Open(path);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(refusal(directory / "."), HasSubstr("not a regular file"));
  testing::WriteBytes(directory / "config.json", "{}");
  EXPECT_THAT(refusal(directory / "."), HasSubstr("the folder of a checkpoint; convert"));
  EXPECT_THAT(refusal("https://example.org/model.gguf"), HasSubstr("a web address; download"));
}

TEST(HostileGguf, CountsThatDoNotFitAreRefusedBeforeAllocation) {
  EXPECT_THAT(Refusal(GgufBytes(UINT64_MAX, 0).str()), HasSubstr("tensors cannot fit"));
  EXPECT_THAT(Refusal(GgufBytes(0, UINT64_MAX).str()), HasSubstr("metadata entries cannot fit"));
  GgufBytes text(0, 1);
  text.Put(UINT64_MAX).Data(64);
  EXPECT_THAT(Refusal(text.str()), HasSubstr("needs 18446744073709551615 bytes"));
  for (const uint32_t element : {0U, 5U, 8U, 9U, 12U}) {
    GgufBytes array(0, 1);
    array.Key("k", GgufType::kArray).Put(element).Put(uint64_t{1} << 61).Data(64);
    EXPECT_THAT(Refusal(array.str()), HasSubstr("cannot fit")) << element;
  }
}

TEST(HostileGguf, Metadata) {
  GgufBytes twice(0, 2);
  twice.Key("k", GgufType::kUint32).Put(uint32_t{1}).Key("k", GgufType::kUint32).Put(uint32_t{1});
  EXPECT_THAT(Refusal(twice.str()), HasSubstr("metadata key 'k' is there twice"));
  GgufBytes type(0, 1);
  type.Text("k").Put(uint32_t{13}).Put(uint32_t{0});
  EXPECT_THAT(Refusal(type.str()), HasSubstr("unknown type 13"));
  GgufBytes truth(0, 1);
  truth.Key("k", GgufType::kBool).Put(uint8_t{2});
  EXPECT_THAT(Refusal(truth.str()), HasSubstr("bool of value 2"));
  GgufBytes empty(0, 1);
  empty.Key("", GgufType::kUint32).Put(uint32_t{0});
  EXPECT_THAT(Refusal(empty.str()), HasSubstr("empty key"));
}

TEST(HostileGguf, NestedArraysHaveABound) {
  GgufBytes nested(0, 1);
  nested.Key("k", GgufType::kArray);
  for (int i = 0; i < 100000; ++i) nested.Put(uint32_t{9}).Put(uint64_t{1});
  nested.Put(uint32_t{0}).Put(uint64_t{0});
  EXPECT_THAT(Refusal(nested.str()), HasSubstr("nests arrays more than"));
}

TEST(HostileGguf, Alignment) {
  for (const uint32_t alignment : {0U, 1U, 4U, 24U, 33U, 1U << 21, 1U << 31}) {
    GgufBytes b(0, 1);
    b.Key("general.alignment", GgufType::kUint32).Put(alignment);
    EXPECT_THAT(Refusal(b.str()), HasSubstr("not a power of two")) << alignment;
  }
  GgufBytes text(0, 1);
  text.Key("general.alignment", GgufType::kString).Text("32");
  EXPECT_THAT(Refusal(text.str()), HasSubstr("not a 32-bit unsigned integer"));
}

std::string OneTensor(std::initializer_list<uint64_t> shape, uint32_t type, uint64_t offset, size_t data) {
  GgufBytes b(1, 0);
  b.Tensor("t", shape, type, offset).Data(data);
  return b.str();
}

TEST(HostileGguf, TensorShapes) {
  EXPECT_THAT(Refusal(OneTensor({}, kF32, 0, 64)), HasSubstr("0 dimensions"));
  EXPECT_THAT(Refusal(OneTensor({1, 1, 1, 1, 1}, kF32, 0, 64)), HasSubstr("5 dimensions"));
  EXPECT_THAT(Refusal(OneTensor({4, 0}, kF32, 0, 64)), HasSubstr("dimension of 0"));
  EXPECT_THAT(Refusal(OneTensor({1ULL << 32, 1ULL << 32}, kF32, 0, 64)), HasSubstr("overflow"));
  EXPECT_THAT(Refusal(OneTensor({1ULL << 33, 1ULL << 30, 2}, kF32, 0, 64)), HasSubstr("overflow"));
  EXPECT_THAT(Refusal(OneTensor({UINT64_MAX}, kF32, 0, 64)), HasSubstr("overflow"));
  EXPECT_THAT(Refusal(OneTensor({100, 2}, kQ4_K, 0, 1024)), HasSubstr("rows of 100"));
  // Divides as a whole, not by rows.
  EXPECT_THAT(Refusal(OneTensor({128, 2}, kQ4_K, 0, 144)), HasSubstr("rows of 128"));
  EXPECT_THAT(Refusal(OneTensor({32}, 4, 0, 64), ErrorKind::kUnsupported),
              AllOf(HasSubstr("unknown type 4"), HasSubstr("Q4_K (12)")));
  EXPECT_THAT(Refusal(OneTensor({256}, 16, 0, 66), ErrorKind::kUnsupported),
              AllOf(HasSubstr("tensor 't' is IQ2_XXS (16), which Assay cannot compute with"), HasSubstr("MXFP4 (39)")));
}

TEST(HostileGguf, TypesToLookAtAreCheckedAsTheOthers) {
  const auto open = [](const std::string& bytes) {
    const auto* begin = reinterpret_cast<const uint8_t*>(bytes.data());
    return GgufFile::Parse({begin, bytes.size()}, "t", TensorTypes::kStored);
  };
  const std::string sound = OneTensor({256, 2}, 16, 0, 132);
  EXPECT_EQ(TraitsOf(open(sound).tensors()[0].format).name, "IQ2_XXS");
  EXPECT_EQ(open(sound).tensors()[0].data.size(), 132U);
  EXPECT_THROW(open(OneTensor({256, 2}, 16, 0, 131)), Error);
  EXPECT_THROW(open(OneTensor({128, 2}, 16, 0, 132)), Error);
  EXPECT_THROW(open(OneTensor({256}, 43, 0, 132)), Error);
}

TEST(HostileGguf, TensorPlaces) {
  EXPECT_EQ(Refusal(OneTensor({16}, kF32, 64, 128)), "accepted");
  EXPECT_THAT(Refusal(OneTensor({16}, kF32, 64, 127)), HasSubstr("needs 64 bytes at offset 64 of 127"));
  EXPECT_THAT(Refusal(OneTensor({16}, kF32, 65, 192)), HasSubstr("not a multiple of 32"));
  // offset + size wraps to a small number
  EXPECT_THAT(Refusal(OneTensor({16}, kF32, UINT64_MAX - 31, 192)), HasSubstr("truncated or damaged"));
  GgufBytes overlap(2, 0);
  overlap.Tensor("a", {16}, kF32, 0).Tensor("b", {16}, kF32, 32).Data(96);
  EXPECT_THAT(Refusal(overlap.str()), HasSubstr("'a' and 'b' overlap"));
  GgufBytes twice(2, 0);
  twice.Tensor("a", {8}, kF32, 0).Tensor("a", {8}, kF32, 32).Data(64);
  EXPECT_THAT(Refusal(twice.str()), HasSubstr("tensor 'a' is there twice"));
}

}  // namespace
}  // namespace assay
