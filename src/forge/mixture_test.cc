#include "forge/mixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/error.h"

namespace assay {
namespace {

// The tensors of a qwen35 file.
struct Qwen35 {
  int layers;
  uint64_t width, ffn, vocab, query_width, kv_width, key_width, value_width, value_heads;

  std::vector<MixtureTensor> Tensors() const {
    std::vector<MixtureTensor> tensors;
    const auto add = [&tensors](const std::string& name, std::vector<uint64_t> shape) {
      const bool vector = shape.size() == 1 || name.find("conv1d") != std::string::npos;
      tensors.push_back({name, std::move(shape), vector ? Format::kF32 : Format::kF16});
    };
    add("token_embd.weight", {width, vocab});
    add("output_norm.weight", {width});
    for (int layer = 0; layer < layers; ++layer) {
      const std::string prefix = "blk." + std::to_string(layer) + ".";
      add(prefix + "attn_norm.weight", {width});
      add(prefix + "post_attention_norm.weight", {width});
      if (layer % 4 == 3) {
        add(prefix + "attn_q.weight", {width, 2 * query_width});
        add(prefix + "attn_k.weight", {width, kv_width});
        add(prefix + "attn_v.weight", {width, kv_width});
        add(prefix + "attn_output.weight", {query_width, width});
        add(prefix + "attn_q_norm.weight", {64});
      } else {
        add(prefix + "attn_qkv.weight", {width, 2 * key_width + value_width});
        add(prefix + "attn_gate.weight", {width, value_width});
        add(prefix + "ssm_conv1d.weight", {4, 2 * key_width + value_width});
        add(prefix + "ssm_dt.bias", {value_heads});
        add(prefix + "ssm_a", {value_heads});
        add(prefix + "ssm_alpha.weight", {width, value_heads});
        add(prefix + "ssm_beta.weight", {width, value_heads});
        add(prefix + "ssm_norm.weight", {128});
        add(prefix + "ssm_out.weight", {value_width, width});
      }
      add(prefix + "ffn_gate.weight", {width, ffn});
      add(prefix + "ffn_up.weight", {width, ffn});
      add(prefix + "ffn_down.weight", {ffn, width});
    }
    return tensors;
  }
};

constexpr Qwen35 kLargeQwen35{32, 2560, 9216, 248320, 4096, 1024, 2048, 4096, 32};
constexpr MixtureFacts kFacts4B{.block_count = 32, .head_count = 16, .head_count_kv = 4};
constexpr Qwen35 kTiny{8, 256, 1024, 4096, 256, 64, 128, 256, 4};
constexpr MixtureFacts kFactsTiny{.block_count = 8, .head_count = 4, .head_count_kv = 1};

std::map<Format, int> Counts(const std::vector<MixtureChoice>& choices) {
  std::map<Format, int> counts;
  for (const MixtureChoice& choice : choices) counts[choice.format] += choice.eligible ? 1 : 0;
  std::erase_if(counts, [](const auto& entry) { return entry.second == 0; });
  return counts;
}

// The layers whose tensor of this name takes the format.
std::vector<int> LayersAt(Format format, std::string_view name, const std::vector<MixtureTensor>& tensors,
                          const std::vector<MixtureChoice>& choices) {
  std::vector<int> layers;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (choices[i].format == format && tensors[i].name.ends_with(name))
      layers.push_back(std::stoi(tensors[i].name.substr(4)));
  }
  return layers;
}

Format FormatOf(Rung rung, const MixtureFacts& facts, const MixtureTensor& tensor) {
  return ChooseMixture(rung, facts, std::vector<MixtureTensor>{tensor, {"output.weight", {256, 256}}}).front().format;
}

// Bytes of all tensors as a file holds them, each padded to 32.
uint64_t PaddedBytes(const std::vector<MixtureTensor>& tensors, const std::vector<MixtureChoice>& choices) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (!choices[i].eligible) continue;
    uint64_t elements = 1;
    for (const uint64_t size : tensors[i].shape) elements *= size;
    bytes += (BytesOf(TraitsOf(choices[i].format), elements) + 31) / 32 * 32;
  }
  return bytes;
}

