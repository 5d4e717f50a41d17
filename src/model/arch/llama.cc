#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {

// Llama 1 to 3: adjacent-pair RoPE (q and k rows are permuted at conversion), optionally with Llama 3's per-frequency
// divisors in rope_freqs.weight.
ModelSpec BuildLlama(const GgufFile& file) {
  SpecBuilder builder(file);
  const int layers = builder.Int("block_count");
  for (int i = 0; i < layers; ++i) {
    LayerSpec layer;
    layer.mixer_norm = builder.Need(SpecBuilder::Block(i, "attn_norm.weight"), {builder.spec.width});
    layer.ffn_norm = builder.Need(SpecBuilder::Block(i, "ffn_norm.weight"), {builder.spec.width});
    AttentionSpec attention = builder.Attention(i, /*output_gate=*/false, /*head_norms=*/false);
    attention.rope.neox = false;
    attention.rope.scale = builder.RopeScale();
    attention.rope.factors = builder.RopeFactors(attention.rope.dimensions);
    layer.attention = attention;
    layer.ffn = builder.Ffn(i, FfnActivation::kSilu);
    builder.spec.layers.push_back(layer);
  }
  return builder.Finish();
}

}  // namespace assay
