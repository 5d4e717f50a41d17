#include <cmath>

#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {

// Gemma 1: the embedding is scaled by the root of its width; GELU. The converter has made weights of its norms' 1 + w.
ModelSpec BuildGemma(const GgufFile& file) {
  SpecBuilder builder(file);
  const int width = builder.spec.width;
  builder.spec.embedding_scale = std::sqrt(static_cast<float>(width));
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer = builder.PreNormLayer(i);
    layer.attention = builder.Attention(i, {});
    layer.ffn = builder.Ffn(i, {.activation = FfnActivation::kGeluTanh});
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
