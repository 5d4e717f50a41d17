#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {

// GLM-4 (2025): norms before and after the branches, adjacent-pair RoPE over half of the head, gate and up in one
// matrix.
ModelSpec BuildGlm4(const GgufFile& file) {
  SpecBuilder builder(file);
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer = builder.PreNormLayer(i);
    builder.AddPostNorms(i, layer);
    layer.attention = builder.Attention(i, {.rope = RopeOptions{.neox = false}});
    layer.ffn = builder.Ffn(i, {.fused = true});
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
