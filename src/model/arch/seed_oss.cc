#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {

// Seed-OSS: Qwen2's layers with a head size of their own; the feed-forward network's norm is called
// post_attention_norm.
ModelSpec BuildSeedOss(const GgufFile& file) {
  SpecBuilder builder(file);
  const int width = builder.spec.width;
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer;
    layer.mixer_norm = builder.NeedNorm(SpecBuilder::Block(i, "attn_norm"), width);
    layer.ffn_norm = builder.NeedNorm(SpecBuilder::Block(i, "post_attention_norm"), width);
    layer.attention = builder.Attention(i, {});
    layer.ffn = builder.Ffn(i, {});
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
