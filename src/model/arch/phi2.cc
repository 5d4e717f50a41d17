#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {

// Phi 1 to 2: attention and feed-forward network side by side behind one layer norm, biases everywhere (of the output
// too), RoPE over a part of the head, a GELU without gate.
ModelSpec BuildPhi2(const GgufFile& file) {
  SpecBuilder builder(file, NormKind::kLayer);
  const int width = builder.spec.width;
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer;
    layer.mixer_norm = builder.NeedNorm(SpecBuilder::Block(i, "attn_norm"), width);
    layer.parallel = true;
    layer.attention = builder.Attention(i, {.biases = true});
    layer.ffn = builder.Ffn(i, {.activation = FfnActivation::kGeluTanh, .gated = false});
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
