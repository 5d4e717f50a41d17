// Every architecture of the table builds a spec from its file, and refuses files that do not fit.

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/file.h"
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
  EXPECT_NE(a.gate.tensor, nullptr);
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
  explicit ChangedFile(const std::filesystem::path& path = kModels / "tiny-qwen35-draft.gguf")
      : source_(GgufFile::Open(path)), metadata_(source_.metadata()) {
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

// A file for each architecture: the tiny models with known answers, and the bundled ones for the others.
const std::map<std::string, std::filesystem::path>& FileOfEach() {
  static const std::map<std::string, std::filesystem::path> files = [] {
    std::map<std::string, std::filesystem::path> found;
    for (const auto& folder : {kModels, std::filesystem::path(ASSAY_SOURCE_DIR) / "tests" / "data" / "arch"}) {
      for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (entry.path().extension() != ".gguf") continue;
        found[GgufFile::Open(entry.path()).GetString("general.architecture")] = entry.path();
      }
    }
    return found;
  }();
  return files;
}

// Everything that a description says, but for which tensors it names.
class Description {
 public:
  explicit Description(const ModelSpec& spec) {
    Add(spec.vocab, spec.width, spec.context_length, spec.norm_eps, spec.embedding_scale, spec.logit_softcap);
    Add(spec.output_norm);
    if (spec.per_layer_inputs) Add(spec.per_layer_inputs->width, spec.per_layer_inputs->table_scale);
    for (const LayerSpec& layer : spec.layers) {
      text_ += "\n";
      for (const auto* norm : {&layer.mixer_norm, &layer.post_mixer_norm, &layer.ffn_norm, &layer.post_ffn_norm}) {
        if (*norm) Add(**norm);
      }
      Add(layer.parallel, layer.residual_scale, layer.output_scale);
      if (layer.attention) Add(*layer.attention);
      if (const auto& d = layer.delta_net) {
        Add(d->key_heads, d->value_heads, d->head_dim, d->conv_window, d->neighbours_share);
      }
      if (layer.ffn) Add(static_cast<int>(layer.ffn->activation), layer.ffn->width);
      if (const auto& m = layer.moe) {
        Add(m->experts, m->used, m->width, static_cast<int>(m->activation), m->renormalise, m->scale);
        if (m->shared) Add(m->shared->width);
      }
    }
  }
  const std::string& text() const { return text_; }

 private:
  template <typename... Values>
  void Add(const Values&... values) {
    ((text_ += fmt::format("{} ", values)), ...);
  }
  void Add(const NormSpec& norm) { Add(static_cast<int>(norm.kind), norm.width, norm.eps, norm.factor); }
  void Add(const AttentionSpec& a) {
    Add(a.heads, a.kv_heads, a.head_dim, a.scale, a.softcap, a.window, a.temperature.scale, a.temperature.floor);
    Add(a.shares_kv_of, a.norms_after_rope, a.rope.dimensions, a.rope.neox, a.rope.magnitude, a.rope.short_context);
    for (const double frequency : a.rope.frequencies) Add(frequency);
    for (const double frequency : a.rope.long_frequencies) Add(frequency);
    for (const auto* norm : {&a.q_norm, &a.k_norm, &a.v_norm}) {
      if (*norm) Add(**norm);
    }
  }

  std::string text_;
};

