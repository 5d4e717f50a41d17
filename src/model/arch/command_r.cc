#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {

// Command R: attention and feed-forward network read the same layer norm, side by side; the logits are scaled. Command
// R+ has layer norms on each head of q and k, with weights of their own.
ModelSpec BuildCommandR(const GgufFile& file) {
  SpecBuilder builder(file, NormKind::kLayer);
  const int width = builder.spec.width;
  builder.spec.output_norm.factor = builder.keys.ScaleOr("logit_scale", 1.0F);
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer;
    layer.mixer_norm = builder.NeedNorm(SpecBuilder::Block(i, "attn_norm"), width);
    layer.parallel = true;
    AttentionOptions options = {.rope = RopeOptions{.neox = false}};
    if (builder.Has(SpecBuilder::Block(i, "attn_q_norm.weight"))) options.norms = HeadNorms::kOwnOfEachHead;
    layer.attention = builder.Attention(i, options);
    layer.ffn = builder.Ffn(i, {});
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
