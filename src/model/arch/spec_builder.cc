#include "model/arch/spec_builder.h"

#include <charconv>
#include <cmath>

#include "base/error.h"

namespace assay {
namespace {

constexpr uint64_t kMostRows = 1U << 24U;

template <typename Range>
std::string ShapeText(const Range& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

// Trailing dimensions of 1 say nothing.
bool SameShape(const std::vector<uint64_t>& found, std::initializer_list<int> wanted) {
  size_t dimensions = found.size();
  while (dimensions > 1 && found[dimensions - 1] == 1) --dimensions;
  size_t needed = wanted.size();
  while (needed > 1 && wanted.begin()[needed - 1] == 1) --needed;
  if (dimensions != needed) return false;
  for (size_t i = 0; i < needed; ++i) {
    if (found[i] != static_cast<uint64_t>(wanted.begin()[i])) return false;
  }
  return true;
}

// 12 for "blk.12.x"; -1 for what belongs to no layer.
int LayerOf(std::string_view name) {
  constexpr std::string_view kPrefix = "blk.";
  if (!name.starts_with(kPrefix)) return -1;
  int layer = -1;
  const char* end = name.data() + name.size();
  const auto [after, error] = std::from_chars(name.data() + kPrefix.size(), end, layer);
  return error == std::errc() && after != end && *after == '.' ? layer : -1;
}

}  // namespace

SpecBuilder::SpecBuilder(const GgufFile& file, NormKind norms) : keys(file), file_(file), norms_(norms) {
  spec.architecture = file.GetString("general.architecture");
  spec.name = file.FindString("general.name").value_or(file.path().stem().string());
  spec.width = keys.Int("embedding_length");
  spec.context_length = keys.Int("context_length");
  const std::string_view eps_key =
      norms == NormKind::kRms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon";
  eps_ = spec.norm_eps = keys.Float(eps_key);
  if (eps_ < 0.0F || eps_ > 1.0F) {
    Fail(ErrorKind::kBadFile, "{}: {}.{} is {}, which no norm can use; {}", file.path().string(), spec.architecture,
         eps_key, eps_, kGetAgain);
  }
  blocks_ = keys.Int("block_count");
  layers_ = blocks_ - keys.Count("nextn_predict_layers");
  if (layers_ < 1) {
    Fail(ErrorKind::kBadFile, "{}: {} blocks of which {} are prediction heads leave no layers; {}",
         file.path().string(), blocks_, blocks_ - layers_, kGetAgain);
  }
  const GgufTensor* embedding = file.FindTensor("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2 || embedding->rows() > kMostRows) {
    Fail(ErrorKind::kBadFile, "{}: tensor token_embd.weight is missing or not a matrix; {}", file.path().string(),
         kGetAgain);
  }
  spec.vocab = static_cast<int>(embedding->rows());
  spec.token_embedding = Need("token_embd.weight", {spec.width, spec.vocab});
  spec.output_norm = NeedNorm("output_norm", spec.width);
  spec.output = Maybe("output.weight", {spec.width, spec.vocab});
  if (spec.output == nullptr) spec.output = spec.token_embedding;
  spec.output_bias = MaybeVector("output.bias", spec.vocab);
}

const GgufTensor* SpecBuilder::Maybe(const std::string& name, std::initializer_list<int> shape) {
  const GgufTensor* tensor = file_.FindTensor(name);
  if (tensor == nullptr) return nullptr;
  if (!SameShape(tensor->shape, shape)) {
    Fail(ErrorKind::kBadFile, "{}: tensor {} has shape {}, {} needs {}; {}", file_.path().string(), name,
         ShapeText(tensor->shape), spec.architecture, ShapeText(shape), kGetAgain);
  }
  used_.insert(name);
  return tensor;
}

const GgufTensor* SpecBuilder::Need(const std::string& name, std::initializer_list<int> shape) {
  const GgufTensor* tensor = Maybe(name, shape);
  if (tensor == nullptr) {
    Fail(ErrorKind::kBadFile, "{}: tensor {} is missing, {} needs it with shape {}; {}", file_.path().string(), name,
         spec.architecture, ShapeText(shape), kGetAgain);
  }
  return tensor;
}

std::string SpecBuilder::Block(int layer, std::string_view suffix) { return fmt::format("blk.{}.{}", layer, suffix); }

NormSpec SpecBuilder::PlainNorm(int width) const { return {.kind = norms_, .width = width, .eps = eps_}; }

NormSpec SpecBuilder::NeedNorm(const std::string& name, int width) {
  NormSpec norm = PlainNorm(width);
  norm.weight = Need(name + ".weight", {width});
  if (norms_ == NormKind::kLayer) norm.bias = Maybe(name + ".bias", {width});
  return norm;
}

std::optional<NormSpec> SpecBuilder::MaybeNorm(const std::string& name, int width) {
  if (!Has(name + ".weight")) return std::nullopt;
  return NeedNorm(name, width);
}

NormSpec SpecBuilder::NeedNormOfHeads(const std::string& name, int width, int heads) {
  NormSpec norm = PlainNorm(width);
  norm.weight = Need(name + ".weight", {width, heads});
  return norm;
}

LayerSpec SpecBuilder::PreNormLayer(int layer) {
  LayerSpec made;
  made.mixer_norm = NeedNorm(Block(layer, "attn_norm"), spec.width);
  made.ffn_norm = NeedNorm(Block(layer, "ffn_norm"), spec.width);
  return made;
}

void SpecBuilder::AddPostNorms(int layer, LayerSpec& made) {
  made.post_mixer_norm = NeedNorm(Block(layer, "post_attention_norm"), spec.width);
  made.post_ffn_norm = NeedNorm(Block(layer, "post_ffw_norm"), spec.width);
}

float SpecBuilder::Scalar(const std::string& name) {
  const GgufTensor* tensor = Need(name, {1});
  float value = 0.0F;
  TraitsOf(tensor->format).decode(tensor->data.data(), &value, 1);
  if (!std::isfinite(value))
    Fail(ErrorKind::kBadFile, "{}: {} is {}; {}", file_.path().string(), name, value, kGetAgain);
  return value;
}

std::string_view SpecBuilder::RopeBaseKey(bool window) const {
  constexpr std::string_view kOfWindows = "rope.freq_base_swa";
  keys.Ignore(kOfWindows);  // where no layer has a window
  return window && keys.Has(kOfWindows) ? kOfWindows : "rope.freq_base";
}

RopeSpec SpecBuilder::Rope(int head_dim, const RopeOptions& options) {
  RopeChoice choice;
  keys.Ignore("rope.freq_base");  // where all layers have a base of their own
  choice.dimensions = keys.IntOr(options.dimensions_key, head_dim);
  if (choice.dimensions > head_dim || choice.dimensions % 2 != 0) {
    Fail(ErrorKind::kBadFile, "{}: rope over {} of {} dimensions is not possible; {}", file_.path().string(),
         choice.dimensions, head_dim, kGetAgain);
  }
  choice.neox = options.neox;
  choice.base_key = options.base_key;
  choice.base = options.base;
  choice.scaled = options.scaled;
  if (options.divisors) {
    const int half = choice.dimensions / 2;
    choice.divisors = Maybe("rope_freqs.weight", {half});
    choice.long_divisors = Maybe("rope_factors_long.weight", {half});
    choice.short_divisors = Maybe("rope_factors_short.weight", {half});
    if ((choice.long_divisors == nullptr) != (choice.short_divisors == nullptr)) {
      Fail(ErrorKind::kBadFile, "{}: of rope_factors_long.weight and rope_factors_short.weight one is missing; {}",
           file_.path().string(), kGetAgain);
    }
  }
  return MakeRope(keys, file_.path().string(), spec.context_length, choice);
}

// Rows of q, k and v, and their biases: each by itself, or one below the other in attn_qkv.
void SpecBuilder::AddQkv(int layer, const AttentionOptions& options, AttentionSpec& a) {
  const int q_width = a.heads * a.head_dim;
  const int kv_width = a.kv_heads * a.head_dim;
  if (Has(Block(layer, "attn_qkv.weight")) && !options.output_gate) {
    const int all = q_width + 2 * kv_width;
    const GgufTensor* qkv = Need(Block(layer, "attn_qkv.weight"), {spec.width, all});
    a.q = {qkv, 0, q_width, all};
    a.k = {qkv, q_width, kv_width, all};
    a.v = {qkv, q_width + kv_width, kv_width, all};
    const GgufTensor* bias = Maybe(Block(layer, "attn_qkv.bias"), {all});
    a.q_bias = {bias, 0, q_width};
    a.k_bias = {bias, q_width, kv_width};
    a.v_bias = {bias, q_width + kv_width, kv_width};
    return;
  }
  const GgufTensor* q = Need(Block(layer, "attn_q.weight"), {spec.width, options.output_gate ? 2 * q_width : q_width});
  a.q = {q};
  if (options.output_gate) {
    a.q = {q, 0, a.head_dim, 2 * a.head_dim};
    a.gate = {q, a.head_dim, a.head_dim, 2 * a.head_dim};
  }
  a.k = NeedMatrix(Block(layer, "attn_k.weight"), {spec.width, kv_width});
  a.v = NeedMatrix(Block(layer, "attn_v.weight"), {spec.width, kv_width});
  const auto bias = [&](std::string_view name, int count) {
    return options.biases ? NeedVector(Block(layer, name), count) : MaybeVector(Block(layer, name), count);
  };
  if (options.output_gate) return;
  a.q_bias = bias("attn_q.bias", q_width);
  a.k_bias = bias("attn_k.bias", kv_width);
  a.v_bias = bias("attn_v.bias", kv_width);
}

AttentionSpec SpecBuilder::AttentionSizes(int layer, std::string_view key_length, std::string_view value_length) const {
  AttentionSpec a;
  a.heads = keys.IntAt("attention.head_count", layer);
  a.kv_heads = keys.IntAtOr("attention.head_count_kv", layer, a.heads);
  a.head_dim = keys.IntOr(key_length, spec.width / a.heads);
  if (a.heads % a.kv_heads != 0 || a.head_dim < 2 || a.head_dim > 4096 || a.heads > 4096) {
    Fail(ErrorKind::kBadFile, "{}: {} heads of {} over {} key-value heads do not fit together; {}",
         file_.path().string(), a.heads, a.head_dim, a.kv_heads, kGetAgain);
  }
  if (keys.IntOr(value_length, a.head_dim) != a.head_dim) {
    Fail(ErrorKind::kUnsupported, "{}: keys of {} and values of another length ({}); only equal lengths work",
         file_.path().string(), a.head_dim, keys.Int(value_length));
  }
  a.scale = keys.ScaleOr("attention.scale", 1.0F / std::sqrt(static_cast<float>(a.head_dim)));
  return a;
}

AttentionSpec SpecBuilder::Attention(int layer, const AttentionOptions& options) {
  AttentionSpec a = AttentionSizes(layer);
  AddQkv(layer, options, a);
  a.output = NeedMatrix(Block(layer, "attn_output.weight"), {a.heads * a.head_dim, spec.width});
  a.output_bias = MaybeVector(Block(layer, "attn_output.bias"), spec.width);
  const auto norm = [&](std::string_view name, int heads) -> std::optional<NormSpec> {
    const std::string full = Block(layer, name);
    switch (options.norms) {
      case HeadNorms::kEachHead:
        return NeedNorm(full, a.head_dim);
      case HeadNorms::kOwnOfEachHead:
        return NeedNormOfHeads(full, a.head_dim, heads);
      case HeadNorms::kAllHeads:
        return NeedNorm(full, heads * a.head_dim);
      case HeadNorms::kNone:
        break;
    }
    return std::nullopt;
  };
  a.q_norm = norm("attn_q_norm", a.heads);
  a.k_norm = norm("attn_k_norm", a.kv_heads);
  if (options.rope) {
    a.rope = Rope(a.head_dim, *options.rope);
  } else {
    // Where no layer has positions.
    for (const std::string_view key : {"freq_base", "dimension_count", "scaling.type", "scaling.factor"}) {
      keys.Ignore("rope." + std::string(key));
    }
  }
  return a;
}

FfnSpec SpecBuilder::Ffn(int layer, const FfnOptions& options) {
  FfnSpec ffn;
  ffn.activation = options.activation;
  ffn.width = keys.IntAt("feed_forward_length", layer);
  const int width = ffn.width;
  if (options.fused) {
    const GgufTensor* both = Need(Block(layer, "ffn_up.weight"), {spec.width, 2 * width});
    ffn.gate = {both, 0, width, 2 * width};
    ffn.up = {both, width, width, 2 * width};
  } else {
    if (options.gated) {
      ffn.gate = NeedMatrix(Block(layer, "ffn_gate.weight"), {spec.width, width});
      ffn.gate_bias = MaybeVector(Block(layer, "ffn_gate.bias"), width);
    }
    ffn.up = NeedMatrix(Block(layer, "ffn_up.weight"), {spec.width, width});
    ffn.up_bias = MaybeVector(Block(layer, "ffn_up.bias"), width);
  }
  ffn.down = NeedMatrix(Block(layer, "ffn_down.weight"), {width, spec.width});
  ffn.down_bias = MaybeVector(Block(layer, "ffn_down.bias"), spec.width);
  return ffn;
}

MoeSpec SpecBuilder::Moe(int layer, const MoeOptions& options) {
  MoeSpec m;
  keys.Ignore("feed_forward_length");  // of layers without experts
  m.experts = keys.Int("expert_count");
  m.used = keys.IntAt("expert_used_count", layer);
  m.width = options.width > 0 ? keys.IntAtOr("expert_feed_forward_length", layer, options.width)
                              : keys.IntAt("expert_feed_forward_length", layer);
  m.activation = options.activation;
  m.renormalise = keys.BoolOr("expert_weights_norm", options.renormalise);
  m.scale = keys.ScaleOr("expert_weights_scale", 1.0F);
  if (m.used > m.experts || m.experts > 4096) {
    Fail(ErrorKind::kBadFile, "{}: {} of {} experts cannot be used; {}", file_.path().string(), m.used, m.experts,
         kGetAgain);
  }
  const auto name = [layer](std::string_view suffix) { return Block(layer, suffix); };
  m.router = NeedMatrix(name("ffn_gate_inp.weight"), {spec.width, m.experts});
  if (Has(name("ffn_gate_up_exps.weight"))) {
    const GgufTensor* both = Need(name("ffn_gate_up_exps.weight"), {spec.width, 2 * m.width, m.experts});
    m.gate = {both, 0, m.width, 2 * m.width};
    m.up = {both, m.width, m.width, 2 * m.width};
  } else {
    m.gate = NeedMatrix(name("ffn_gate_exps.weight"), {spec.width, m.width, m.experts});
    m.up = NeedMatrix(name("ffn_up_exps.weight"), {spec.width, m.width, m.experts});
  }
  m.down = NeedMatrix(name("ffn_down_exps.weight"), {m.width, spec.width, m.experts});
  if (options.biases) {
    m.router_bias = NeedVector(name("ffn_gate_inp.bias"), m.experts);
    m.gate_bias = Need(name("ffn_gate_exps.bias"), {m.width, m.experts});
    m.up_bias = Need(name("ffn_up_exps.bias"), {m.width, m.experts});
    m.down_bias = Need(name("ffn_down_exps.bias"), {spec.width, m.experts});
  }
  return m;
}

void SpecBuilder::AddSharedExpert(int layer, int width, bool gated, MoeSpec& moe) {
  const auto name = [layer](std::string_view suffix) { return Block(layer, suffix); };
  FfnSpec shared;
  shared.activation = moe.activation;
  shared.width = width;
  shared.gate = NeedMatrix(name("ffn_gate_shexp.weight"), {spec.width, width});
  shared.up = NeedMatrix(name("ffn_up_shexp.weight"), {spec.width, width});
  shared.down = NeedMatrix(name("ffn_down_shexp.weight"), {width, spec.width});
  moe.shared = shared;
  if (gated) moe.shared_gate = Need(name("ffn_gate_inp_shexp.weight"), {spec.width});
}

int SpecBuilder::Window(int otherwise) const {
  return keys.Has("attention.sliding_window") ? keys.Count("attention.sliding_window") : otherwise;
}

bool SpecBuilder::IsWindowLayer(int layer, int period) const {
  constexpr std::string_view kPattern = "attention.sliding_window_pattern";
  const std::vector<bool> flags = keys.BoolsOfLayers(kPattern, layers_);
  if (!flags.empty()) return flags[static_cast<size_t>(layer)];
  return (layer + 1) % keys.IntOr(kPattern, period) != 0;
}

bool SpecBuilder::IsPredictionHead(std::string_view tensor) const {
  const int layer = LayerOf(tensor);
  return layer >= layers_ && layer < blocks_;
}

ModelSpec SpecBuilder::Finish() {
  std::string first;
  size_t unknown = 0;
  for (const GgufTensor& tensor : file_.tensors()) {
    if (used_.contains(tensor.name) || IsPredictionHead(tensor.name)) continue;
    if (unknown++ == 0) first = tensor.name;
  }
  if (unknown > 0) {
    Fail(ErrorKind::kUnsupported,
         "{}: {} tensor(s) that {} models are not known to have, the first is {}: "
         "leaving them out would give wrong results; look for a newer Assay, or a file of the plain model",
         file_.path().string(), unknown, spec.architecture, first);
  }
  keys.RefuseUnread();
  return std::move(spec);
}

}  // namespace assay