TEST(Mixture, Qwen35_4BHasTheCountsOfPublishedFiles) {
  const std::vector<MixtureTensor> tensors = kLargeQwen35.Tensors();
  const auto counts = [&](Rung rung) { return Counts(ChooseMixture(rung, kFacts4B, tensors)); };
  using Expected = std::map<Format, int>;
  EXPECT_EQ(counts(Rung::kQ4_K_M), (Expected{{Format::kQ4_K, 203}, {Format::kQ5_K, 24}, {Format::kQ6_K, 22}}));
  // Q6_K: 24 attn_qkv, 5 attn_v, 16 ffn_down, the embedding.
  EXPECT_EQ(counts(Rung::kQ5_K_M), (Expected{{Format::kQ5_K, 203}, {Format::kQ6_K, 46}}));
  // Q5_K: 2 attn_v, 2 ffn_down; Q4_K: 24 attn_qkv, 6 attn_v, 8 attn_output, 30 ffn_down.
  EXPECT_EQ(counts(Rung::kQ3_K_M),
            (Expected{{Format::kQ3_K, 176}, {Format::kQ4_K, 68}, {Format::kQ5_K, 4}, {Format::kQ6_K, 1}}));
  // Q4_K: 8 attn_v; Q3_K: 8 attn_output, 32 ffn_down.
  EXPECT_EQ(counts(Rung::kQ2_K),
            (Expected{{Format::kQ2_K, 200}, {Format::kQ3_K, 40}, {Format::kQ4_K, 8}, {Format::kQ6_K, 1}}));
  EXPECT_EQ(counts(Rung::kQ6_K), (Expected{{Format::kQ6_K, 249}}));
  EXPECT_EQ(counts(Rung::kQ8_0), (Expected{{Format::kQ8_0, 249}}));
  EXPECT_EQ(counts(Rung::kQ4_0), (Expected{{Format::kQ4_0, 248}, {Format::kQ6_K, 1}}));
  EXPECT_EQ(counts(Rung::kF16), (Expected{{Format::kF16, 249}}));
}

TEST(Mixture, MoreBitsGoToTheEndsAndEveryThirdBetween) {
  const std::vector<MixtureTensor> tensors = kLargeQwen35.Tensors();
  const std::vector<MixtureChoice> choices = ChooseMixture(Rung::kQ4_K_M, kFacts4B, tensors);
  // attn_v counts 0..7 among 32 projections, so 0, 1, 2, 3 and 6 rise: layers 4 i + 3.
  EXPECT_THAT(LayersAt(Format::kQ6_K, ".attn_v.weight", tensors, choices), testing::ElementsAre(3, 7, 11, 15, 27));
  EXPECT_THAT(LayersAt(Format::kQ6_K, ".ffn_down.weight", tensors, choices),
              testing::ElementsAre(0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31));
}

TEST(Mixture, TheOrderInTheFileDoesNotMatter) {
  std::vector<MixtureTensor> tensors = kLargeQwen35.Tensors();
  const std::vector<MixtureChoice> choices = ChooseMixture(Rung::kQ4_K_M, kFacts4B, tensors);
  std::ranges::reverse(tensors);
  const std::vector<MixtureChoice> reversed = ChooseMixture(Rung::kQ4_K_M, kFacts4B, tensors);
  for (size_t i = 0; i < choices.size(); ++i) EXPECT_EQ(choices[i].format, reversed[choices.size() - 1 - i].format);
}

