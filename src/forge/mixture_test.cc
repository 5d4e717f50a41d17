#include "forge/mixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "base/file.h"

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
const MixtureFacts kFacts4B{.architecture = "qwen35", .block_count = 32, .head_count = 16, .head_count_kv = 4};
constexpr Qwen35 kTiny{8, 256, 1024, 4096, 256, 64, 128, 256, 4};
const MixtureFacts kFactsTiny{.architecture = "qwen35", .block_count = 8, .head_count = 4, .head_count_kv = 1};

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

// "0-2 5" as 0, 1, 2, 5.
std::vector<int> LayersOf(const std::string& ranges) {
  std::vector<int> layers;
  std::istringstream words(ranges);
  for (std::string word; words >> word;) {
    const size_t dash = word.find('-');
    const int last = std::stoi(dash == std::string::npos ? word : word.substr(dash + 1));
    for (int layer = std::stoi(word); layer <= last; ++layer) layers.push_back(layer);
  }
  return layers;
}

// The tensors of a name in these layers, or the one of no layer.
std::vector<std::string> FullNames(const std::string& name, const std::string& ranges) {
  if (ranges.empty()) return {name + ".weight"};
  std::vector<std::string> names;
  for (const int layer : LayersOf(ranges)) names.push_back("blk." + std::to_string(layer) + "." + name + ".weight");
  return names;
}

// A model of tests/data/mixtures.json, which says where its facts come from.
struct Snapshot {
  MixtureFacts facts;
  std::vector<MixtureTensor> tensors;
  nlohmann::json rungs;

  explicit Snapshot(const nlohmann::json& model) : rungs(model["rungs"]) {
    facts = {.architecture = model["architecture"],
             .block_count = model["block_count"],
             .head_count = model["head_count"],
             .head_count_kv = model["head_count_kv"],
             .expert_count = model["expert_count"]};
    for (const auto& [name, row] : model["tensors"].items()) {
      for (const std::string& full : FullNames(name, row[2])) tensors.push_back({full, {row[0], 64, row[1]}});
    }
  }

  std::map<std::string, Format> Expected(const RungTraits& rung) const {
    const nlohmann::json& entry = rungs[std::string(rung.name)];
    std::map<std::string, Format> expected;
    for (const MixtureTensor& tensor : tensors) expected[tensor.name] = FindFormat(std::string(entry["base"]))->format;
    for (const auto& [format, names] : entry["others"].items()) {
      for (const auto& [name, layers] : names.items()) {
        for (const std::string& full : FullNames(name, layers)) expected.at(full) = FindFormat(format)->format;
      }
    }
    return expected;
  }
};

std::vector<nlohmann::json> SnapshotModels() {
  const std::string path = std::string(ASSAY_SOURCE_DIR) + "/tests/data/mixtures.json";
  return nlohmann::json::parse(ReadFile(path))["models"];
}

class MixtureSnapshotTest : public testing::TestWithParam<nlohmann::json> {};

TEST_P(MixtureSnapshotTest, EveryTensorOfEveryRungIsAsLlamaCppHasIt) {
  const Snapshot snapshot(GetParam());
  for (const RungTraits& rung : Rungs()) {
    const std::map<std::string, Format> expected = snapshot.Expected(rung);
    const std::vector<MixtureChoice> choices = ChooseMixture(rung.rung, snapshot.facts, snapshot.tensors);
    for (size_t i = 0; i < choices.size(); ++i) {
      const std::string& name = snapshot.tensors[i].name;
      EXPECT_TRUE(choices[i].eligible) << name;
      EXPECT_EQ(TraitsOf(choices[i].format).name, TraitsOf(expected.at(name)).name) << rung.name << ", " << name;
    }
  }
}

std::string SnapshotName(const testing::TestParamInfo<nlohmann::json>& info) {
  std::string name = info.param["model"];
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, MixtureSnapshotTest, testing::ValuesIn(SnapshotModels()), SnapshotName);

