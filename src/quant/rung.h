#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "quant/formats.h"

namespace assay {

// A rung of the ladder: a file type of llama.cpp's quantiser, a base format and rules that raise some tensors.
enum class Rung { kF16, kQ8_0, kQ6_K, kQ5_K_M, kQ4_K_M, kQ3_K_M, kQ2_K, kQ4_0 };

struct RungTraits {
  Rung rung;
  std::string_view name;  // "Q4_K_M"
  uint32_t file_type;     // GGUF general.file_type
  Format base;
};

// All rungs from the largest to the smallest.
std::span<const RungTraits> Rungs();
const RungTraits& TraitsOf(Rung rung);
const RungTraits* FindRung(std::string_view name);  // case-insensitive; null if unknown

}  // namespace assay