// The sizes that were published with these models are of a quantiser that leaves attn_qkv at the base and gives a
// second attn_v (of shared heads, not raised by its layer) one step more; header and vectors take 201,696 bytes. By
// hand, for six attn_qkv of 512 super-blocks each and that attn_v of 64:
TEST(Mixture, TinyQwen35HasTheSizesComputedByHand) {
  constexpr uint64_t kRest = 201696;
  const std::vector<MixtureTensor> tensors = kTiny.Tensors();
  const auto bytes = [&](Rung rung) { return kRest + PaddedBytes(tensors, ChooseMixture(rung, kFactsTiny, tensors)); };
  EXPECT_EQ(bytes(Rung::kF16), 18969568U);
  EXPECT_EQ(bytes(Rung::kQ8_0), 10172128U);
  EXPECT_EQ(bytes(Rung::kQ6_K), 7899744U);
  EXPECT_EQ(bytes(Rung::kQ5_K_M), 6936032U + 6 * 512 * (210 - 176) - 64 * (210 - 176));
  EXPECT_EQ(bytes(Rung::kQ4_K_M), 6027104U + 6 * 512 * (176 - 144) - 64 * (176 - 144));
  EXPECT_EQ(bytes(Rung::kQ3_K_M), 4947936U + 6 * 512 * (144 - 110));
  EXPECT_EQ(bytes(Rung::kQ2_K), 4031072U);
}

TEST(Mixture, LeavesVectorsNormsRoutersAndConvolutionsAlone) {
  for (const auto& [name, shape] :
       std::vector<std::pair<std::string, std::vector<uint64_t>>>{{"blk.0.attn_norm.weight", {256, 4}},
                                                                  {"blk.0.ffn_gate_inp.weight", {256, 8}},
                                                                  {"blk.0.ffn_gate_inp_shexp.weight", {256}},
                                                                  {"blk.0.ffn_gate_inp_shexp.weight", {256, 1}},
                                                                  {"blk.0.ssm_conv1d.weight", {256, 4}},
                                                                  {"blk.0.ssm_a", {256, 4}},
                                                                  {"blk.0.attn_q.bias", {256, 4}},
                                                                  {"position_embd.weight", {256, 4}}}) {
    const std::vector<MixtureTensor> tensors = {{name, shape, Format::kF16}};
    const MixtureChoice choice = ChooseMixture(Rung::kQ4_K_M, kFactsTiny, tensors).front();
    EXPECT_FALSE(choice.eligible) << name;
    EXPECT_EQ(choice.format, Format::kF16) << name;
  }
}

TEST(Mixture, SharedHeadsDecideTheValuesOfQ2_K) {
  const MixtureTensor values{"blk.0.attn_v.weight", {256, 64}};
  EXPECT_EQ(FormatOf(Rung::kQ2_K, {.block_count = 8, .head_count = 16, .head_count_kv = 4}, values), Format::kQ4_K);
  EXPECT_EQ(FormatOf(Rung::kQ2_K, {.block_count = 8, .head_count = 8, .head_count_kv = 4}, values), Format::kQ3_K);
}

TEST(Mixture, EightyLayersWithSharedHeadsRaiseTheValues) {
  const MixtureTensor values{"blk.20.attn_v.weight", {8192, 1024}};
  const MixtureFacts facts{.block_count = 80, .head_count = 64, .head_count_kv = 8};
  for (const Rung rung : {Rung::kQ2_K, Rung::kQ3_K_M}) EXPECT_EQ(FormatOf(rung, facts, values), Format::kQ5_K);
}

TEST(Mixture, ExactlyEightExpertsRaiseTheAttention) {
  MixtureFacts facts{.block_count = 32, .head_count = 32, .head_count_kv = 8, .expert_count = 8};
  const MixtureTensor values{"blk.0.attn_v.weight", {4096, 1024}}, keys{"blk.0.attn_k.weight", {4096, 1024}};
  const MixtureTensor output{"blk.0.attn_output.weight", {4096, 4096}};
  for (const Rung rung : {Rung::kQ6_K, Rung::kQ5_K_M, Rung::kQ4_K_M, Rung::kQ4_0, Rung::kQ3_K_M, Rung::kQ2_K}) {
    EXPECT_EQ(FormatOf(rung, facts, values), Format::kQ8_0);
    EXPECT_EQ(FormatOf(rung, facts, keys), Format::kQ8_0);
  }
  for (const Rung rung : {Rung::kQ4_K_M, Rung::kQ3_K_M, Rung::kQ2_K})
    EXPECT_EQ(FormatOf(rung, facts, output), Format::kQ5_K);
  EXPECT_EQ(FormatOf(Rung::kQ6_K, facts, output), Format::kQ6_K);
  facts.expert_count = 128;
  EXPECT_EQ(FormatOf(Rung::kQ4_K_M, facts, keys), Format::kQ4_K);
  EXPECT_EQ(FormatOf(Rung::kQ4_K_M, facts, output), Format::kQ4_K);
}

