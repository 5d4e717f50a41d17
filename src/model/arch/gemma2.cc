#include <cmath>

#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {
namespace {

constexpr int kFullEvery = 2;
// What files of the time when only Gemma 2 had them leave out.
constexpr int kWindow = 4096;
constexpr float kScoreCap = 50.0F, kLogitCap = 30.0F;
// The 27B model alone scales its attention by the width per head instead of the head size; its depth tells it.
constexpr int kLayersOf27B = 46;

}  // namespace

// Gemma 2: Gemma with norms after the branches too, caps on scores and logits, and a window on every other layer (Gemma
// 2 report, 2024).
ModelSpec BuildGemma2(const GgufFile& file) {
  SpecBuilder builder(file);
  const int width = builder.spec.width;
  builder.spec.embedding_scale = std::sqrt(static_cast<float>(width));
  builder.spec.logit_softcap = builder.keys.NonNegativeOr("final_logit_softcapping", kLogitCap);
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer = builder.PreNormLayer(i);
    builder.AddPostNorms(i, layer);
    AttentionSpec a = builder.Attention(i, {});
    if (builder.layers() == kLayersOf27B && !builder.keys.Has("attention.scale")) {
      a.scale = 1.0F / std::sqrt(static_cast<float>(width) / static_cast<float>(a.heads));
    }
    a.softcap = builder.keys.NonNegativeOr("attn_logit_softcapping", kScoreCap);
    if (builder.IsWindowLayer(i, kFullEvery)) a.window = builder.Window(kWindow);
    layer.attention = std::move(a);
    layer.ffn = builder.Ffn(i, {.activation = FfnActivation::kGeluTanh});
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
