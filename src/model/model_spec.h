#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"
#include "text/tokenizer.h"

namespace assay {

// An architecture as data. A builder (model/arch/<name>.cc) reads a file's metadata and tensors and fills this in; the
// engine executes it and knows no architecture by name. Tensors point into the file, null where a layer has none. What
// says nothing (scale 1, cap 0) costs nothing.

// Rows of a file's matrix, or of a stack of matrices taken as one: runs of `block` rows, the first run at row `first`,
// one every `stride` rows. All rows where block is 0.
struct MatrixSpec {
  const GgufTensor* tensor = nullptr;
  int first = 0, block = 0, stride = 0;

  uint64_t Elements() const {
    if (tensor == nullptr) return 0;
    return block == 0 ? tensor->elements()
                      : tensor->elements() / static_cast<uint64_t>(stride) * static_cast<uint64_t>(block);
  }
};

// Neighbouring values of a file's vector.
struct VectorSpec {
  const GgufTensor* tensor = nullptr;
  int first = 0, count = 0;
};

enum class NormKind {
  kRms,    // x / sqrt(mean(x^2) + eps)
  kLayer,  // the same of x less its mean (Ba et al. 2016)
};

struct NormSpec {
  NormKind kind = NormKind::kRms;
  int width = 0;  // values that are normalised together
  float eps = 0.0F;
  const GgufTensor* weight = nullptr;  // [width], or [width, heads]: a row for each head; null: ones
  const GgufTensor* bias = nullptr;    // [width]; null: none
  float factor = 1.0F;                 // of weight and bias: scales of what follows, folded in
};

// Rotary position embedding (Su et al. 2021). All of its scalings (by a factor, by divisors, YaRN, LongRoPE) come down
// to an angle per position for each pair and a factor of the result.
struct RopeSpec {
  int dimensions = 0;  // the first ones of each head; 0: no positions
  bool neox = true;    // pairs (i, i + dimensions/2); else neighbours
  float magnitude = 1.0F;
  std::vector<double> frequencies;       // [dimensions / 2], radians from one position to the next
  std::vector<double> long_frequencies;  // instead of those in contexts longer than short_context; may be empty
  int short_context = 0;
};

// Queries from position `floor` on are scaled by 1 + scale log(1 + floor(position / floor)); scale 0: none.
struct TemperatureSpec {
  float scale = 0.0F;
  int floor = 1;
};

struct AttentionSpec {
  int heads = 0, kv_heads = 0, head_dim = 0;
  float scale = 1.0F;
  float softcap = 0.0F;  // of scores s: softcap tanh(s / softcap); 0: none
  int window = 0;        // 0: full
  RopeSpec rope;
  TemperatureSpec temperature;
  // The layer whose keys and values are used instead of own ones; -1: own ones. k and v are null then.
  int shares_kv_of = -1;
  MatrixSpec q, k, output;
  MatrixSpec v;     // null: the values are the keys, before norm and rope
  MatrixSpec gate;  // the output is multiplied by sigmoid(gate); null: none
  VectorSpec q_bias, k_bias, v_bias, output_bias;
  // Of each head, or of all heads together when so wide.
  std::optional<NormSpec> q_norm, k_norm, v_norm;
  bool norms_after_rope = false;      // of q and k
  const GgufTensor* sinks = nullptr;  // [heads] scores of nothing, which take their share of the softmax; null: none
};

struct DeltaNetSpec {
  int key_heads = 0, value_heads = 0, head_dim = 0, conv_window = 4;
  bool neighbours_share = false;  // value heads of one key head are neighbours; else key_heads apart
  MatrixSpec qkv, gate, alpha, beta, output;
  const GgufTensor *conv = nullptr, *dt_bias = nullptr, *a = nullptr, *norm = nullptr;

