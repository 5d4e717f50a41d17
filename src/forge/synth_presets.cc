#include "forge/synth_presets.h"

#include <fmt/format.h>

#include <utility>

namespace assay {
namespace {

// From the models' published configurations (config.json on Hugging Face, as converted GGUF files repeat them).
// Qwen3.5 has head size 256 with RoPE over 64 dimensions, every fourth layer full attention, delta-net heads of 128;
// its 0.8B, 2B and 4B share embedding and output.
constexpr SynthPreset kPresets[] = {
    {.name = "qwen35-0.8B",
     .architecture = "qwen35",
     .layers = 24,
     .width = 1024,
     .heads = 8,
     .kv_heads = 2,
     .head_dim = 256,
     .ffn = 3584,
     .vocab = 248320,
     .context = 262144,
     .tied = true,
     .rope_base = 1e7F,
     .key_heads = 16,
     .value_heads = 16},
    {.name = "qwen35-2B",
     .architecture = "qwen35",
     .layers = 24,
     .width = 2048,
     .heads = 8,
     .kv_heads = 2,
     .head_dim = 256,
     .ffn = 6144,
     .vocab = 248320,
     .context = 262144,
     .tied = true,
     .rope_base = 1e7F,
     .key_heads = 16,
     .value_heads = 16},
    {.name = "qwen35-4B",
     .architecture = "qwen35",
     .layers = 32,
     .width = 2560,
     .heads = 16,
     .kv_heads = 4,
     .head_dim = 256,
     .ffn = 9216,
     .vocab = 248320,
     .context = 262144,
     .tied = true,
     .rope_base = 1e7F,
     .key_heads = 16,
     .value_heads = 32},
    {.name = "qwen35-9B",
     .architecture = "qwen35",
     .layers = 32,
     .width = 4096,
     .heads = 16,
     .kv_heads = 4,
     .head_dim = 256,
     .ffn = 12288,
     .vocab = 248320,
     .context = 262144,
     .tied = false,
     .rope_base = 1e7F,
     .key_heads = 16,
     .value_heads = 32},
    {.name = "qwen35moe-35B-A3B",
     .architecture = "qwen35moe",
     .layers = 40,
     .width = 2048,
     .heads = 16,
     .kv_heads = 2,
     .head_dim = 256,
     .ffn = 0,
     .vocab = 248320,
     .context = 262144,
     .tied = false,
     .rope_base = 1e7F,
     .key_heads = 16,
     .value_heads = 32,
     .experts = 256,
     .used = 8,
     .expert_ffn = 512},
    {.name = "qwen3-8B",
     .architecture = "qwen3",
     .layers = 36,
     .width = 4096,
     .heads = 32,
     .kv_heads = 8,
     .head_dim = 128,
     .ffn = 12288,
     .vocab = 151936,
     .context = 40960,
     .tied = false,
     .rope_base = 1e6F},
    {.name = "gemma3-4B",
     .architecture = "gemma3",
     .layers = 34,
     .width = 2560,
     .heads = 8,
     .kv_heads = 4,
     .head_dim = 256,
     .ffn = 10240,
     .vocab = 262144,
     .context = 131072,
     .tied = true,
     .rope_base = 1e6F,
     .window = 1024,
     .rope_factor = 8.0F},
};

constexpr int kDeltaHead = 128;
constexpr int kConvWindow = 4;
constexpr int kFullInterval = 4;
constexpr int kPartialRope = 64;
constexpr std::string_view kEndToken = "<|im_end|>";

bool IsHybrid(const SynthPreset& preset) { return preset.key_heads > 0; }

// Collects the tensors of one model.
class TensorList {
 public:
  explicit TensorList(const SynthPreset& preset) : p_(preset) {}

  std::vector<SynthTensor> Build() {
    Add("token_embd.weight", {p_.width, p_.vocab});
    Add("output_norm.weight", {p_.width}, SynthKind::kNorm);
    if (!p_.tied) Add("output.weight", {p_.width, p_.vocab});
    for (int layer = 0; layer < p_.layers; ++layer) {
      prefix_ = fmt::format("blk.{}.", layer);
      AddNorms();
      if (IsHybrid(p_) && (layer + 1) % kFullInterval != 0) {
        AddDeltaNet();
      } else {
        AddAttention();
      }
      if (p_.experts > 0) {
        AddExperts();
      } else {
        AddFfn();
      }
    }
    return std::move(tensors_);
  }

