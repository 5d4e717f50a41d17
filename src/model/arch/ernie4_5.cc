#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {

// ERNIE 4.5, dense: Llama's layers with adjacent-pair RoPE.
ModelSpec BuildErnie45(const GgufFile& file) {
  SpecBuilder builder(file);
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer = builder.PreNormLayer(i);
    layer.attention = builder.Attention(i, {.rope = RopeOptions{.neox = false}});
    layer.ffn = builder.Ffn(i, {});
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
