#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "model/model_spec.h"

namespace assay {

// Memory handed out piece by piece, each on a cache line. Without a start it only adds up what would be needed.
class Area {
 public:
  explicit Area(float* start = nullptr) : start_(start) {}

  float* Rows(int rows, int width) {
    constexpr size_t kLine = 16;
    float* piece = start_ == nullptr ? nullptr : start_ + used_;
    used_ += (static_cast<size_t>(rows) * static_cast<size_t>(width) + kLine - 1) / kLine * kLine;
    return piece;
  }
  size_t used() const { return used_; }

 private:
  float* start_;
  size_t used_ = 0;
};

// The activations inside a layer's mixer or feed-forward network, each [tokens][width]. They take turns in one area.
struct AttentionSpace {
  AttentionSpace(Area& area, const AttentionSpec& a, int tokens)
      : queries(area.Rows(tokens, a.heads * a.head_dim)),
        keys(area.Rows(tokens, a.kv_heads * a.head_dim)),
        values(area.Rows(tokens, a.kv_heads * a.head_dim)),
        gates(area.Rows(tokens, a.gate.tensor != nullptr ? a.heads * a.head_dim : 0)),
        mixed(area.Rows(tokens, a.heads * a.head_dim)) {}
  float *queries, *keys, *values, *gates, *mixed;
};

struct DeltaNetSpace {
  DeltaNetSpace(Area& area, const DeltaNetSpec& d, int tokens)
      : convolution(area.Rows(d.conv_window - 1 + tokens, d.qkv_width())),
        gates(area.Rows(tokens, d.value_width())),
        mixed(area.Rows(tokens, d.value_width())),
        alpha(area.Rows(tokens, d.value_heads)),
        beta(area.Rows(tokens, d.value_heads)) {}
  float* convolution;  // [window - 1 + tokens][channels]: outputs, and the inputs of batches that the state has no room
                       // for
  float *gates, *mixed, *alpha, *beta;
};

struct FfnSpace {
  FfnSpace(Area& area, const FfnSpec& f, int tokens)
      : gate(area.Rows(tokens, f.width)), up(area.Rows(tokens, f.width)) {}
  float *gate, *up;
};

struct MoeSpace {
  MoeSpace(Area& area, const MoeSpec& m, int width, int tokens)
      : router(area.Rows(tokens, m.experts)),
        shared(area.Rows(tokens, m.shared ? width : 0)),
        own_input(area.Rows(tokens, m.router_norm || m.input_norm ? width : 0)) {}
  float *router, *shared, *own_input;  // a shared expert's own activations follow
};

struct LayerInputSpace {
  LayerInputSpace(Area& area, const PerLayerInputSpec& inputs, int tokens) : gate(area.Rows(tokens, inputs.width)) {}
  float* gate;
};

// Floats of the area that batches of `tokens` take.
inline size_t AreaFloats(const ModelSpec& spec, int tokens) {
  size_t most = 0;
  for (const LayerSpec& layer : spec.layers) {
    Area mixer, ffn, input;
    if (layer.attention) AttentionSpace(mixer, *layer.attention, tokens);
    if (layer.delta_net) DeltaNetSpace(mixer, *layer.delta_net, tokens);
    if (layer.ffn) FfnSpace(ffn, *layer.ffn, tokens);
    if (layer.moe) {
      MoeSpace(ffn, *layer.moe, spec.width, tokens);
      if (layer.moe->shared) FfnSpace(ffn, *layer.moe->shared, tokens);
    }
    if (layer.input) LayerInputSpace(input, *spec.per_layer_inputs, tokens);
    most = std::max({most, mixer.used(), ffn.used(), input.used()});
  }
  return most;
}

}  // namespace assay
