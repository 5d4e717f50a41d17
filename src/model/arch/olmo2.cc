#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {
namespace {

constexpr int kFullEvery = 4;

}  // namespace

// OLMo 2 and 3: norms after the branches instead of before them, and one over all heads of q and one over those of k.
// OLMo 3 has a window on three of four layers, whose RoPE is not scaled.
ModelSpec BuildOlmo2(const GgufFile& file) {
  SpecBuilder builder(file);
  const int window = builder.Window();
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer;
    builder.AddPostNorms(i, layer);
    const bool local = window > 0 && builder.IsWindowLayer(i, kFullEvery);
    const RopeOptions rope = {.scaled = !local, .base_key = builder.RopeBaseKey(local)};
    layer.attention = builder.Attention(i, {.norms = HeadNorms::kAllHeads, .rope = rope});
    if (local) layer.attention->window = window;
    layer.ffn = builder.Ffn(i, {});
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
