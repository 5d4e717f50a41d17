#include "model/digest.h"
#include "base/testing/temporary_directory.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "gguf/testing/gguf_bytes.h"

namespace assay {
namespace {

struct Piece {
  std::string name;
  std::vector<uint64_t> shape;
  Format format;
};

class DigestTest : public ::testing::Test {
 protected:
  // A file with these tensors, whose bytes are `fill`, but for one that is changed.
  GgufFile Make(const std::vector<Piece>& pieces, uint32_t file_type, size_t changed = SIZE_MAX) {
    GgufMetadata metadata;
    SetMetadata(metadata, "general.file_type", GgufValue::Of(file_type));
    std::vector<GgufTensorInfo> infos;
    infos.reserve(pieces.size());
    for (const Piece& piece : pieces) infos.push_back({piece.name, piece.shape, piece.format});
    GgufWriter writer(directory_ / "m.gguf", metadata, infos);
    size_t at = 0;
    for (const GgufTensorInfo& info : infos) {
      std::vector<uint8_t> data(info.bytes(), 0);
      if (changed >= at && changed - at < data.size()) data[changed - at] = 1;
      at += data.size();
      writer.WriteData(data);
    }
    writer.Finish();
    return GgufFile::Open(directory_ / "m.gguf");
  }

  TemporaryDirectory directory_;
};

TEST_F(DigestTest, EveryByteOfEveryTensorCounts) {
  const std::vector<Piece> pieces = {{"a.weight", {37, 3}, Format::kF32}, {"b.weight", {1}, Format::kF32}};
  std::set<std::string> digests;
  constexpr size_t kBytes = (37 * 3 + 1) * 4;
  for (size_t changed = 0; changed < kBytes; ++changed) digests.insert(FileDigest(Make(pieces, 0, changed)));
  digests.insert(FileDigest(Make(pieces, 0)));
  EXPECT_EQ(digests.size(), kBytes + 1);
  EXPECT_EQ(digests.begin()->size(), 32U);
  EXPECT_EQ(FileDigest(Make(pieces, 0)), FileDigest(Make(pieces, 0)));
}

TEST_F(DigestTest, MetadataNamesShapesAndFormatsCount) {
  std::set<std::string> digests;
  for (const Piece& piece : {Piece{"a", {8, 4}, Format::kF32}, Piece{"b", {8, 4}, Format::kF32},
                             Piece{"a", {4, 8}, Format::kF32}, Piece{"a", {8, 8}, Format::kF16}}) {
    digests.insert(FileDigest(Make({piece}, 0)));
    digests.insert(FileDigest(Make({piece}, 1)));
  }
  EXPECT_EQ(digests.size(), 8U);
}

TEST_F(DigestTest, TheMixIsByBytesLargestFirst) {
  const GgufFile file =
      Make({{"n", {2}, Format::kF32}, {"a", {256, 60}, Format::kQ4_K}, {"b", {256, 20}, Format::kQ6_K}}, 15);
  EXPECT_EQ(TensorMix(file), "Q4_K 67%, Q6_K 33%, F32 <1%");
  EXPECT_EQ(TensorMix(Make({}, 0)), "");
}

TEST_F(DigestTest, TheFileTypeIsBelievedOnlyWhenTheWeightsAreOfIt) {
  const Piece f16{"blk.0.w", {256, 8}, Format::kF16}, q4{"blk.0.w", {256, 8}, Format::kQ4_K};
  EXPECT_EQ(QuantName(Make({q4}, 15)), "Q4_K_M");
  EXPECT_EQ(QuantName(Make({q4}, 14)), "Q4_K_S");
  EXPECT_EQ(QuantName(Make({q4}, 22)), "Q4_K") << "IQ3_XS, which is no rung";
  EXPECT_EQ(QuantName(Make({f16}, 7)), "F16") << "says Q8_0";
  EXPECT_EQ(QuantName(Make({f16}, 1)), "F16");
  EXPECT_EQ(QuantName(Make({q4, {"token_embd.weight", {256, 90}, Format::kQ6_K}}, 15)), "Q4_K_M")
      << "a large embedding is of another format by the mixture's rules";
  EXPECT_EQ(QuantName(Make({{"blk.0.w", {96, 8}, Format::kQ5_0}}, 15)), "Q4_K_M") << "rows of 96: the fallback";
  EXPECT_EQ(QuantName(Make({{"blk.0.w", {256, 8}, Format::kQ5_0}}, 15)), "Q5_0");
}

}  // namespace
}  // namespace assay