  int qkv_width() const { return (2 * key_heads + value_heads) * head_dim; }
  int value_width() const { return value_heads * head_dim; }
};

enum class FfnActivation { kSilu, kGeluTanh, kClampedSwiglu };

// down(act(gate) * up), or down(act(up)) without a gate.
struct FfnSpec {
  FfnActivation activation = FfnActivation::kSilu;
  int width = 0;
  MatrixSpec gate, up, down;
  VectorSpec gate_bias, up_bias, down_bias;
};

// Each token takes the experts of its `used` largest router logits, weighted by their softmax: among all experts, or
// renormalised, among those taken.
struct MoeSpec {
  int experts = 0, used = 0, width = 0;
  FfnActivation activation = FfnActivation::kSilu;
  bool renormalise = true;
  float scale = 1.0F;  // of the weights
  MatrixSpec router, gate, up, down;
  VectorSpec router_bias;
  const GgufTensor *gate_bias = nullptr, *up_bias = nullptr, *down_bias = nullptr;  // [rows, experts]
  const GgufTensor* expert_scale = nullptr;                                         // [experts], of their weights
  std::optional<NormSpec> router_norm, input_norm;  // of the residual stream; without: they read what shared reads
  std::optional<NormSpec> post_norm;                // of the experts' sum
  std::optional<FfnSpec> shared;
  const GgufTensor* shared_gate = nullptr;  // [width]: times sigmoid(gate . input); null: times 1
  std::optional<NormSpec> shared_post_norm;
};

// x += post_norm(projection(gelu(gate(x)) * input)), `input` being the layer's part of the model's per-layer inputs.
struct LayerInputSpec {
  MatrixSpec gate, projection;
  NormSpec post_norm;
};

// x += s post_mixer_norm(mixer(mixer_norm(x))); x += s post_ffn_norm(ffn(ffn_norm(x))), with s the residual scale; then
// the layer's input, and x *= output_scale. Where a norm is absent it is left out.
// In parallel: x += s mixer(n) + s ffn(m) with n = mixer_norm(x) and m = ffn_norm(x), or n where that is absent.
struct LayerSpec {
  std::optional<NormSpec> mixer_norm, post_mixer_norm;
  std::optional<NormSpec> ffn_norm, post_ffn_norm;
  bool parallel = false;
  float residual_scale = 1.0F;
  std::optional<AttentionSpec> attention;  // exactly one of attention and delta_net
  std::optional<DeltaNetSpec> delta_net;
  std::optional<FfnSpec> ffn;  // exactly one of ffn and moe
  std::optional<MoeSpec> moe;
  std::optional<LayerInputSpec> input;
  float output_scale = 1.0F;
};

// What layers add of each token, beside the residual stream: norm(projection(x)) + table_scale table[token], with x the
// scaled embedding; [layers][width].
struct PerLayerInputSpec {
  int width = 0;
  const GgufTensor* table = nullptr;
  float table_scale = 1.0F;
  MatrixSpec projection;
  NormSpec norm;  // of each layer's part
};

struct ModelSpec {
  std::string architecture;
  std::string name;
  int vocab = 0, width = 0, context_length = 0;
  float norm_eps = 1e-6F;
  float embedding_scale = 1.0F;
  std::vector<LayerSpec> layers;
  const GgufTensor* token_embedding = nullptr;
  std::optional<PerLayerInputSpec> per_layer_inputs;
  NormSpec output_norm;
  const GgufTensor* output = nullptr;  // the token embedding when tied
  VectorSpec output_bias;
  float logit_softcap = 0.0F;  // as of scores
  bool tied() const { return output == token_embedding; }
};

// A model file, its description and its tokenizer.
struct Model {
  GgufFile file;
  ModelSpec spec;
  std::unique_ptr<Tokenizer> tokenizer;

  // Throws kBadFile (a missing tensor or a wrong shape: named) or kUnsupported (unknown architecture: named, with the
  // known ones listed).
  static std::unique_ptr<Model> Open(const std::filesystem::path& path);
};

ModelSpec BuildSpec(const GgufFile& file);
std::unique_ptr<Tokenizer> BuildTokenizer(const GgufFile& file);
std::vector<std::string_view> KnownArchitectures();

}  // namespace assay
