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
  const int window = builder.Window();
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer;
    builder.AddPostNorms(i, layer);
    const bool local = window > 0 && builder.IsWindowLayer(i, kFullEvery);
    const RopeOptions rope = {.divisors = true, .base_key = builder.RopeBaseKey(local)};
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
