#include <cmath>

#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {
namespace {

// Every sixth layer attends globally unless the file says otherwise; the others see a window and use a RoPE base of
// their own, unscaled (Gemma 3 report, 2025).
constexpr int kGlobalEvery = 6;
constexpr float kLocalRopeBase = 10000.0F;
// The 27B model alone scales its attention by the width per head instead of the head size; its depth tells it.
constexpr int kLayersOf27B = 62;

}  // namespace

ModelSpec BuildGemma3(const GgufFile& file) {
  SpecBuilder builder(file);
  ModelSpec& spec = builder.spec;
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.width));
  const int layers = builder.Int("block_count");
  const int window = builder.Int("attention.sliding_window");
  const int global_every = builder.IntOr("attention.sliding_window_pattern", kGlobalEvery);
  for (int i = 0; i < layers; ++i) {
    LayerSpec layer;
    layer.mixer_norm = builder.Need(SpecBuilder::Block(i, "attn_norm.weight"), {spec.width});
    layer.post_mixer_norm = builder.Need(SpecBuilder::Block(i, "post_attention_norm.weight"), {spec.width});
    layer.ffn_norm = builder.Need(SpecBuilder::Block(i, "ffn_norm.weight"), {spec.width});
    layer.post_ffn_norm = builder.Need(SpecBuilder::Block(i, "post_ffw_norm.weight"), {spec.width});
    AttentionSpec attention = builder.Attention(i, /*output_gate=*/false, /*head_norms=*/true);
    if (layers == kLayersOf27B) {
      attention.scale = 1.0F / std::sqrt(static_cast<float>(spec.width) / static_cast<float>(attention.heads));
    }
    if ((i + 1) % global_every != 0) {
      attention.window = window;
      attention.rope.base = builder.PositiveOr("rope.freq_base_swa", kLocalRopeBase);
    } else {
      attention.rope.scale = builder.RopeScale();
    }
    layer.attention = attention;
    layer.ffn = builder.Ffn(i, FfnActivation::kGeluTanh);
    spec.layers.push_back(layer);
  }
  return builder.Finish();
}

}  // namespace assay
