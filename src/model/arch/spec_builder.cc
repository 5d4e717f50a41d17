#include "model/arch/spec_builder.h"

#include <charconv>
#include <cmath>
#include <vector>

#include "base/error.h"

namespace assay {
namespace {

constexpr int kMaxHyperparameter = 1 << 24;

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

SpecBuilder::SpecBuilder(const GgufFile& file) : file_(file), prefix_(file.GetString("general.architecture") + ".") {
  spec.architecture = file.GetString("general.architecture");
  spec.name = file.FindString("general.name").value_or(file.path().stem().string());
  spec.width = Int("embedding_length");
  spec.context_length = Int("context_length");
  spec.norm_eps = FloatOr("attention.layer_norm_rms_epsilon", 1e-6F);
  if (!(spec.norm_eps >= 0.0F) || spec.norm_eps > 1.0F) {
    Fail(ErrorKind::kBadFile, "{}: {} is {}, which no norm can use; {}", file.path().string(),
         Key("attention.layer_norm_rms_epsilon"), spec.norm_eps, kGetAgain);
  }
  const GgufTensor* embedding = file.FindTensor("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2 || embedding->rows() > kMaxHyperparameter) {
    Fail(ErrorKind::kBadFile, "{}: tensor token_embd.weight is missing or not a matrix; {}", file.path().string(),
         kGetAgain);
  }
  spec.vocab = static_cast<int>(embedding->rows());
  spec.token_embedding = Need("token_embd.weight", {spec.width, spec.vocab});
  spec.output_norm = Need("output_norm.weight", {spec.width});
  spec.output = Maybe("output.weight", {spec.width, spec.vocab});
  if (spec.output == nullptr) spec.output = spec.token_embedding;
}

int SpecBuilder::Int(std::string_view key) const {
  const uint64_t value = file_.GetUint(Key(key));
  if (value < 1 || value > kMaxHyperparameter) {
    Fail(ErrorKind::kBadFile, "{}: {} is {}; it must lie in 1..{}; {}", file_.path().string(), Key(key), value,
         kMaxHyperparameter, kGetAgain);
  }
  return static_cast<int>(value);
}

int SpecBuilder::IntOr(std::string_view key, int otherwise) const {
  return file_.Find(Key(key)) == nullptr ? otherwise : Int(key);
}

float SpecBuilder::FloatOr(std::string_view key, float otherwise) const {
  return static_cast<float>(file_.FindFloat(Key(key)).value_or(otherwise));
}

float SpecBuilder::PositiveOr(std::string_view key, float otherwise) const {
  const float value = FloatOr(key, otherwise);
  if (!(value > 0.0F) || !std::isfinite(value)) {
    Fail(ErrorKind::kBadFile, "{}: {} is {}; it must be a finite number above 0; {}", file_.path().string(), Key(key),
         value, kGetAgain);
  }
  return value;
}

const GgufTensor* SpecBuilder::RopeFactors(int dimensions) {
  const GgufTensor* tensor = Maybe("rope_freqs.weight", {dimensions / 2});
  if (tensor == nullptr) return tensor;
  std::vector<float> values(tensor->elements());
  TraitsOf(tensor->format).decode(tensor->data.data(), values.data(), static_cast<int64_t>(values.size()));
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] > 0.0F && std::isfinite(values[i])) continue;
    Fail(ErrorKind::kBadFile, "{}: rope_freqs.weight has {} at {}; each must be a finite number above 0; {}",
         file_.path().string(), values[i], i, kGetAgain);
  }
  return tensor;
}

const GgufTensor* SpecBuilder::Find(const std::string& name, std::initializer_list<int> shape) {
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
  const GgufTensor* tensor = Find(name, shape);
  if (tensor == nullptr) {
    Fail(ErrorKind::kBadFile, "{}: tensor {} is missing, {} needs it with shape {}; {}", file_.path().string(), name,
         spec.architecture, ShapeText(shape), kGetAgain);
  }
  return tensor;
}

const GgufTensor* SpecBuilder::Maybe(const std::string& name, std::initializer_list<int> shape) {
  return Find(name, shape);
}

std::string SpecBuilder::Block(int layer, std::string_view suffix) { return fmt::format("blk.{}.{}", layer, suffix); }

