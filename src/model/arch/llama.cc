#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {

// Llama 1 to 3, Mistral and Mixtral: adjacent-pair RoPE (q and k rows are permuted at conversion), optionally with
// Llama 3's per-frequency divisors in rope_freqs.weight; Mixtral's experts are as wide as a dense network's hidden
// layer.
ModelSpec BuildLlama(const GgufFile& file) {
  SpecBuilder builder(file);
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer = builder.PreNormLayer(i);
    layer.attention = builder.Attention(i, {.rope = RopeOptions{.neox = false, .divisors = true}});
    if (builder.HasExperts()) {
      layer.moe = builder.Moe(i, {.width = builder.keys.IntAt("feed_forward_length", i)});
    } else {
      layer.ffn = builder.Ffn(i, {});
    }
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
