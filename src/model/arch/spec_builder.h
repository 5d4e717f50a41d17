#pragma once

#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "model/arch/hyperparameters.h"
#include "model/arch/rope.h"
#include "model/model_spec.h"

namespace assay {

struct RopeOptions {
  bool neox = true;
  bool scaled = true;     // by rope.scaling
  bool divisors = false;  // rope_freqs.weight, or rope_factors_long.weight and rope_factors_short.weight, may be there
  std::string_view base_key = "rope.freq_base";
  std::string_view dimensions_key = "rope.dimension_count";
  float base = 10000.0F;  // where the file says nothing
};

enum class HeadNorms { kNone, kEachHead, kOwnOfEachHead, kAllHeads };
struct AttentionOptions {
  bool output_gate = false;  // q has a gate beside each head's queries
  HeadNorms norms = HeadNorms::kNone;
  bool biases = false;  // of q, k and v: needed; else they may be there
  std::optional<RopeOptions> rope = RopeOptions();
};

struct FfnOptions {
  FfnActivation activation = FfnActivation::kSilu;
  bool gated = true;
  bool fused = false;  // ffn_up has the gate's rows before its own
};

struct MoeOptions {
  FfnActivation activation = FfnActivation::kSilu;
  bool renormalise = true;
  int width = 0;  // where expert_feed_forward_length is absent
  bool biases = false;
};

// What the architectures' builders share: hyperparameters, tensors by name and shape, and the parts that most models
// are made of, with a record of what was used, so that nothing in a file is ignored silently.
class SpecBuilder {
 public:
  // Reads what every architecture has: name, vocabulary, width, context, norm epsilon, embedding, output.
  explicit SpecBuilder(const GgufFile& file, NormKind norms = NormKind::kRms);

  // Layers of the model itself: block_count less the multi-token-prediction heads behind them, whose tensors are known
  // and not executed.
  int layers() const { return layers_; }

  // A tensor of exactly this shape (GGUF order). Need() throws kBadFile when it is absent; Maybe() gives null.
  const GgufTensor* Need(const std::string& name, std::initializer_list<int> shape);
  const GgufTensor* Maybe(const std::string& name, std::initializer_list<int> shape);
  MatrixSpec NeedMatrix(const std::string& name, std::initializer_list<int> shape) { return {Need(name, shape)}; }
  VectorSpec NeedVector(const std::string& name, int count) { return {Need(name, {count}), 0, count}; }
  VectorSpec MaybeVector(const std::string& name, int count) { return {Maybe(name, {count}), 0, count}; }
  bool Has(const std::string& name) const { return file_.FindTensor(name) != nullptr; }

  // name.weight and, of a layer norm, name.bias if it is there.
  NormSpec NeedNorm(const std::string& name, int width);
  std::optional<NormSpec> MaybeNorm(const std::string& name, int width);
  // name.weight of [width, heads]: each head has its own.
  NormSpec NeedNormOfHeads(const std::string& name, int width, int heads);
  NormSpec PlainNorm(int width) const;  // without weights

  // "blk.<layer>.<suffix>"
  static std::string Block(int layer, std::string_view suffix);

  // A layer with attn_norm before its mixer and ffn_norm before its feed-forward network, and nothing else yet.
  LayerSpec PreNormLayer(int layer);
  // post_attention_norm and post_ffw_norm, behind them.
  void AddPostNorms(int layer, LayerSpec& made);

  // One number of a scalar tensor.
  float Scalar(const std::string& name);

  // Over as many dimensions of a head as the file says, or all.
  RopeSpec Rope(int head_dim, const RopeOptions& options);

  // The key of a layer's RoPE base, where those of a window may have their own (rope.freq_base_swa).
  std::string_view RopeBaseKey(bool window) const;

  // Head counts and sizes, and the scale: attention.scale or 1/sqrt(head size).
  AttentionSpec AttentionSizes(int layer, std::string_view key_length = "attention.key_length",
                               std::string_view value_length = "attention.value_length") const;
  // With the usual tensor names, separate or fused as attn_qkv; sizes from the hyperparameters, which may differ from
  // layer to layer. Full: the caller sets what differs.
  AttentionSpec Attention(int layer, const AttentionOptions& options);

  FfnSpec Ffn(int layer, const FfnOptions& options);

  // Sizes and shared experts are the caller's.
  MoeSpec Moe(int layer, const MoeOptions& options);
  // A shared expert; gated: with ffn_gate_inp_shexp.
  void AddSharedExpert(int layer, int width, bool gated, MoeSpec& moe);
  bool HasExperts() const { return keys.Count("expert_count") > 0; }

  // attention.sliding_window, 0 when it is absent or 0. Whether a layer sees the window alone: as
  // attention.sliding_window_pattern says, by layer or as a period of which the last layer is full; else that of the
  // architecture.
  int Window(int otherwise = 0) const;
  bool IsWindowLayer(int layer, int period) const;

  // Checks that every tensor of the file has been asked for, and every hyperparameter; gives the spec.
  ModelSpec Finish();

  ModelSpec spec;
  const Hyperparameters keys;

 private:
  void AddQkv(int layer, const AttentionOptions& options, AttentionSpec& a);
  bool IsPredictionHead(std::string_view tensor) const;

  const GgufFile& file_;
  const NormKind norms_;
  float eps_ = 0.0F;
  int blocks_ = 0, layers_ = 0;
  std::set<std::string, std::less<>> used_;
};

}  // namespace assay