TEST(Mixture, Qwen35_4BHasTheCountsOfPublishedFiles) {
  const std::vector<MixtureTensor> tensors = kLargeQwen35.Tensors();
  const auto counts = [&](Rung rung) { return Counts(ChooseMixture(rung, kFacts4B, tensors)); };
  using Expected = std::map<Format, int>;
  // Q6_K: 12 attn_qkv, 4 attn_v, 16 ffn_down, the embedding.
  EXPECT_EQ(counts(Rung::kQ4_K_M), (Expected{{Format::kQ4_K, 216}, {Format::kQ6_K, 33}}));
  EXPECT_EQ(counts(Rung::kQ5_K_M), (Expected{{Format::kQ5_K, 216}, {Format::kQ6_K, 33}}));
  // Q5_K: 2 attn_qkv, 2 ffn_down; Q4_K: 22 attn_qkv, 8 attn_v, 8 attn_output, 30 ffn_down.
  EXPECT_EQ(counts(Rung::kQ3_K_M),
            (Expected{{Format::kQ3_K, 176}, {Format::kQ4_K, 68}, {Format::kQ5_K, 4}, {Format::kQ6_K, 1}}));
  // Q4_K: 24 attn_qkv, 8 attn_v; Q3_K: 8 attn_output, 32 ffn_down.
  EXPECT_EQ(counts(Rung::kQ2_K),
            (Expected{{Format::kQ2_K, 176}, {Format::kQ3_K, 40}, {Format::kQ4_K, 32}, {Format::kQ6_K, 1}}));
  EXPECT_EQ(counts(Rung::kQ6_K), (Expected{{Format::kQ6_K, 249}}));
  EXPECT_EQ(counts(Rung::kQ8_0), (Expected{{Format::kQ8_0, 249}}));
  EXPECT_EQ(counts(Rung::kQ4_0), (Expected{{Format::kQ4_0, 248}, {Format::kQ6_K, 1}}));
  EXPECT_EQ(counts(Rung::kF16), (Expected{{Format::kF16, 249}}));
  EXPECT_EQ(counts(Rung::kBF16), (Expected{{Format::kBF16, 249}}));
}

