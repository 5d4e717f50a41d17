#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"

namespace assay {

inline constexpr std::string_view kGgufAlignmentKey = "general.alignment";
inline constexpr uint64_t kGgufDefaultAlignment = 32;

// One file of a model, as parsed.
struct GgufPart {
  uint32_t version = 3;
  uint64_t alignment = kGgufDefaultAlignment;
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors;
};

// Parses the bytes of one GGUF file; the tensors' data points into them. `source` names them in messages.
GgufPart ParseGgufPart(std::span<const uint8_t> bytes, std::string_view source,
                       TensorTypes types = TensorTypes::kComputable);

// The alignment that the metadata declares, or the default. Throws kBadFile for one that is no power of two in range.
uint64_t GgufAlignment(const GgufMetadata& metadata, std::string_view source);

// Bytes of one scalar in the file; 0 for strings and arrays.
uint64_t ScalarBytes(GgufType type);

}  // namespace assay
