#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {
namespace {

constexpr int kNoRopeEvery = 4;  // no key says so

}  // namespace

// SmolLM3: Llama's layers, every fourth without positions (NoPE, Yang et al. 2025).
ModelSpec BuildSmolLm3(const GgufFile& file) {
  SpecBuilder builder(file);
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer = builder.PreNormLayer(i);
    AttentionOptions options = {.rope = RopeOptions{.neox = false}};
    if ((i + 1) % kNoRopeEvery == 0) options.rope.reset();
    layer.attention = builder.Attention(i, options);
    layer.ffn = builder.Ffn(i, {});
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
