#pragma once

#include <span>
#include <string_view>

#include "model/model_spec.h"

namespace assay {

// An architecture is one builder and one row here.
struct ArchitectureRow {
  std::string_view name;  // general.architecture
  ModelSpec (*build)(const GgufFile& file);
};

std::span<const ArchitectureRow> Architectures();

ModelSpec BuildGemma3(const GgufFile& file);
ModelSpec BuildLlama(const GgufFile& file);
ModelSpec BuildQwen3(const GgufFile& file);
ModelSpec BuildQwen35(const GgufFile& file);  // dense (qwen35) and mixture of experts (qwen35moe)

}  // namespace assay
