#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {
namespace {

constexpr int kFullEvery = 4;

}  // namespace

// EXAONE 4: norms after the branches instead of before them, and on the heads of q and k. Where there is a window (the
// 32B model), three of four layers have it, and the fourth has no positions.
ModelSpec BuildExaone4(const GgufFile& file) {
  SpecBuilder builder(file);
  const int width = builder.spec.width;
  const int window = builder.Window();
  builder.keys.Ignore("rope.freq_base_swa");
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer;
    layer.post_mixer_norm = builder.NeedNorm(SpecBuilder::Block(i, "post_attention_norm"), width);
    layer.post_ffn_norm = builder.NeedNorm(SpecBuilder::Block(i, "post_ffw_norm"), width);
    const bool local = window > 0 && builder.IsWindowLayer(i, kFullEvery);
    RopeOptions rope = {.divisors = true};
    if (local && builder.keys.Has("rope.freq_base_swa")) rope.base_key = "rope.freq_base_swa";
    AttentionOptions options = {.norms = HeadNorms::kEachHead, .rope = rope};
    if (window > 0 && !local) options.rope.reset();
    layer.attention = builder.Attention(i, options);
    if (local) layer.attention->window = window;
    layer.ffn = builder.Ffn(i, {});
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
