#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {

// StarCoder2: layer norms, biases everywhere, a GELU without gate.
ModelSpec BuildStarcoder2(const GgufFile& file) {
  SpecBuilder builder(file, NormKind::kLayer);
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer = builder.PreNormLayer(i);
    layer.attention = builder.Attention(i, {.biases = true});
    layer.ffn = builder.Ffn(i, {.activation = FfnActivation::kGeluTanh, .gated = false});
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
