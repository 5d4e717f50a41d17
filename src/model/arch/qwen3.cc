#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {

// Qwen3, dense (qwen3) or with experts (qwen3moe): RMS norms on the heads of q and k before RoPE; the head size is its
// own hyperparameter.
ModelSpec BuildQwen3(const GgufFile& file) {
  SpecBuilder builder(file);
  const bool moe = builder.spec.architecture == "qwen3moe";
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer = builder.PreNormLayer(i);
    layer.attention = builder.Attention(i, {.norms = HeadNorms::kEachHead});
    if (moe) {
      layer.moe = builder.Moe(i, {});
    } else {
      layer.ffn = builder.Ffn(i, {});
    }
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
