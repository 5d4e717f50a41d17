#include "forge/quantize.h"
#include "base/testing/temporary_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "base/error.h"
#include "base/rng.h"
#include "forge/imatrix.h"
#include "gguf/testing/gguf_bytes.h"
#include "model/model_spec.h"

namespace assay {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::WriteBytes;

std::filesystem::path Demo() { return std::filesystem::path(ASSAY_SOURCE_DIR) / "models" / "tiny-qwen35-draft.gguf"; }

std::string MessageOf(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

struct Matrix {
  std::string name;
  std::vector<uint64_t> shape;
  std::vector<float> values;
};

Matrix RandomMatrix(std::string name, std::vector<uint64_t> shape, uint64_t seed) {
  Matrix matrix{std::move(name), std::move(shape), {}};
  uint64_t elements = 1;
  for (const uint64_t dimension : matrix.shape) elements *= dimension;
  Rng rng(seed);
  for (uint64_t i = 0; i < elements; ++i) matrix.values.push_back(static_cast<float>(rng.Normal()));
  return matrix;
}

std::span<const uint8_t> AsBytes(const std::vector<float>& values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(float)};
}

// An F32 file of an architecture that only the mixture rules need to know.
void WriteModel(const std::filesystem::path& path, const std::vector<Matrix>& matrices) {
  GgufMetadata metadata;
  SetMetadata(metadata, "general.architecture", GgufValue::Of("llama"));
  SetMetadata(metadata, "llama.block_count", GgufValue::Of(uint32_t{1}));
  SetMetadata(metadata, "llama.attention.head_count", GgufValue::Of(uint32_t{1}));
  SetMetadata(metadata, "split.count", GgufValue{GgufType::kUint16, uint64_t{1}});
  std::vector<GgufTensorInfo> infos;
  infos.reserve(matrices.size());
  for (const Matrix& matrix : matrices) infos.push_back({matrix.name, matrix.shape, Format::kF32});
  GgufWriter writer(path, metadata, infos);
  for (const Matrix& matrix : matrices) writer.WriteData(AsBytes(matrix.values));
  writer.Finish();
}

std::vector<uint8_t> Encode(const FormatTraits& format, const std::vector<float>& values, uint64_t row_length,
                            const std::function<const float*(uint64_t)>& importance) {
  std::vector<uint8_t> out(BytesOf(format, values.size()));
  for (uint64_t row = 0; row < values.size() / row_length; ++row) {
    format.encode(values.data() + row * row_length, out.data() + row * BytesOf(format, row_length),
                  static_cast<int64_t>(row_length), importance(row));
  }
  return out;
}

TEST(Quantize, EncodesEachRowAndDropsWhatBelongsToTheSplit) {
  const TemporaryDirectory directory;
  const Matrix gate = RandomMatrix("blk.0.ffn_gate.weight", {512, 300}, 1);
  const Matrix norm = RandomMatrix("blk.0.attn_norm.weight", {512}, 2);
  WriteModel(directory / "in.gguf", {gate, norm});
  const GgufFile in = GgufFile::Open(directory / "in.gguf");
  QuantizeOptions options;
  options.threads = 3;
  const QuantizeResult result = QuantizeModel(in, directory / "out.gguf", Rung::kQ4_K_M, options);
  const GgufFile out = GgufFile::Open(directory / "out.gguf");
  EXPECT_EQ(result.bytes_out, out.file_bytes());
  EXPECT_EQ(out.GetUint("general.file_type"), 15U);
  EXPECT_EQ(out.GetUint("general.quantization_version"), 2U);
  EXPECT_EQ(out.Find("split.count"), nullptr);
  const GgufTensor& encoded = *out.FindTensor(gate.name);
  EXPECT_EQ(encoded.format, Format::kQ4_K);
  const auto none = [](uint64_t) -> const float* { return nullptr; };
  EXPECT_TRUE(std::ranges::equal(encoded.data, Encode(TraitsOf(Format::kQ4_K), gate.values, 512, none)));
  EXPECT_TRUE(std::ranges::equal(out.FindTensor(norm.name)->data, AsBytes(norm.values)));
}

TEST(Quantize, TheBytesDoNotDependOnThreads) {
  const TemporaryDirectory directory;
  const GgufFile in = GgufFile::Open(Demo());
  for (const int threads : {1, 2, 5}) {
    QuantizeOptions options;
    options.threads = threads;
    QuantizeModel(in, directory / std::to_string(threads), Rung::kQ3_K_M, options);
  }
  EXPECT_TRUE(ReadFile(directory / "1") == ReadFile(directory / "2"));
  EXPECT_TRUE(ReadFile(directory / "1") == ReadFile(directory / "5"));
}

TEST(Quantize, ADryRunTellsTheSizeAndWritesNothing) {
  const TemporaryDirectory directory;
  const GgufFile in = GgufFile::Open(Demo());
  QuantizeOptions options;
  options.dry_run = true;
  const QuantizeResult dry = QuantizeModel(in, directory / "out.gguf", Rung::kQ6_K, options);
  EXPECT_EQ(directory.file_count(), 0U);
  options.dry_run = false;
  QuantizeModel(in, directory / "out.gguf", Rung::kQ6_K, options);
  EXPECT_EQ(dry.bytes_out, std::filesystem::file_size(directory / "out.gguf"));
  EXPECT_EQ(dry.bytes_in, std::filesystem::file_size(Demo()));
}

TEST(Quantize, SaysInOneLineWhichRowsFellBackAndWhy) {
  const TemporaryDirectory directory;
  WriteModel(directory / "in.gguf",
             {RandomMatrix("output.weight", {96, 8}, 1), RandomMatrix("blk.0.ffn_gate.weight", {96, 4}, 1),
              RandomMatrix("blk.0.ffn_up.weight", {96, 4}, 1), RandomMatrix("blk.0.ffn_down.weight", {40, 4}, 1),
              RandomMatrix("blk.0.attn_q.weight", {256, 4}, 1)});
  const QuantizeResult result =
      QuantizeModel(GgufFile::Open(directory / "in.gguf"), directory / "out.gguf", Rung::kQ4_K_S, {});
  EXPECT_THAT(result.notes,
              ElementsAre("4 of 5 tensors fell back, since rows of 40, 96 do not divide into the blocks wanted: "
                          "1 F16 instead of Q4_K, 2 Q5_0 instead of Q4_K, 1 Q8_0 instead of Q6_K (first "
                          "output.weight)"));
  EXPECT_EQ(GgufFile::Open(directory / "out.gguf").tensors()[1].format, Format::kQ5_0);
}

// The formats of the tensors of a kind, layer by layer.
std::vector<Format> FormatsOf(const GgufFile& file, std::string_view name) {
  std::vector<Format> formats;
  for (int layer = 0;; ++layer) {
    bool any = false;
    for (const GgufTensor& tensor : file.tensors()) {
      const std::string prefix = "blk." + std::to_string(layer) + ".";
      if (!tensor.name.starts_with(prefix)) continue;
      any = true;
      if (tensor.name.ends_with(name)) formats.push_back(tensor.format);
    }
    if (!any) return formats;
  }
}

// docs/formats.md: which overrides give the mixtures of the study's time.
TEST(Quantize, OverridesGiveTheMixturesOfTheStudysTime) {
  const TemporaryDirectory directory;
  const GgufFile in = GgufFile::Open(std::filesystem::path(ASSAY_SOURCE_DIR) / "models" / "tiny-qwen35.gguf");
  const auto with = [&](Rung rung, std::vector<TypeOverride> overrides) {
    QuantizeOptions options;
    options.overrides = std::move(overrides);
    QuantizeModel(in, directory / "out.gguf", rung, options);
    const GgufFile out = GgufFile::Open(directory / "out.gguf");
    return std::pair(FormatsOf(out, ".attn_qkv.weight"), FormatsOf(out, ".attn_v.weight"));
  };
  const auto expected = [](Format fused, Format first, Format second) {
    return std::pair(std::vector(6, fused), std::vector{first, second});
  };
  EXPECT_EQ(
      with(Rung::kQ4_K_M, {{"attn_qkv", Format::kQ5_K}, {"blk.3.attn_v", Format::kQ6_K}, {"attn_v", Format::kQ4_K}}),
      expected(Format::kQ5_K, Format::kQ6_K, Format::kQ4_K));
  EXPECT_EQ(with(Rung::kQ3_K_M, {{"attn_qkv", Format::kQ4_K}, {"attn_v", Format::kQ5_K}}),
            expected(Format::kQ4_K, Format::kQ5_K, Format::kQ5_K));
  EXPECT_EQ(with(Rung::kQ2_K, {{"attn_qkv", Format::kQ2_K}}), expected(Format::kQ2_K, Format::kQ4_K, Format::kQ4_K));
}

TEST(Quantize, TheFirstOverrideThatMatchesWins) {
  const TemporaryDirectory directory;
  WriteModel(directory / "in.gguf",
             {RandomMatrix("blk.0.ffn_gate.weight", {256, 4}, 1), RandomMatrix("blk.0.ffn_up.weight", {256, 4}, 2),
              RandomMatrix("blk.0.attn_q.weight", {256, 4}, 3)});
  const GgufFile in = GgufFile::Open(directory / "in.gguf");
  QuantizeOptions options;
  options.overrides = {{"ffn_g.te", Format::kQ6_K}, {"ffn_", Format::kF16}};
  QuantizeModel(in, directory / "out.gguf", Rung::kQ4_K_M, options);
  const GgufFile out = GgufFile::Open(directory / "out.gguf");
  EXPECT_EQ(out.tensors()[0].format, Format::kQ6_K);
  EXPECT_EQ(out.tensors()[1].format, Format::kF16);
  EXPECT_EQ(out.tensors()[2].format, Format::kQ4_K);
  options.overrides = {{"attn_z", Format::kQ6_K}};
  EXPECT_THAT(MessageOf([&] { QuantizeModel(in, directory / "no.gguf", Rung::kQ4_K_M, options); }),
              HasSubstr("'attn_z'"));
  options.overrides = {{"(", Format::kQ6_K}};
  EXPECT_THAT(MessageOf([&] { QuantizeModel(in, directory / "no.gguf", Rung::kQ4_K_M, options); }),
              HasSubstr("not a regular expression"));
  EXPECT_FALSE(std::filesystem::exists(directory / "no.gguf"));
}

TEST(Quantize, NamesTheFirstWeightThatIsNotFinite) {
  const TemporaryDirectory directory;
  Matrix gate = RandomMatrix("blk.0.ffn_gate.weight", {256, 2000}, 1);
  gate.values[300007] = std::numeric_limits<float>::infinity();
  gate.values[123456] = std::numeric_limits<float>::quiet_NaN();
  WriteModel(directory / "in.gguf", {gate});
  const GgufFile in = GgufFile::Open(directory / "in.gguf");
  QuantizeOptions options;
  options.threads = 2;
  EXPECT_THAT(MessageOf([&] { QuantizeModel(in, directory / "out.gguf", Rung::kQ8_0, options); }),
              HasSubstr("weight 123456 of tensor 'blk.0.ffn_gate.weight' is nan"));
  EXPECT_EQ(directory.file_count(), 1U);
}

TEST(Quantize, RefusesWeightsThatHalfPrecisionCannotHold) {
  const TemporaryDirectory directory;
  Matrix gate = RandomMatrix("blk.0.ffn_gate.weight", {256, 2}, 1);
  gate.values[7] = 70000.0F;
  WriteModel(directory / "in.gguf", {gate});
  const GgufFile in = GgufFile::Open(directory / "in.gguf");
  EXPECT_THAT(MessageOf([&] { QuantizeModel(in, directory / "out.gguf", Rung::kF16, {}); }),
              HasSubstr("weight 7 of tensor 'blk.0.ffn_gate.weight' is 70000, which F16 cannot hold"));
}

TEST(Quantize, RefusesToOverwriteItsSource) {
  const TemporaryDirectory directory;
  std::filesystem::copy(Demo(), directory / "a.gguf");
  const GgufFile in = GgufFile::Open(directory / "a.gguf");
  std::filesystem::create_symlink(directory / "a.gguf", directory / "b.gguf");
  EXPECT_THAT(MessageOf([&] { QuantizeModel(in, directory / "b.gguf", Rung::kQ8_0, {}); }), HasSubstr("source itself"));
}

TEST(Quantize, AQuantisedSourceWorksWithANote) {
  const TemporaryDirectory directory;
  QuantizeModel(GgufFile::Open(Demo()), directory / "q8.gguf", Rung::kQ8_0, {});
  const GgufFile q8 = GgufFile::Open(directory / "q8.gguf");
  EXPECT_THAT(QuantizeModel(q8, directory / "q4.gguf", Rung::kQ4_K_M, {}).notes,
              Contains(HasSubstr("quantised already")));
  EXPECT_THAT(QuantizeModel(q8, directory / "same.gguf", Rung::kQ8_0, {}).notes, IsEmpty());
  EXPECT_TRUE(ReadFile(directory / "same.gguf") == ReadFile(directory / "q8.gguf"));
}

// The old binary format: sums over `calls` calls.
std::string LegacyMatrix(const std::string& tensor, int32_t calls, const std::vector<float>& sums) {
  std::string out;
  const auto put = [&](int32_t value) { out.append(reinterpret_cast<const char*>(&value), sizeof(value)); };
  put(1);
  put(static_cast<int32_t>(tensor.size()));
  out += tensor;
  put(calls);
  put(static_cast<int32_t>(sums.size()));
  out.append(reinterpret_cast<const char*>(sums.data()), sums.size() * sizeof(float));
  put(100);
  put(4);
  return out + "wiki";
}

TEST(Imatrix, ReadsBothFormatsAlike) {
  const TemporaryDirectory directory;
  const std::vector<uint64_t> shape = {4, 3};
  WriteBytes(directory / "old.dat", LegacyMatrix("t", 2, {2, 4, 6, 8}));
  GgufMetadata metadata;
  SetMetadata(metadata, "imatrix.datasets", GgufValue::Of(std::vector<std::string>{"wiki"}));
  SetMetadata(metadata, "imatrix.chunk_count", GgufValue::Of(uint32_t{100}));
  {
    GgufWriter writer(directory / "new.gguf", metadata,
                      {{"t.in_sum2", {4, 1}, Format::kF32}, {"t.counts", {1, 1}, Format::kF32}});
    writer.WriteData(AsBytes({2, 4, 6, 8}));
    writer.WriteData(AsBytes({2}));
    writer.Finish();
  }
  for (const char* name : {"old.dat", "new.gguf"}) {
    const ImportanceMatrix matrix = ImportanceMatrix::Load(directory / name);
    EXPECT_THAT(matrix.Find("t", shape), ElementsAre(1, 2, 3, 4)) << name;
    EXPECT_THAT(matrix.Find("other", shape), IsEmpty());
    EXPECT_EQ(matrix.dataset(), "wiki");
    EXPECT_EQ(matrix.chunks(), 100);
    EXPECT_THAT(MessageOf([&] { matrix.Find("t", {5, 3}); }), HasSubstr("has 4 values for 't', which has 5 columns"));
    EXPECT_THAT(MessageOf([&] { matrix.Find("t", {4, 3, 2}); }), HasSubstr("8 columns"));
  }
}

TEST(Imatrix, AnExpertThatNoTokenMetWeighsItsColumnsTheSame) {
  const TemporaryDirectory directory;
  GgufWriter writer(directory / "m.gguf", {},
                    {{"e.in_sum2", {2, 2}, Format::kF32}, {"e.counts", {1, 2}, Format::kF32}});
  writer.WriteData(AsBytes({6, 9, 0, 0}));
  writer.WriteData(AsBytes({3, 0}));
  writer.Finish();
  EXPECT_THAT(ImportanceMatrix::Load(directory / "m.gguf").Find("e", {2, 5, 2}), ElementsAre(2, 3, 1, 1));
}

TEST(Imatrix, RefusesWhatIsNoImportanceMatrix) {
  const TemporaryDirectory directory;
  const std::string sound = LegacyMatrix("t", 2, {2, 4, 6, 8});
  const auto load = [&](const std::string& bytes) {
    WriteBytes(directory / "m.dat", bytes);
    return MessageOf([&] { ImportanceMatrix::Load(directory / "m.dat"); });
  };
  EXPECT_EQ(load(sound), "no error");
  for (size_t cut = 0; cut < 33; ++cut) EXPECT_NE(load(sound.substr(0, cut)), "no error") << cut;
  EXPECT_THAT(load(LegacyMatrix("t", 1, {1, -1})), HasSubstr("'t'"));
  EXPECT_THAT(load(LegacyMatrix("t", 1, {1, NAN})), HasSubstr("'t'"));
  EXPECT_THAT(load(std::string(4, '\xFF')), HasSubstr("not an importance matrix"));
  EXPECT_THAT(load(LegacyMatrix("t", 0, {2, 4})), HasSubstr("no token was counted"));
}

// Weights that are all the same are no importance, and may not be told as such.
TEST(Imatrix, SaysHowManyMatricesMetNoToken) {
  const TemporaryDirectory directory;
  const auto load = [&](const std::vector<float>& counts) {
    GgufWriter writer(directory / "m.gguf", {},
                      {{"e.in_sum2", {2, 2}, Format::kF32}, {"e.counts", {1, 2}, Format::kF32}});
    writer.WriteData(AsBytes({6, 9, 6, 9}));
    writer.WriteData(AsBytes(counts));
    writer.Finish();
    return ImportanceMatrix::Load(directory / "m.gguf");
  };
  const ImportanceMatrix half = load({3, 0});
  EXPECT_EQ(half.matrices(), 2U);
  EXPECT_EQ(half.unmet(), 1U);
  EXPECT_THAT(MessageOf([&] { load({0, 0}); }), HasSubstr("no token was counted"));
}

TEST(Quantize, RefusesTheImportanceMatrixOfAnotherModel) {
  const TemporaryDirectory directory;
  WriteModel(directory / "in.gguf", {RandomMatrix("blk.0.ffn_up.weight", {256, 3}, 1)});
  WriteBytes(directory / "m.dat", LegacyMatrix("layers.0.up", 1, std::vector<float>(256, 1.0F)));
  QuantizeOptions options;
  options.imatrix = directory / "m.dat";
  EXPECT_THAT(MessageOf([&] {
                QuantizeModel(GgufFile::Open(directory / "in.gguf"), directory / "out.gguf", Rung::kQ4_K_M, options);
              }),
              HasSubstr("made for another model"));
}

TEST(Quantize, EachExpertGetsItsOwnImportance) {
  const TemporaryDirectory directory;
  const Matrix experts = RandomMatrix("blk.0.ffn_gate_exps.weight", {256, 3, 2}, 1);
  WriteModel(directory / "in.gguf", {experts});
  std::vector<float> weights;
  weights.reserve(512);
  for (int i = 0; i < 512; ++i) weights.push_back(i < 256 ? static_cast<float>(i % 7) : static_cast<float>(i % 11));
  WriteBytes(directory / "m.dat", LegacyMatrix(experts.name, 1, weights));
  QuantizeOptions options;
  options.imatrix = directory / "m.dat";
  QuantizeModel(GgufFile::Open(directory / "in.gguf"), directory / "out.gguf", Rung::kQ4_K_M, options);
  const GgufFile out = GgufFile::Open(directory / "out.gguf");
  const auto of_row = [&](uint64_t row) { return weights.data() + (row < 3 ? 0 : 256); };
  const GgufTensor& tensor = out.tensors()[0];
  EXPECT_TRUE(std::ranges::equal(tensor.data, Encode(TraitsOf(tensor.format), experts.values, 256, of_row)));
  EXPECT_EQ(out.GetString("quantize.imatrix.dataset"), "wiki");
  EXPECT_EQ(out.GetUint("quantize.imatrix.entries_count"), 1U);
  EXPECT_EQ(out.GetUint("quantize.imatrix.chunks_count"), 100U);
}

}  // namespace
}  // namespace assay
