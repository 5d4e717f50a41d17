#include <cmath>

#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {
namespace {

// Every sixth layer attends globally unless the file says otherwise; the others see a window and use a RoPE base of
// their own, unscaled (Gemma 3 report, 2025).
constexpr int kGlobalEvery = 6;
// The 27B model alone scales its attention by the width per head instead of the head size; its depth tells it.
constexpr int kLayersOf27B = 62;

}  // namespace

ModelSpec BuildGemma3(const GgufFile& file) {
  SpecBuilder builder(file);
  const int width = builder.spec.width;
  builder.spec.embedding_scale = std::sqrt(static_cast<float>(width));
  builder.spec.logit_softcap = builder.keys.NonNegativeOr("final_logit_softcapping", 0.0F);
  const int window = builder.Window();
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer = builder.PreNormLayer(i);
    builder.AddPostNorms(i, layer);
    const bool local = window > 0 && builder.IsWindowLayer(i, kGlobalEvery);
    RopeOptions rope;
    if (local) rope = {.scaled = false, .base_key = "rope.freq_base_swa"};
    AttentionSpec a = builder.Attention(i, {.norms = HeadNorms::kEachHead, .rope = rope});
    if (builder.layers() == kLayersOf27B && !builder.keys.Has("attention.scale")) {
      a.scale = 1.0F / std::sqrt(static_cast<float>(width) / static_cast<float>(a.heads));
    }
    if (local) a.window = window;
    layer.attention = std::move(a);
    layer.ffn = builder.Ffn(i, {.activation = FfnActivation::kGeluTanh});
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
