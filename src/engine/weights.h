#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "engine/session.h"

namespace assay {

// The weights of a model as its backend holds them; the fields follow LayerSpec. Vectors (norms, biases) are float32
// buffers; matrices are Weights.
struct AttentionWeights {
  std::unique_ptr<Weight> q, gate, k, v, output;  // gate: null without an output gate
  std::unique_ptr<Buffer> q_norm, k_norm;
  std::vector<float> rope_factors;
};

struct DeltaNetWeights {
  std::unique_ptr<Weight> qkv, gate, alpha, beta, output;
  std::unique_ptr<Buffer> conv, dt_bias, a, norm;
};

struct FfnWeights {
  std::unique_ptr<Weight> gate, up, down;
};

struct MoeExpertWeights {
  std::unique_ptr<Weight> router, gate, up, down;
  std::unique_ptr<Buffer> shared_gate;
  FfnWeights shared;
};

struct LayerWeights {
  std::unique_ptr<Buffer> mixer_norm, post_mixer_norm, ffn_norm, post_ffn_norm;
  AttentionWeights attention;
  DeltaNetWeights delta_net;
  FfnWeights ffn;
  MoeExpertWeights moe;
};

struct EngineWeights {
  std::vector<LayerWeights> layers;
  std::unique_ptr<Weight> token_embedding;  // a table
  std::unique_ptr<Weight> output;
  std::unique_ptr<Buffer> output_norm;
  uint64_t bytes_per_token = 0;
  // Rows gathered from a file's tensor in another order, for Weights that go on reading them.
  std::vector<std::vector<uint8_t>> gathered;
};

}  // namespace assay
