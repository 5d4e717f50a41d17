#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {

// Qwen2 and 2.5: biases of queries, keys and values.
ModelSpec BuildQwen2(const GgufFile& file) {
  SpecBuilder builder(file);
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer = builder.PreNormLayer(i);
    layer.attention = builder.Attention(i, {.biases = true});
    layer.ffn = builder.Ffn(i, {});
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
