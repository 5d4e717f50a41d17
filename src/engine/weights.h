#pragma once

#include <memory>
#include <vector>

#include "engine/session.h"

namespace assay {

// The weights of a model as its backend holds them; the fields follow LayerSpec, null where a layer has none. Vectors
// (norms, biases) are float32 buffers; matrices are Weights.

struct NormWeights {
  NormSpec spec;
  std::unique_ptr<Buffer> weight;  // null: the norm is absent
  std::unique_ptr<Buffer> bias;
  int rows = 1;  // of the weight: one for each head, or one for all

  explicit operator bool() const { return weight != nullptr; }
};

// A matrix and the vector that is added to its products.
struct Linear {
  std::unique_ptr<Weight> weight;
  std::unique_ptr<Buffer> bias;

  explicit operator bool() const { return weight != nullptr; }
};

struct AttentionWeights {
  Linear q, gate, k, v, output;
  NormWeights q_norm, k_norm, v_norm;
  std::unique_ptr<Buffer> sinks;
};

struct DeltaNetWeights {
  Linear qkv, gate, alpha, beta, output;
  std::unique_ptr<Buffer> conv, dt_bias, a, norm;
};

struct FfnWeights {
  Linear gate, up, down;
};

struct MoeExpertWeights {
  Linear router, gate, up, down;  // biases of experts: [experts][rows]
  std::unique_ptr<Buffer> expert_scale, shared_gate;
  NormWeights router_norm, input_norm, post_norm, shared_post_norm;
  FfnWeights shared;
};

struct LayerInputWeights {
  Linear gate, projection;
  NormWeights post_norm;
};

struct LayerWeights {
  NormWeights mixer_norm, post_mixer_norm, ffn_norm, post_ffn_norm;
  AttentionWeights attention;
  DeltaNetWeights delta_net;
  FfnWeights ffn;
  MoeExpertWeights moe;
  LayerInputWeights input;
};

struct PerLayerInputWeights {
  std::unique_ptr<Weight> table;
  Linear projection;
  NormWeights norm;
};

struct EngineWeights {
  std::vector<LayerWeights> layers;
  std::unique_ptr<Weight> token_embedding;  // a table
  PerLayerInputWeights per_layer_inputs;
  Linear output;
  NormWeights output_norm;
  uint64_t bytes_per_token = 0;
  // Rows gathered from a file's tensor in another order, for Weights that go on reading them.
  std::vector<std::vector<uint8_t>> gathered;
};

}  // namespace assay
