#include "model/arch/spec_builder.h"
#include "model/arch/table.h"

namespace assay {

// Mistral 3 (Ministral): Llama's layers; queries beyond the original context are scaled by their position.
ModelSpec BuildMistral3(const GgufFile& file) {
  SpecBuilder builder(file);
  TemperatureSpec temperature;
  temperature.scale = builder.keys.NonNegativeOr("attention.temperature_scale", 0.0F);
  temperature.floor = builder.keys.IntOr("rope.scaling.original_context_length", builder.spec.context_length);
  for (int i = 0; i < builder.layers(); ++i) {
    LayerSpec layer = builder.PreNormLayer(i);
    layer.attention = builder.Attention(i, {.rope = RopeOptions{.neox = false, .divisors = true}});
    layer.attention->temperature = temperature;
    layer.ffn = builder.Ffn(i, {});
    builder.spec.layers.push_back(std::move(layer));
  }
  return builder.Finish();
}

}  // namespace assay