 private:
  void Add(std::string_view name, std::initializer_list<int> shape, SynthKind kind = SynthKind::kMatrix) {
    tensors_.push_back({prefix_ + std::string(name), {shape.begin(), shape.end()}, kind});
  }

  void AddNorms() {
    Add("attn_norm.weight", {p_.width}, SynthKind::kNorm);
    if (IsHybrid(p_) || p_.window > 0) Add("post_attention_norm.weight", {p_.width}, SynthKind::kNorm);
    if (!IsHybrid(p_)) Add("ffn_norm.weight", {p_.width}, SynthKind::kNorm);
    if (p_.window > 0) Add("post_ffw_norm.weight", {p_.width}, SynthKind::kNorm);
  }

  void AddDeltaNet() {
    const int values = p_.value_heads * kDeltaHead;
    const int mixed = 2 * p_.key_heads * kDeltaHead + values;
    Add("attn_qkv.weight", {p_.width, mixed});
    Add("attn_gate.weight", {p_.width, values});
    Add("ssm_conv1d.weight", {kConvWindow, mixed});
    Add("ssm_dt.bias", {p_.value_heads}, SynthKind::kStep);
    Add("ssm_a", {p_.value_heads}, SynthKind::kDecay);
    Add("ssm_beta.weight", {p_.width, p_.value_heads});
    Add("ssm_alpha.weight", {p_.width, p_.value_heads});
    Add("ssm_norm.weight", {kDeltaHead}, SynthKind::kNorm);
    Add("ssm_out.weight", {values, p_.width});
  }

  void AddAttention() {
    const int queries = p_.heads * p_.head_dim;
    Add("attn_q.weight", {p_.width, IsHybrid(p_) ? 2 * queries : queries});  // the hybrids' has the output gate in it
    Add("attn_k.weight", {p_.width, p_.kv_heads * p_.head_dim});
    Add("attn_v.weight", {p_.width, p_.kv_heads * p_.head_dim});
    Add("attn_output.weight", {queries, p_.width});
    Add("attn_q_norm.weight", {p_.head_dim}, SynthKind::kNorm);
    Add("attn_k_norm.weight", {p_.head_dim}, SynthKind::kNorm);
  }

  void AddFfn() {
    Add("ffn_gate.weight", {p_.width, p_.ffn});
    Add("ffn_up.weight", {p_.width, p_.ffn});
    Add("ffn_down.weight", {p_.ffn, p_.width});
  }

  void AddExperts() {
    Add("ffn_gate_inp.weight", {p_.width, p_.experts});
    Add("ffn_gate_exps.weight", {p_.width, p_.expert_ffn, p_.experts});
    Add("ffn_up_exps.weight", {p_.width, p_.expert_ffn, p_.experts});
    Add("ffn_down_exps.weight", {p_.expert_ffn, p_.width, p_.experts});
    Add("ffn_gate_shexp.weight", {p_.width, p_.expert_ffn});
    Add("ffn_up_shexp.weight", {p_.width, p_.expert_ffn});
    Add("ffn_down_shexp.weight", {p_.expert_ffn, p_.width});
    Add("ffn_gate_inp_shexp.weight", {p_.width});
  }

  const SynthPreset& p_;
  std::string prefix_;
  std::vector<SynthTensor> tensors_;
};

// How byte-level vocabularies write a byte (see text/byte_alphabet.h), as UTF-8.
std::string ByteText(int byte) {
  const auto printable = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b != 173); };
  int point = byte;
  if (!printable(byte)) {
    point = 256;
    for (int before = 0; before < byte; ++before) point += printable(before) ? 0 : 1;
  }
  if (point < 0x80) return {static_cast<char>(point)};
  return {static_cast<char>(0xC0 | point >> 6), static_cast<char>(0x80 | (point & 0x3F))};
}

