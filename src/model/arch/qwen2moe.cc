#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {

// Qwen1.5 and 2 with experts: weights of the softmax over all of them, as they are, and a shared expert with a gate.
ModelSpec BuildQwen2Moe(const GgufFile& file) {
  SpecBuilder builder(file);
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer = builder.PreNormLayer(i);
    layer.attention = builder.Attention(i, {.biases = true});
    const int ffn_width = builder.keys.Int("feed_forward_length");
    const int used = builder.keys.IntAt("expert_used_count", i);
    layer.moe = builder.Moe(i, {.renormalise = false, .width = std::max(1, ffn_width / used)});
    const int shared = builder.keys.IntOr("expert_shared_feed_forward_length", ffn_width);
    builder.AddSharedExpert(i, shared, /*gated=*/true, *layer.moe);
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