float SpecBuilder::RopeScale() const {
  const std::string type = file_.FindString(Key("rope.scaling.type")).value_or("none");
  if (type == "none") return 1.0F;
  const float factor = FloatOr("rope.scaling.factor", 1.0F);
  // Any real model stretches its positions by far less than this.
  constexpr float kLargestFactor = 1e6F;
  if (type != "linear" || !(factor >= 1.0F / kLargestFactor && factor <= kLargestFactor)) {
    Fail(ErrorKind::kUnsupported,
         "{}: rope scaling '{}' with factor {}; only linear scaling by a positive factor works", file_.path().string(),
         type, factor);
  }
  return 1.0F / factor;
}

AttentionSpec SpecBuilder::Attention(int layer, bool output_gate, bool head_norms) {
  AttentionSpec a;
  a.heads = Int("attention.head_count");
  a.kv_heads = IntOr("attention.head_count_kv", a.heads);
  a.head_dim = IntOr("attention.key_length", spec.width / a.heads);
  if (a.heads % a.kv_heads != 0 || a.head_dim < 2 || a.head_dim > 4096 || a.heads > 4096) {
    Fail(ErrorKind::kBadFile, "{}: {} heads of {} over {} key-value heads do not fit together; {}",
         file_.path().string(), a.heads, a.head_dim, a.kv_heads, kGetAgain);
  }
  if (IntOr("attention.value_length", a.head_dim) != a.head_dim) {
    Fail(ErrorKind::kUnsupported, "{}: keys of {} and values of another length ({}); only equal lengths work",
         file_.path().string(), a.head_dim, Int("attention.value_length"));
  }
  a.scale = 1.0F / std::sqrt(static_cast<float>(a.head_dim));
  a.output_gate = output_gate;
  a.rope.dimensions = IntOr("rope.dimension_count", a.head_dim);
  a.rope.base = PositiveOr("rope.freq_base", 10000.0F);
  if (a.rope.dimensions > a.head_dim || a.rope.dimensions % 2 != 0) {
    Fail(ErrorKind::kBadFile, "{}: rope over {} of {} dimensions with base {} is not possible; {}",
         file_.path().string(), a.rope.dimensions, a.head_dim, a.rope.base, kGetAgain);
  }
  const int q_width = a.heads * a.head_dim;
  const int kv_width = a.kv_heads * a.head_dim;
  a.q = Need(Block(layer, "attn_q.weight"), {spec.width, output_gate ? 2 * q_width : q_width});
  a.k = Need(Block(layer, "attn_k.weight"), {spec.width, kv_width});
  a.v = Need(Block(layer, "attn_v.weight"), {spec.width, kv_width});
  a.output = Need(Block(layer, "attn_output.weight"), {q_width, spec.width});
  if (head_norms) {
    a.q_norm = Need(Block(layer, "attn_q_norm.weight"), {a.head_dim});
    a.k_norm = Need(Block(layer, "attn_k_norm.weight"), {a.head_dim});
  }
  return a;
}

FfnSpec SpecBuilder::Ffn(int layer, FfnActivation activation) {
  FfnSpec ffn;
  ffn.activation = activation;
  ffn.width = Int("feed_forward_length");
  ffn.gate = Need(Block(layer, "ffn_gate.weight"), {spec.width, ffn.width});
  ffn.up = Need(Block(layer, "ffn_up.weight"), {spec.width, ffn.width});
  ffn.down = Need(Block(layer, "ffn_down.weight"), {ffn.width, spec.width});
  return ffn;
}

void SpecBuilder::SkipLayer(int layer) { skipped_.insert(layer); }

ModelSpec SpecBuilder::Finish() {
  std::string first;
  size_t unknown = 0;
  for (const GgufTensor& tensor : file_.tensors()) {
    if (used_.contains(tensor.name) || skipped_.contains(LayerOf(tensor.name))) continue;
    if (unknown++ == 0) first = tensor.name;
  }
  if (unknown > 0) {
    Fail(ErrorKind::kUnsupported,
         "{}: {} tensor(s) that {} models are not known to have, the first is {}: "
         "leaving them out would give wrong results; look for a newer Assay, or a file of the plain model",
         file_.path().string(), unknown, spec.architecture, first);
  }
  return std::move(spec);
}

}  // namespace assay
