#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {

// Hunyuan, dense: norms on the heads of q and k after RoPE, whose base the converter has stretched already.
ModelSpec BuildHunyuanDense(const GgufFile& file) {
  SpecBuilder builder(file);
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer = builder.PreNormLayer(i);
    layer.attention = builder.Attention(i, {.norms = HeadNorms::kEachHead});
    layer.attention->norms_after_rope = true;
    layer.ffn = builder.Ffn(i, {});
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