TEST(Mixture, ExpertsAreRaisedByTheirLayersNumber) {
  const MixtureFacts facts{.block_count = 32, .head_count = 32, .head_count_kv = 8, .expert_count = 128};
  const auto at = [&](const std::string& layer) {
    return FormatOf(Rung::kQ4_K_M, facts, {"blk." + layer + ".ffn_down_exps.weight", {768, 2048, 128}});
  };
  EXPECT_EQ(at("3"), Format::kQ6_K);
  EXPECT_EQ(at("4"), Format::kQ4_K);
  EXPECT_EQ(at("6"), Format::kQ6_K);
  EXPECT_THROW(at("32"), Error);
}

TEST(Mixture, AnImportanceMatrixRaisesTheFirstEighthOfQ4_0) {
  MixtureFacts facts{.block_count = 8, .head_count = 4, .head_count_kv = 1};
  const MixtureTensor down{"blk.0.ffn_down.weight", {1024, 256}};
  EXPECT_EQ(FormatOf(Rung::kQ4_0, facts, down), Format::kQ4_0);
  facts.has_importance = true;
  EXPECT_EQ(FormatOf(Rung::kQ4_0, facts, down), Format::kQ4_1);
}

TEST(Mixture, AnUntiedEmbeddingTakesTheBase) {
  const std::vector<MixtureTensor> tensors = {{"token_embd.weight", {256, 512}}, {"output.weight", {256, 512}}};
  for (const Rung rung : {Rung::kQ4_K_M, Rung::kQ4_0}) {
    const std::vector<MixtureChoice> choices = ChooseMixture(rung, kFactsTiny, tensors);
    EXPECT_EQ(choices[0].format, TraitsOf(rung).base);
    EXPECT_EQ(choices[1].format, Format::kQ6_K);
  }
  EXPECT_EQ(ChooseMixture(Rung::kQ8_0, kFactsTiny, tensors)[1].format, Format::kQ8_0);
}

TEST(Mixture, RowsThatDoNotDivideFallBackAndSaySo) {
  EXPECT_EQ(FitToRow(Format::kQ2_K, 96), Format::kIQ4_NL);
  EXPECT_EQ(FitToRow(Format::kQ3_K, 96), Format::kIQ4_NL);
  EXPECT_EQ(FitToRow(Format::kQ4_K, 96), Format::kQ5_0);
  EXPECT_EQ(FitToRow(Format::kQ5_K, 96), Format::kQ5_1);
  EXPECT_EQ(FitToRow(Format::kQ6_K, 96), Format::kQ8_0);
  EXPECT_EQ(FitToRow(Format::kQ4_0, 96), Format::kQ4_0);
  for (const Format format : {Format::kQ2_K, Format::kQ6_K, Format::kQ8_0, Format::kQ4_0}) {
    EXPECT_EQ(FitToRow(format, 40), Format::kF16);
  }
  const std::vector<MixtureTensor> tensors = {{"blk.0.ffn_up.weight", {864, 64}}};
  const MixtureChoice choice = ChooseMixture(Rung::kQ4_K_M, kFactsTiny, tensors).front();
  EXPECT_TRUE(choice.fallback);
  EXPECT_EQ(choice.wanted, Format::kQ4_K);
  EXPECT_EQ(choice.format, Format::kQ5_0);
}

TEST(Rungs, AreFoundByNameInAnyCase) {
  EXPECT_EQ(FindRung("q4_k_m"), &TraitsOf(Rung::kQ4_K_M));
  EXPECT_EQ(FindRung("Q4_K"), nullptr);
  EXPECT_EQ(TraitsOf(Rung::kQ5_K_M).file_type, 17U);
}

}  // namespace
}  // namespace assay
