#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"

namespace assay {

// The sizes of a published model.
struct SynthPreset {
  std::string_view name;  // "qwen35-0.8B"
  std::string_view architecture;
  int layers, width, heads, kv_heads, head_dim;
  int ffn;  // 0: mixture of experts
  int vocab, context;
  bool tied;  // the token embedding is the output matrix
  float rope_base;
  int key_heads = 0, value_heads = 0;  // delta net; its head size is 128
  int experts = 0, used = 0, expert_ffn = 0;
  int window = 0;            // sliding-window attention
  float rope_factor = 1.0F;  // linear scaling
};

std::span<const SynthPreset> SynthPresets();

// How a tensor of random weights is drawn, so that activations stay finite and logits sane.
enum class SynthKind {
  kMatrix,  // variance 1 / row length: products keep their inputs' variance
  kNorm,    // near 1
  kDecay,   // ssm_a: negative
  kStep,    // ssm_dt.bias: softplus of it is well below 1
};

struct SynthTensor {
  std::string name;
  std::vector<uint64_t> shape;
  SynthKind kind = SynthKind::kMatrix;
};

// The tensors that a real file of the preset's architecture has, with its names and shapes.
std::vector<SynthTensor> SynthTensors(const SynthPreset& preset);

// The metadata of such a file, with a made-up byte-level vocabulary of the right size that loads and takes any text.
GgufMetadata SynthMetadata(const SynthPreset& preset);

}  // namespace assay
