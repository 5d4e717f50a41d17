#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "quant/rung.h"

namespace assay {

// What the mixture rules look at, besides the tensors' names and shapes.
struct MixtureFacts {
  std::string architecture = {};  // as the file names it; for the few exceptions that are made for one
  int block_count = 0;
  int head_count = 0;     // of layer 0, as everything that llama.cpp decides by heads
  int head_count_kv = 0;  // of layer 0; 0 where that is no attention
  int expert_count = 0;
  bool has_importance = false;  // an importance matrix is given
};

struct MixtureTensor {
  std::string name;
  std::vector<uint64_t> shape;  // GGUF order: shape[0] is the row length
  Format current = Format::kF32;
};

// What becomes of one tensor.
struct MixtureChoice {
  Format format = Format::kF32;  // equal to `current` when the tensor is left alone
  bool eligible = false;         // the rules quantise it at all
  bool fallback = false;         // the row length does not divide into the wanted format's blocks
  Format wanted = Format::kF32;  // what the mixture asked for, before a fallback
};

// The format that a row of this length takes when `wanted` is asked for: itself if the row divides into its blocks,
// else what llama.cpp falls back to (a format with blocks of 32, or F16). For formats asked for by hand, too.
Format FitToRow(Format wanted, uint64_t row_length);

// Chooses the format of each tensor of a file (some rules count: in the order of the layers), as llama.cpp's quantiser
// does; rules and their sources: reference in docs/formats.md.
std::vector<MixtureChoice> ChooseMixture(Rung rung, const MixtureFacts& facts, std::span<const MixtureTensor> tensors);

}  // namespace assay
