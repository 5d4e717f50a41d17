#include <cmath>

#include "base/error.h"
#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {
namespace {

// Gemma 4: Gemma 3's norms with a third one on the values and scores that are not scaled; layers with a window and full
// ones have heads of their own sizes. The last layers may take keys and values from earlier ones, the values may be the
// keys, experts may stand beside the dense network, and each layer may add an embedding of its own.
class Gemma4Builder {
 public:
  explicit Gemma4Builder(const GgufFile& file)
      : builder_(file),
        file_(file),
        width_(builder_.spec.width),
        input_width_(builder_.keys.Count("embedding_length_per_layer_input")),
        own_kv_(builder_.layers() - builder_.keys.Count("attention.shared_kv_layers")) {
    builder_.spec.embedding_scale = std::sqrt(static_cast<float>(width_));
    builder_.spec.logit_softcap = builder_.keys.NonNegativeOr("final_logit_softcapping", 0.0F);
    if (own_kv_ < 1) {
      Fail(ErrorKind::kBadFile, "{}: attention.shared_kv_layers leaves no layer of {} with keys and values; {}",
           file.path().string(), builder_.layers(), kGetAgain);
    }
  }

  ModelSpec Build() {
    if (input_width_ > 0) AddInputs();
    for (int i = 0; i < builder_.layers(); ++i) {
      LayerSpec layer;
      layer.mixer_norm = Norm(i, "attn_norm");
      layer.post_mixer_norm = Norm(i, "post_attention_norm");
      layer.ffn_norm = Norm(i, "ffn_norm");
      layer.post_ffn_norm = Norm(i, "post_ffw_norm");
      layer.attention = Attention(i);
      FfnSpec ffn = builder_.Ffn(i, {.activation = FfnActivation::kGeluTanh});
      if (builder_.Has(SpecBuilder::Block(i, "ffn_gate_inp.weight"))) {
        layer.moe = Moe(i, std::move(ffn));
      } else {
        layer.ffn = std::move(ffn);
      }
      if (input_width_ > 0) layer.input = Input(i);
      const std::string scale = SpecBuilder::Block(i, "layer_output_scale.weight");
      if (builder_.Has(scale)) layer.output_scale = builder_.Scalar(scale);
      builder_.spec.layers.push_back(std::move(layer));
    }
    return builder_.Finish();
  }

 private:
  NormSpec Norm(int layer, std::string_view name) { return builder_.NeedNorm(SpecBuilder::Block(layer, name), width_); }

  bool IsLocal(int layer) const { return builder_.IsWindowLayer(layer, kFullEvery); }

  AttentionSpec Attention(int layer) {
    const bool local = IsLocal(layer);
    AttentionSpec a = local ? builder_.AttentionSizes(layer, "attention.key_length_swa", "attention.value_length_swa")
                            : builder_.AttentionSizes(layer);
    a.scale = builder_.keys.ScaleOr("attention.scale", 1.0F);
    const auto name = [layer](std::string_view suffix) { return SpecBuilder::Block(layer, suffix); };
    a.q = builder_.NeedMatrix(name("attn_q.weight"), {width_, a.heads * a.head_dim});
    a.output = builder_.NeedMatrix(name("attn_output.weight"), {a.heads * a.head_dim, width_});
    a.q_norm = builder_.NeedNorm(name("attn_q_norm"), a.head_dim);
    if (layer >= own_kv_) {
      a.shares_kv_of = LastOwnLike(layer);
    } else {
      const int kv_width = a.kv_heads * a.head_dim;
      a.k = builder_.NeedMatrix(name("attn_k.weight"), {width_, kv_width});
      a.v = {builder_.Maybe(name("attn_v.weight"), {width_, kv_width})};
      a.k_norm = builder_.NeedNorm(name("attn_k_norm"), a.head_dim);
      a.v_norm = builder_.PlainNorm(a.head_dim);
    }
    if (local) {
      a.window = builder_.keys.Int("attention.sliding_window");
      a.rope = builder_.Rope(
          a.head_dim,
          {.scaled = false, .base_key = "rope.freq_base_swa", .dimensions_key = "rope.dimension_count_swa"});
    } else {
      a.rope = builder_.Rope(a.head_dim, {.divisors = true});
    }
    return a;
  }

  // Keys and values that a layer without own ones uses: those of the last layer of its kind that has them.
  int LastOwnLike(int layer) const {
    for (int i = own_kv_ - 1; i >= 0; --i) {
      if (IsLocal(i) == IsLocal(layer)) return i;
    }
    Fail(ErrorKind::kBadFile, "{}: layer {} shares keys and values, and no earlier layer of its kind has any; {}",
         file_.path().string(), layer, kGetAgain);
  }

  // The experts' router and inputs have norms of their own; the dense network is the shared expert.
  MoeSpec Moe(int layer, FfnSpec dense) {
    MoeSpec m = builder_.Moe(layer, {.activation = FfnActivation::kGeluTanh});
    NormSpec router = builder_.PlainNorm(width_);
    router.weight = builder_.Need(SpecBuilder::Block(layer, "ffn_gate_inp.scale"), {width_});
    router.factor = 1.0F / std::sqrt(static_cast<float>(width_));
    m.router_norm = router;
    m.input_norm = Norm(layer, "pre_ffw_norm_2");
    m.post_norm = Norm(layer, "post_ffw_norm_2");
    m.expert_scale = builder_.Maybe(SpecBuilder::Block(layer, "ffn_down_exps.scale"), {m.experts});
    m.shared = std::move(dense);
    m.shared_post_norm = Norm(layer, "post_ffw_norm_1");
    return m;
  }

  // (norm(projection(x) / sqrt(width)) + sqrt(input width) * table[token]) / sqrt(2): the first root goes into epsilon,
  // as a norm takes any other scale away; the last into both terms.
  void AddInputs() {
    const int all = builder_.layers() * input_width_;
    if (builder_.layers() > (1 << 24) / input_width_) {
      Fail(ErrorKind::kBadFile, "{}: {} layers with inputs of {} are no model; {}", file_.path().string(),
           builder_.layers(), input_width_, kGetAgain);
    }
    const auto half = static_cast<float>(1.0 / std::sqrt(2.0));
    PerLayerInputSpec inputs;
    inputs.width = input_width_;
    inputs.table = builder_.Need("per_layer_token_embd.weight", {all, builder_.spec.vocab});
    inputs.table_scale = half * std::sqrt(static_cast<float>(input_width_));
    inputs.projection = builder_.NeedMatrix("per_layer_model_proj.weight", {width_, all});
    inputs.norm = builder_.NeedNorm("per_layer_proj_norm", input_width_);
    inputs.norm.eps *= static_cast<float>(width_);
    inputs.norm.factor = half;
    builder_.spec.per_layer_inputs = inputs;
  }

  LayerInputSpec Input(int layer) {
    return {builder_.NeedMatrix(SpecBuilder::Block(layer, "inp_gate.weight"), {width_, input_width_}),
            builder_.NeedMatrix(SpecBuilder::Block(layer, "proj.weight"), {input_width_, width_}),
            Norm(layer, "post_norm")};
  }

  static constexpr int kFullEvery = 6;

  SpecBuilder builder_;
  const GgufFile& file_;
  const int width_;
  int input_width_ = 0;
  int own_kv_ = 0;  // layers with keys and values of their own
};

}  // namespace

ModelSpec BuildGemma4(const GgufFile& file) { return Gemma4Builder(file).Build(); }

}  // namespace assay
