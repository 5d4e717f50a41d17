#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {

// Qwen3, dense: RMS norms on the heads of q and k before RoPE; the head size is its own hyperparameter.
ModelSpec BuildQwen3(const GgufFile& file) {
  SpecBuilder builder(file);
  const int layers = builder.Int("block_count");
  for (int i = 0; i < layers; ++i) {
    LayerSpec layer;
    layer.mixer_norm = builder.Need(SpecBuilder::Block(i, "attn_norm.weight"), {builder.spec.width});
    layer.ffn_norm = builder.Need(SpecBuilder::Block(i, "ffn_norm.weight"), {builder.spec.width});
    layer.attention = builder.Attention(i, /*output_gate=*/false, /*head_norms=*/true);
    layer.attention->rope.scale = builder.RopeScale();
    layer.ffn = builder.Ffn(i, FfnActivation::kSilu);
    builder.spec.layers.push_back(layer);
  }
  return builder.Finish();
}

}  // namespace assay
