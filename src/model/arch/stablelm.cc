#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {

// StableLM 2: layer norms, RoPE over a part of the head. The 12B model has no second norm: its feed-forward network
// reads the attention's, side by side (files say use_parallel_residual, older ones wrongly), and norms on each head of
// q and k.
ModelSpec BuildStableLm(const GgufFile& file) {
  SpecBuilder builder(file, NormKind::kLayer);
  const int width = builder.spec.width;
  builder.keys.Ignore("use_parallel_residual");
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer;
    layer.mixer_norm = builder.NeedNorm(SpecBuilder::Block(i, "attn_norm"), width);
    layer.ffn_norm = builder.MaybeNorm(SpecBuilder::Block(i, "ffn_norm"), width);
    layer.parallel = !layer.ffn_norm.has_value();
    AttentionOptions options;
    if (builder.Has(SpecBuilder::Block(i, "attn_q_norm.weight"))) options.norms = HeadNorms::kOwnOfEachHead;
    layer.attention = builder.Attention(i, options);
    layer.ffn = builder.Ffn(i, {});
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
