#include "forge/synth.h"
#include "base/testing/temporary_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "gguf/testing/gguf_bytes.h"
#include "model/model_spec.h"

namespace assay {
namespace {

// A preset's architecture at a size that a test can write.
SynthPreset Small(const SynthPreset& preset) {
  SynthPreset small = preset;
  small.layers = 4;
  small.width = 256;
  small.heads = 4;
  small.kv_heads = 2;
  small.head_dim = 128;
  if (small.ffn > 0) small.ffn = 512;
  small.vocab = 2048;
  if (small.key_heads > 0) small.key_heads = small.value_heads = 2;
  if (small.experts > 0) small.experts = 4, small.used = 2, small.expert_ffn = 256;
  return small;
}

class SynthPresetTest : public ::testing::TestWithParam<SynthPreset> {};

void ExpectLoads(const SynthPreset& small, Rung rung) {
  const TemporaryDirectory directory;
  SynthOptions options;
  options.rung = rung;
  const SynthResult result = SynthModel(small, directory / "m.gguf", options);
  EXPECT_EQ(result.bytes, std::filesystem::file_size(directory / "m.gguf"));
  const std::unique_ptr<Model> model = Model::Open(directory / "m.gguf");
  EXPECT_EQ(model->spec.layers.size(), 4U);
  EXPECT_EQ(model->spec.tied(), small.tied);
  const std::string text = "the cat: 12 \xE4\xBD\xA0\xF0\x9F\x98\x80\n\xFF";
  EXPECT_EQ(model->tokenizer->Decode(model->tokenizer->Encode(text, true), true), text);
}

TEST_P(SynthPresetTest, LoadsAndTakesText) { ExpectLoads(Small(GetParam()), Rung::kQ4_K_M); }

TEST(Synth, EveryRungLoads) {
  for (const RungTraits& rung : Rungs()) ExpectLoads(Small(FindSynthPreset("qwen35", "0.8B")), rung.rung);
}

TEST(Synth, AHybridOfTooFewLayersForAttentionLoads) {
  const TemporaryDirectory directory;
  SynthPreset small = Small(FindSynthPreset("qwen35", "0.8B"));
  small.layers = 2;
  SynthModel(small, directory / "m.gguf", {});
  const std::unique_ptr<Model> model = Model::Open(directory / "m.gguf");
  ASSERT_EQ(model->spec.layers.size(), 2U);
  EXPECT_FALSE(model->spec.layers[1].attention.has_value());
}

TEST_P(SynthPresetTest, WeightsAreFiniteAndOfTheStatedSpread) {
  const TemporaryDirectory directory;
  SynthModel(Small(GetParam()), directory / "m.gguf", {});
  const GgufFile file = GgufFile::Open(directory / "m.gguf");
  for (const GgufTensor& tensor : file.tensors()) {
    std::vector<float> values(tensor.elements());
    TraitsOf(tensor.format).decode(tensor.data.data(), values.data(), static_cast<int64_t>(values.size()));
    double squares = 0.0;
    for (const float value : values) {
      ASSERT_TRUE(std::isfinite(value)) << tensor.name;
      squares += static_cast<double>(value) * value;
    }
    if (tensor.name.ends_with("ssm_a")) {
      EXPECT_LT(*std::max_element(values.begin(), values.end()), 0.0F);
    }
    // The sample variance of n normal values has a relative deviation of sqrt(2 / n); pieces repeat in large tensors,
    // of which the pool's 2^16 values count.
    if (tensor.shape.size() < 2) continue;
    const double n = std::min(static_cast<double>(values.size()), 0x1p16);
    const double variance = squares / static_cast<double>(values.size()) * static_cast<double>(tensor.row_length());
    EXPECT_NEAR(variance, 1.0, 6.0 * std::sqrt(2.0 / n)) << tensor.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Presets, SynthPresetTest, ::testing::ValuesIn(SynthPresets().begin(), SynthPresets().end()),
                         [](const auto& param_info) {
                           std::string name(param_info.param.name);
                           std::replace_if(
                               name.begin(), name.end(), [](char c) { return !std::isalnum(c); }, '_');
                           return name;
                         });

uint64_t Parameters(const SynthPreset& preset) {
  uint64_t sum = 0;
  for (const SynthTensor& tensor : SynthTensors(preset)) {
    uint64_t elements = 1;
    for (const uint64_t dimension : tensor.shape) elements *= dimension;
    sum += elements;
  }
  return sum;
}

// The published counts of the text models (the 4B's by the size of its published F16 file, 8.42 GB).
TEST(Synth, PresetsHaveThePublishedSizes) {
  const auto billions = [](std::string_view name) {
    return static_cast<double>(Parameters(FindSynthPreset("", name))) / 1e9;
  };
  EXPECT_NEAR(billions("qwen35-0.8B"), 0.75, 0.01);
  EXPECT_NEAR(billions("qwen35-2B"), 1.88, 0.02);
  EXPECT_NEAR(billions("qwen35-4B"), 4.21, 0.02);
  EXPECT_NEAR(billions("qwen35-9B"), 8.95, 0.05);
  EXPECT_NEAR(billions("qwen35moe-35B-A3B"), 34.7, 0.5);
  EXPECT_NEAR(billions("qwen3-8B"), 8.19, 0.01);
  EXPECT_NEAR(billions("gemma3-4B"), 3.88, 0.01);
}

TEST(Synth, TheSeedAloneDecidesTheBytes) {
  const TemporaryDirectory directory;
  const SynthPreset small = Small(FindSynthPreset("qwen35", "0.8B"));
  SynthOptions options;
  options.rung = Rung::kQ4_K_M;
  SynthModel(small, directory / "a", options);
  SynthModel(small, directory / "b", options);
  options.seed = 2;
  SynthModel(small, directory / "c", options);
  EXPECT_TRUE(ReadFile(directory / "a") == ReadFile(directory / "b"));
  EXPECT_FALSE(ReadFile(directory / "a") == ReadFile(directory / "c"));
}

TEST(Synth, LayersOverrideThePreset) {
  const TemporaryDirectory directory;
  SynthOptions options;
  options.layers = 2;
  SynthModel(Small(FindSynthPreset("qwen3", "qwen3-8B")), directory / "m.gguf", options);
  EXPECT_EQ(Model::Open(directory / "m.gguf")->spec.layers.size(), 2U);
}

TEST(Synth, UnknownPresetsAreListed) {
  EXPECT_THROW(FindSynthPreset("qwen35", "8B"), Error);
  EXPECT_THROW(FindSynthPreset("qwen3", "qwen35-0.8B"), Error);
  EXPECT_EQ(FindSynthPreset("qwen35", "0.8B").name, FindSynthPreset("", "qwen35-0.8B").name);
}

}  // namespace
}  // namespace assay