// The keys that files have below their architecture, each with a value that asks for what the files of these tests do
// not have: a step that is not there, or another number.
std::vector<std::pair<std::string_view, GgufValue>> KeysWithAMeaning() {
  const GgufValue two = GgufValue::Of(uint32_t{2}), number = GgufValue::Of(0.37F), yes = GgufValue::Of(true);
  return {{"activation.situ_beta", number},
          {"attention.causal", GgufValue::Of(false)},
          {"attention.clamp_kqv", number},
          {"attention.group_norm_epsilon", number},
          {"attention.indexer.top_k", two},
          {"attention.key_length_mla", two},
          {"attention.kv_lora_rank", two},
          {"attention.max_alibi_bias", number},
          {"attention.output_scale", number},
          {"attention.q_lora_rank", two},
          {"attention.recurrent_layers", two},
          {"attention.relative_buckets_count", two},
          {"attention.scale", number},
          {"attention.shared_kv_layers", two},
          {"attention.sliding_window", GgufValue::Of(uint32_t{7})},
          {"attention.sliding_window_pattern", GgufValue::Of(uint32_t{1})},
          {"attention.temperature_length", two},
          {"attention.temperature_scale", number},
          {"attention.value_scale", number},
          {"attn_logit_softcapping", number},
          {"embedding_length_out", two},
          {"embedding_length_per_layer_input", two},
          {"embedding_scale", number},
          {"expert_chunk_feed_forward_length", two},
          {"expert_gating_func", two},
          {"expert_group_count", two},
          {"expert_group_scale", number},
          {"expert_group_used_count", two},
          {"expert_shared_count", two},
          {"expert_weights_norm", GgufValue::Of(false)},
          {"expert_weights_scale", number},
          {"experts_per_group", two},
          {"final_logit_softcapping", number},
          {"hidden_activation", GgufValue::Of("relu")},
          {"interleave_moe_layer_step", two},
          {"leading_dense_block_count", two},
          {"logit_scale", number},
          {"moe_every_n_layers", two},
          {"n_deepstack_layers", two},
          {"num_loops", two},
          {"residual_scale", number},
          {"rope.dimension_count", two},
          {"rope.dimension_sections", GgufValue::Of(std::vector<int32_t>{1, 1, 0, 0})},
          {"rope.freq_base", GgufValue::Of(77.0F)},
          {"rope.scale_linear", GgufValue::Of(3.0F)},
          {"rope.scaling.alpha", number},
          {"rope.scaling.attn_factor", number},
          {"rope.scaling.factor", GgufValue::Of(3.0F)},
          {"rope.scaling.type", GgufValue::Of("dynamic")},
          {"rope.scaling.yarn_attn_factor", number},
          {"rope.scaling.yarn_ext_factor", number},
          {"router_logit_softcapping", number},
          {"shortconv.l_cache", two},
          {"ssm.dt_b_c_rms", yes},
          {"swiglu_clamp_exp", GgufValue::Of(std::vector<float>{7.0F})},
          {"use_parallel_residual", yes},
          {"a_key_of_tomorrow", two}};
}

// Keys that change nothing beside what the files of these tests say already, and why they may.
struct Silent {
  std::string_view architecture;  // all where empty
  std::string_view key;
  std::string_view reason;
};
constexpr Silent kSilent[] = {
    {"", "rope.scale_linear", "rope.scaling.factor is there too, or the type is 'none'"},
    {"command-r", "rope.scaling.factor", "the type is 'none'"},
    {"cohere2", "rope.scaling.factor", "the type is 'none'"},
    {"hunyuan-dense", "rope.scaling.factor", "the type is 'none'"},
    {"exaone4", "attention.sliding_window_pattern", "full layers alone: their rope_freqs.weight is refused"},
    {"gemma2", "attention.sliding_window_pattern", "full layers alone: attention.sliding_window is refused"},
    {"qwen2moe", "expert_weights_norm", "false is what these models have"},
    {"qwen35", "rope.dimension_sections", "of a text all positions are equal"},
    {"qwen35moe", "rope.dimension_sections", "of a text all positions are equal"},
    {"qwen3next", "rope.dimension_sections", "of a text all positions are equal"},
    {"stablelm", "use_parallel_residual", "the tensors say it"},
};

bool MayBeSilent(std::string_view architecture, std::string_view key) {
  return std::any_of(std::begin(kSilent), std::end(kSilent), [&](const Silent& silent) {
    return silent.key == key && (silent.architecture.empty() || silent.architecture == architecture);
  });
}

// Converters may write a number for each layer where all are the same.
TEST(Architectures, ANumberForEachLayerIsTheNumber) {
  const std::string key = "llama.attention.head_count_kv";
  ChangedFile plain(kModels / "tiny-llama-Q8_0.gguf");
  const std::string description = Description(BuildSpec(plain.Write())).text();
  ChangedFile equal(kModels / "tiny-llama-Q8_0.gguf");
  SetMetadata(equal.metadata(), key, GgufValue::Of(std::vector<int32_t>{2, 2, 2}));
  EXPECT_EQ(Description(BuildSpec(equal.Write())).text(), description);
  ChangedFile other(kModels / "tiny-llama-Q8_0.gguf");
  SetMetadata(other.metadata(), key, GgufValue::Of(std::vector<int32_t>{2, 1, 2}));
  EXPECT_NE(MessageOf(other.Write(), ErrorKind::kBadFile).find("blk.1.attn_k.weight has shape"), std::string::npos);
  ChangedFile few(kModels / "tiny-llama-Q8_0.gguf");
  SetMetadata(few.metadata(), key, GgufValue::Of(std::vector<int32_t>{2, 2}));
  EXPECT_NE(MessageOf(few.Write(), ErrorKind::kBadFile).find(key), std::string::npos);
}

