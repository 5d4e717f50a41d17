#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {
namespace {

constexpr int kFullEvery = 4;

}  // namespace

// Command R7B and A: Command R with a window on three of four layers; the fourth has no positions.
ModelSpec BuildCohere2(const GgufFile& file) {
  SpecBuilder builder(file, NormKind::kLayer);
  const int width = builder.spec.width;
  builder.spec.output_norm.factor = builder.keys.ScaleOr("logit_scale", 1.0F);
  const int window = builder.keys.Int("attention.sliding_window");
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer;
    layer.mixer_norm = builder.NeedNorm(SpecBuilder::Block(i, "attn_norm"), width);
    layer.parallel = true;
    const bool local = builder.IsWindowLayer(i, kFullEvery);
    const RopeOptions rope = {.neox = false, .base_key = builder.RopeBaseKey(local)};
    AttentionOptions options = {.rope = rope};
    if (!local) options.rope.reset();
    layer.attention = builder.Attention(i, options);
    if (local) layer.attention->window = window;
    layer.ffn = builder.Ffn(i, {});
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
