#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {
namespace {

constexpr int kFullEvery = 4;

}  // namespace

// OLMo 2 and 3: norms after the branches instead of before them, and one over all heads of q and one over those of k.
// OLMo 3 has a window on three of four layers, whose RoPE is not scaled.
ModelSpec BuildOlmo2(const GgufFile& file) {
  SpecBuilder builder(file);
  const int width = builder.spec.width;
  const int window = builder.Window();
  builder.keys.Ignore("rope.freq_base_swa");
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer;
    layer.post_mixer_norm = builder.NeedNorm(SpecBuilder::Block(i, "post_attention_norm"), width);
    layer.post_ffn_norm = builder.NeedNorm(SpecBuilder::Block(i, "post_ffw_norm"), width);
    const bool local = window > 0 && builder.IsWindowLayer(i, kFullEvery);
    RopeOptions rope = {.scaled = !local};
    if (local && builder.keys.Has("rope.freq_base_swa")) rope.base_key = "rope.freq_base_swa";
    layer.attention = builder.Attention(i, {.norms = HeadNorms::kAllHeads, .rope = rope});
    if (local) layer.attention->window = window;
    layer.ffn = builder.Ffn(i, {});
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