TEST(Architectures, Gemma3WithoutAWindowSeesEverythingInEachLayer) {
  ChangedFile changed(kModels / "tiny-gemma3-Q8_0.gguf");
  std::erase_if(changed.metadata(), [](const auto& entry) { return entry.first == "gemma3.attention.sliding_window"; });
  const GgufFile file = changed.Write();
  const ModelSpec spec = BuildSpec(file);
  for (const LayerSpec& layer : spec.layers) {
    EXPECT_EQ(layer.attention->window, 0);
    EXPECT_EQ(layer.attention->rope.frequencies, spec.layers.back().attention->rope.frequencies);
  }
}

class EveryArchitecture : public testing::TestWithParam<std::string_view> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(FileOfEach().contains(std::string(GetParam()))) << "no tiny model shows this architecture";
  }
  const std::filesystem::path& File() const { return FileOfEach().at(std::string(GetParam())); }
};

TEST_P(EveryArchitecture, SaysOneMixerAndOneNetworkForEachLayer) {
  const GgufFile file = GgufFile::Open(File());
  const ModelSpec spec = BuildSpec(file);
  EXPECT_EQ(spec.architecture, GetParam());
  for (const LayerSpec& layer : spec.layers) {
    EXPECT_NE(layer.attention.has_value(), layer.delta_net.has_value());
    EXPECT_NE(layer.ffn.has_value(), layer.moe.has_value());
  }
}

// No hyperparameter that changes the result is left out silently: a key is refused by its name, or the description says
// it.
TEST_P(EveryArchitecture, SaysWhatAKeyAsksForOrRefusesItByName) {
  const GgufFile plain = GgufFile::Open(File());
  const std::string before = Description(BuildSpec(plain)).text();
  for (const auto& [key, value] : KeysWithAMeaning()) {
    const std::string name = fmt::format("{}.{}", GetParam(), key);
    ChangedFile changed(File());
    SetMetadata(changed.metadata(), name, value);
    const GgufFile file = changed.Write();
    try {
      const std::string after = Description(BuildSpec(file)).text();
      EXPECT_TRUE(after != before || MayBeSilent(GetParam(), key)) << name << " changes nothing";
    } catch (const Error& error) {
      // Whoever does as the key says may find that the file's tensors do not fit.
      const bool named = std::string_view(error.what()).find(key) != std::string_view::npos;
      EXPECT_TRUE(named || error.kind() == ErrorKind::kBadFile || MayBeSilent(GetParam(), key))
          << name << " is not named: " << error.what();
    }
  }
}

// No epsilon is right for all models: a file that does not say its own is not guessed for.
TEST_P(EveryArchitecture, NeedsTheEpsilonOfItsNorms) {
  ChangedFile changed(File());
  std::erase_if(changed.metadata(), [](const auto& entry) { return entry.first.ends_with("_epsilon"); });
  EXPECT_NE(MessageOf(changed.Write(), ErrorKind::kBadFile).find("_epsilon' is missing"), std::string::npos);
}

// As many prediction heads as blocks leave no model.
TEST_P(EveryArchitecture, RefusesToBeAllPredictionHeads) {
  ChangedFile changed(File());
  SetMetadata(changed.metadata(), fmt::format("{}.nextn_predict_layers", GetParam()), GgufValue::Of(uint32_t{100}));
  EXPECT_NE(MessageOf(changed.Write(), ErrorKind::kBadFile).find("prediction heads"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(All, EveryArchitecture, testing::ValuesIn(KnownArchitectures()), [](const auto& test) {
  std::string name(test.param);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

// Words of sources, in lower case: letters, digits and underscores.
std::set<std::string> WordsBelow(const std::filesystem::path& folder) {
  std::set<std::string> words;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_regular_file() || name.ends_with("_test.cc")) continue;
    std::string word;
    for (const char c : ReadFile(entry.path()) + " ") {
      if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_') {
        word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      } else if (!word.empty()) {
        words.insert(std::exchange(word, ""));
      }
    }
  }
  return words;
}

TEST(Architectures, NoEngineAndNoBackendNamesOne) {
  std::set<std::string> words;
  for (const char* folder : {"engine", "backend"}) {
    words.merge(WordsBelow(std::filesystem::path(ASSAY_SOURCE_DIR) / "src" / folder));
  }
  ASSERT_TRUE(words.contains("attention"));
  for (const std::string_view architecture : KnownArchitectures()) {
    std::string name(architecture);
    std::replace(name.begin(), name.end(), '-', '_');
    EXPECT_FALSE(words.contains(name)) << name;
    // "qwen3moe", and "qwen3" and "qwen" of it.
    for (size_t length = 3; length < name.size(); ++length) {
      const bool version = std::isdigit(static_cast<unsigned char>(name[length])) != 0 ||
                           std::isdigit(static_cast<unsigned char>(name[length - 1])) != 0;
      EXPECT_FALSE(version && words.contains(name.substr(0, length))) << name.substr(0, length);
    }
  }
}

}  // namespace
}  // namespace assay