// The bytes, the pairs of small letters (which the merges make, alone and after a space), then made-up words of four
// letters that no merge makes but that a model with random weights says.
void AddVocabulary(const SynthPreset& preset, GgufMetadata& metadata) {
  constexpr int kLetters = 26;
  const std::string space = ByteText(' ');
  const auto letter = [](int i) { return std::string(1, static_cast<char>('a' + i % kLetters)); };
  std::vector<std::string> tokens, merges;
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(ByteText(byte));
  for (int i = 0; i < kLetters * kLetters; ++i) {
    tokens.push_back(letter(i / kLetters) + letter(i));
    merges.push_back(letter(i / kLetters) + " " + letter(i));
  }
  for (int i = 0; i < kLetters; ++i) {
    tokens.push_back(space + letter(i));
    merges.push_back(space + " " + letter(i));
  }
  const auto vocab = static_cast<size_t>(preset.vocab);
  for (int i = 0; tokens.size() + 1 < vocab; ++i) {
    tokens.push_back(space + letter(i / (kLetters * kLetters * kLetters)) + letter(i / (kLetters * kLetters)) +
                     letter(i / kLetters) + letter(i));
  }
  tokens.emplace_back(kEndToken);
  constexpr int32_t kNormal = 1, kControl = 3;
  std::vector<int32_t> types(vocab, kNormal);
  types.back() = kControl;
  const uint32_t end = static_cast<uint32_t>(vocab) - 1;
  SetMetadata(metadata, "tokenizer.ggml.model", GgufValue::Of("gpt2"));
  SetMetadata(metadata, "tokenizer.ggml.pre", GgufValue::Of(IsHybrid(preset) ? "qwen35" : "qwen2"));
  SetMetadata(metadata, "tokenizer.ggml.tokens", GgufValue::Of(std::move(tokens)));
  SetMetadata(metadata, "tokenizer.ggml.token_type", GgufValue::Of(types));
  SetMetadata(metadata, "tokenizer.ggml.merges", GgufValue::Of(std::move(merges)));
  SetMetadata(metadata, "tokenizer.ggml.eos_token_id", GgufValue::Of(end));
  SetMetadata(metadata, "tokenizer.ggml.padding_token_id", GgufValue::Of(end));
  SetMetadata(metadata, "tokenizer.ggml.add_bos_token", GgufValue::Of(false));
}

}  // namespace

std::span<const SynthPreset> SynthPresets() { return kPresets; }

std::vector<SynthTensor> SynthTensors(const SynthPreset& preset) { return TensorList(preset).Build(); }

GgufMetadata SynthMetadata(const SynthPreset& preset) {
  GgufMetadata metadata;
  SetMetadata(metadata, "general.architecture", GgufValue::Of(std::string(preset.architecture)));
  SetMetadata(metadata, "general.name", GgufValue::Of(fmt::format("{} with random weights", preset.name)));
  const auto set = [&](std::string_view key, GgufValue value) {
    SetMetadata(metadata, fmt::format("{}.{}", preset.architecture, key), std::move(value));
  };
  const auto number = [&](std::string_view key, int value) { set(key, GgufValue::Of(static_cast<uint32_t>(value))); };
  number("block_count", preset.layers);
  number("context_length", preset.context);
  number("embedding_length", preset.width);
  if (preset.ffn > 0) number("feed_forward_length", preset.ffn);
  number("attention.head_count", preset.heads);
  number("attention.head_count_kv", preset.kv_heads);
  number("attention.key_length", preset.head_dim);
  number("attention.value_length", preset.head_dim);
  set("attention.layer_norm_rms_epsilon", GgufValue::Of(1e-6F));
  set("rope.freq_base", GgufValue::Of(preset.rope_base));
  if (preset.rope_factor != 1.0F) {
    set("rope.scaling.type", GgufValue::Of("linear"));
    set("rope.scaling.factor", GgufValue::Of(preset.rope_factor));
  }
  if (preset.window > 0) number("attention.sliding_window", preset.window);
  if (IsHybrid(preset)) {
    number("rope.dimension_count", kPartialRope);
    set("rope.dimension_sections", GgufValue::Of(std::vector<int32_t>{11, 11, 10, 0}));
    number("ssm.conv_kernel", kConvWindow);
    number("ssm.state_size", kDeltaHead);
    number("ssm.group_count", preset.key_heads);
    number("ssm.time_step_rank", preset.value_heads);
    number("ssm.inner_size", preset.value_heads * kDeltaHead);
    number("full_attention_interval", kFullInterval);
  }
  if (preset.experts > 0) {
    number("expert_count", preset.experts);
    number("expert_used_count", preset.used);
    number("expert_feed_forward_length", preset.expert_ffn);
    number("expert_shared_feed_forward_length", preset.expert_ffn);
  }
  AddVocabulary(preset, metadata);
  return metadata;
}

}  // namespace assay
