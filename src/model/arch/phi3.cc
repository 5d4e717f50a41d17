#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {

// Phi 3 and 4: q, k and v in one matrix, the feed-forward network's gate and up in another; RoPE over a part of the
// head, with LongRoPE's divisors where they are there.
ModelSpec BuildPhi3(const GgufFile& file) {
  SpecBuilder builder(file);
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer = builder.PreNormLayer(i);
    layer.attention = builder.Attention(i, {.rope = RopeOptions{.divisors = true}});
    layer.attention->window = builder.Window();
    layer.ffn = builder.Ffn(i, {.fused = true});
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
