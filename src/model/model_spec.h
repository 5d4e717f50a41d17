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
// engine executes it and knows no architecture by name. Tensors point into the file, null where a layer has none.

struct RopeSpec {
  int dimensions = 0;
  bool neox = true;
  float base = 10000.0F;
  float scale = 1.0F;
  const GgufTensor* factors = nullptr;  // F32 [dimensions / 2]
};

struct AttentionSpec {
  int heads = 0, kv_heads = 0, head_dim = 0;
  float scale = 1.0F;
  int window = 0;            // 0: full
  bool output_gate = false;  // q rows of each head are [query | gate]; output is multiplied by sigmoid(gate)
  RopeSpec rope;
  const GgufTensor *q = nullptr, *k = nullptr, *v = nullptr, *output = nullptr;
  const GgufTensor *q_norm = nullptr, *k_norm = nullptr;
};

struct DeltaNetSpec {
  int key_heads = 0, value_heads = 0, head_dim = 0, conv_window = 4;
  const GgufTensor *qkv = nullptr, *gate = nullptr, *conv = nullptr, *alpha = nullptr, *beta = nullptr;
  const GgufTensor *dt_bias = nullptr, *a = nullptr, *norm = nullptr, *output = nullptr;

  int qkv_width() const { return (2 * key_heads + value_heads) * head_dim; }
  int value_width() const { return value_heads * head_dim; }
};

enum class FfnActivation { kSilu, kGeluTanh };

struct FfnSpec {
  FfnActivation activation = FfnActivation::kSilu;
  int width = 0;
  const GgufTensor *gate = nullptr, *up = nullptr, *down = nullptr;
};

struct MoeSpec {
  int experts = 0, used = 0, width = 0;
  const GgufTensor *router = nullptr, *gate = nullptr, *up = nullptr, *down = nullptr;
  std::optional<FfnSpec> shared;
  const GgufTensor* shared_gate = nullptr;
};

// x += post_mixer_norm(mixer(mixer_norm(x))); x += post_ffn_norm(ffn(ffn_norm(x))). The post norms may be null.
struct LayerSpec {
  const GgufTensor *mixer_norm = nullptr, *post_mixer_norm = nullptr;
  const GgufTensor *ffn_norm = nullptr, *post_ffn_norm = nullptr;
  std::optional<AttentionSpec> attention;  // exactly one of attention and delta_net
  std::optional<DeltaNetSpec> delta_net;
  std::optional<FfnSpec> ffn;  // exactly one of ffn and moe
  std::optional<MoeSpec> moe;
};

struct ModelSpec {
  std::string architecture;
  std::string name;
  int vocab = 0, width = 0, context_length = 0;
  float norm_eps = 1e-6F;
  float embedding_scale = 1.0F;
  std::vector<LayerSpec> layers;
  const GgufTensor* token_embedding = nullptr;
  const GgufTensor* output_norm = nullptr;
  const GgufTensor* output = nullptr;  // the token embedding when tied
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
