#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "quant/formats.h"

namespace assay {

// A rung of the ladder: a file type of llama.cpp's quantiser, a base format and rules that raise some tensors.
enum class Rung {
  kF16,
  kQ8_0,
  kQ6_K,
  kQ5_K_M,
  kQ4_K_M,
  kQ3_K_M,
  kQ2_K,
  kQ4_0,
  kBF16,
  kQ5_1,
  kQ5_K_S,
  kQ5_0,
  kQ4_1,
  kQ4_K_S,
  kIQ4_NL,
  kQ3_K_L,
  kQ3_K_S,
  kIQ4_XS,
  kMXFP4_MOE,
};

struct RungTraits {
  Rung rung;
  std::string_view name;  // "Q4_K_M"
  uint32_t file_type;     // GGUF general.file_type
  Format base;
  bool usual;  // a ladder has it unless told otherwise
};

// All rungs, from the largest of an ordinary model to the smallest.
std::span<const RungTraits> Rungs();
const RungTraits& TraitsOf(Rung rung);
const RungTraits* FindRung(std::string_view name);  // case-insensitive; null if unknown

}  // namespace assay
