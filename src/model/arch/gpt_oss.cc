#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {
namespace {

constexpr int kFullEvery = 2;

}  // namespace

// gpt-oss: sinks in the softmax of each head, biases everywhere, a window on every other layer, YaRN; experts with a
// clamped gate, chosen before the softmax.
ModelSpec BuildGptOss(const GgufFile& file) {
  SpecBuilder builder(file);
  const int width = builder.spec.width;
  const int window = builder.keys.Int("attention.sliding_window");
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer;
    layer.mixer_norm = builder.NeedNorm(SpecBuilder::Block(i, "attn_norm"), width);
    layer.ffn_norm = builder.NeedNorm(SpecBuilder::Block(i, "post_attention_norm"), width);
    layer.attention = builder.Attention(i, {.biases = true});
    layer.attention->sinks = builder.Need(SpecBuilder::Block(i, "attn_sinks.weight"), {layer.attention->heads});
    if (builder.IsWindowLayer(i, kFullEvery)) layer.attention->window = window;
    layer.moe = builder.Moe(i, {.activation = FfnActivation::kClampedSwiglu, .biases = true});
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
