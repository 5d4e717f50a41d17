#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {

// Granite 3 and later, dense (granite) or with experts (granitemoe): Llama's layers with scales on embedding, scores,
// branches and logits, of which the last divides. Models that were trained without positions say so by
// rope.scaling.finetuned.
ModelSpec BuildGranite(const GgufFile& file) {
  SpecBuilder builder(file);
  builder.spec.embedding_scale = builder.keys.ScaleOr("embedding_scale", 1.0F);
  builder.spec.output_norm.factor = 1.0F / builder.keys.ScaleOr("logit_scale", 1.0F);
  const float residual_scale = builder.keys.ScaleOr("residual_scale", 1.0F);
  AttentionOptions options = {.rope = RopeOptions{.neox = false, .divisors = true}};
  if (!builder.keys.BoolOr("rope.scaling.finetuned", true)) options.rope.reset();
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer = builder.PreNormLayer(i);
    layer.residual_scale = residual_scale;
    layer.attention = builder.Attention(i, options);
    if (builder.HasExperts()) {
      layer.moe = builder.Moe(i, {.width = builder.keys.IntAt("feed_forward_length", i)});
      const int shared = builder.keys.Count("expert_shared_feed_forward_length");
      if (shared > 0) builder.AddSharedExpert(i, shared, /*gated=*/false, *layer.moe);
    } else {
      layer.ffn = builder.Ffn(i, {});
    }
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