TEST(Mixture, MoreBitsGoToTheEndsAndEveryThirdBetween) {
  const std::vector<MixtureTensor> tensors = kLargeQwen35.Tensors();
  const std::vector<MixtureChoice> choices = ChooseMixture(Rung::kQ4_K_M, kFacts4B, tensors);
  // Each layer has one projection of values, so that of 0 to 31 these rise: 0 to 3, 28 to 31, and 6, 9, ... between.
  EXPECT_THAT(LayersAt(Format::kQ6_K, ".attn_v.weight", tensors, choices), testing::ElementsAre(3, 15, 27, 31));
  EXPECT_THAT(LayersAt(Format::kQ6_K, ".attn_qkv.weight", tensors, choices),
              testing::ElementsAre(0, 1, 2, 6, 9, 12, 18, 21, 24, 28, 29, 30));
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

// The sizes that were published with these models are of a quantiser that leaves attn_qkv at the base and raises the
// values of shared heads one step; header and vectors take 201,696 bytes. By hand, for attn_qkv of 512 super-blocks in
// six layers and attn_v of 64 in two, of which 0, 3, 6 and 7 take more bits:
TEST(Mixture, TinyQwen35HasTheSizesComputedByHand) {
  constexpr uint64_t kRest = 201696;
  const std::vector<MixtureTensor> tensors = kTiny.Tensors();
  const auto bytes = [&](Rung rung) { return kRest + PaddedBytes(tensors, ChooseMixture(rung, kFactsTiny, tensors)); };
  EXPECT_EQ(bytes(Rung::kF16), 18969568U);
  EXPECT_EQ(bytes(Rung::kQ8_0), 10172128U);
  EXPECT_EQ(bytes(Rung::kQ6_K), 7899744U);
  EXPECT_EQ(bytes(Rung::kQ5_K_M), 6936032U + 2 * 512 * (210 - 176));
  EXPECT_EQ(bytes(Rung::kQ4_K_M), 6027104U + 2 * 512 * (210 - 144) + 64 * (210 - 176));
  EXPECT_EQ(bytes(Rung::kQ3_K_M), 4947936U + 2 * 512 * (176 - 110) + 4 * 512 * (144 - 110) - 2 * 64 * (176 - 144));
  EXPECT_EQ(bytes(Rung::kQ2_K), 4031072U + 6 * 512 * (144 - 84));
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
                                                                  {"blk.0.indexer.k_proj.weight", {256, 4}},
                                                                  {"v.patch_embd.weight", {256, 4}},
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

TEST(Mixture, SeventyBillionParametersRaiseTheValues) {
  const MixtureTensor values{"blk.20.attn_v.weight", {8192, 1024}};
  MixtureFacts facts{.architecture = "llama", .block_count = 80, .head_count = 64, .head_count_kv = 8};
  const std::vector<Rung> rungs = {Rung::kQ2_K, Rung::kQ3_K_S, Rung::kQ3_K_M, Rung::kQ3_K_L, Rung::kQ4_K_S};
  for (const Rung rung : rungs) EXPECT_EQ(FormatOf(rung, facts, values), Format::kQ5_K) << TraitsOf(rung).name;
  facts.head_count_kv = 64;  // 65 billion
  EXPECT_EQ(FormatOf(Rung::kQ3_K_S, facts, values), Format::kQ3_K);
  facts = {.architecture = "apertus", .block_count = 80, .head_count = 64, .head_count_kv = 8};
  EXPECT_EQ(FormatOf(Rung::kQ3_K_S, facts, values), Format::kQ3_K) << "llama.cpp knows no such size of it";
}

TEST(Mixture, FalconHasExceptionsOfItsOwn) {
  const MixtureFacts facts{.architecture = "falcon", .block_count = 32, .head_count = 64, .head_count_kv = 8};
  const auto at = [&](Rung rung, const std::string& name) {
    return FormatOf(rung, facts, {"blk.0." + name + ".weight", {8192, 8192}});
  };
  EXPECT_EQ(FormatOf(Rung::kQ4_K_M, facts, {"output.weight", {8192, 8192}}), Format::kQ8_0);
  EXPECT_EQ(at(Rung::kQ3_K_M, "attn_output"), Format::kQ3_K);
  EXPECT_EQ(at(Rung::kQ3_K_L, "attn_output"), Format::kQ4_K);
  EXPECT_EQ(at(Rung::kQ4_K_S, "ffn_down"), Format::kQ4_K);
  EXPECT_EQ(at(Rung::kQ4_K_M, "attn_qkv"), Format::kQ6_K) << "as any";
}

TEST(Mixture, TheTablesOfEachLayerAreTheOutputsWhereTheyAreTied) {
  const MixtureTensor table{"per_layer_token_embd.weight", {256, 512}};
  EXPECT_EQ(ChooseMixture(Rung::kQ4_K_M, kFactsTiny, std::vector{table}).front().format, Format::kQ6_K);
  EXPECT_EQ(FormatOf(Rung::kQ4_K_M, kFactsTiny, table), Format::kQ4_K);
}

TEST(Mixture, ExactlyEightExpertsRaiseTheAttention) {
  MixtureFacts facts{.block_count = 32, .head_count = 32, .head_count_kv = 8, .expert_count = 8};
  const MixtureTensor values{"blk.0.attn_v.weight", {4096, 1024}}, keys{"blk.0.attn_k.weight", {4096, 1024}};
  const MixtureTensor output{"blk.0.attn_output.weight", {4096, 4096}};
  for (const RungTraits& rung : Rungs()) {
    if (TraitsOf(rung.base).block_size == 1) continue;
    EXPECT_EQ(FormatOf(rung.rung, facts, values), Format::kQ8_0);
    EXPECT_EQ(FormatOf(rung.rung, facts, keys), Format::kQ8_0);
  }
  for (const Rung rung : {Rung::kQ4_K_M, Rung::kQ3_K_M, Rung::kQ2_K})
    EXPECT_EQ(FormatOf(rung, facts, output), Format::kQ5_K);
  EXPECT_EQ(FormatOf(Rung::kQ6_K, facts, output), Format::kQ6_K);
  EXPECT_EQ(FormatOf(Rung::kQ3_K_L, facts, output), Format::kQ3_K) << "less than Q3_K_M";
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

TEST(Mixture, AnImportanceMatrixDecidesTheFirstEighth) {
  MixtureFacts facts{.block_count = 8, .head_count = 4, .head_count_kv = 1};
  const MixtureTensor down{"blk.0.ffn_down.weight", {1024, 256}};
  EXPECT_EQ(FormatOf(Rung::kQ4_0, facts, down), Format::kQ4_0);
  EXPECT_EQ(FormatOf(Rung::kQ5_0, facts, down), Format::kQ5_0);
  EXPECT_EQ(FormatOf(Rung::kIQ4_NL, facts, down), Format::kQ5_K);
  facts.has_importance = true;
  EXPECT_EQ(FormatOf(Rung::kQ4_0, facts, down), Format::kQ4_1);
  EXPECT_EQ(FormatOf(Rung::kQ5_0, facts, down), Format::kQ5_1);
  EXPECT_EQ(FormatOf(Rung::kIQ4_NL, facts, down), Format::kIQ4_NL);
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
  EXPECT_EQ(FitToRow(Format::kQ2_K, 96), Format::kQ4_0);
  EXPECT_EQ(FitToRow(Format::kQ3_K, 96), Format::kQ4_0);
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
