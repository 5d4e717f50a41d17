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

ModelSpec BuildCohere2(const GgufFile& file);
ModelSpec BuildCommandR(const GgufFile& file);
ModelSpec BuildErnie45(const GgufFile& file);
ModelSpec BuildExaone4(const GgufFile& file);
ModelSpec BuildGemma(const GgufFile& file);
ModelSpec BuildGemma2(const GgufFile& file);
ModelSpec BuildGemma3(const GgufFile& file);
ModelSpec BuildGemma4(const GgufFile& file);
ModelSpec BuildGlm4(const GgufFile& file);
ModelSpec BuildGptOss(const GgufFile& file);
ModelSpec BuildGranite(const GgufFile& file);  // dense (granite) and mixture of experts (granitemoe)
ModelSpec BuildHunyuanDense(const GgufFile& file);
ModelSpec BuildLlama(const GgufFile& file);
ModelSpec BuildMistral3(const GgufFile& file);
ModelSpec BuildOlmo2(const GgufFile& file);
ModelSpec BuildPhi2(const GgufFile& file);
ModelSpec BuildPhi3(const GgufFile& file);
ModelSpec BuildQwen2(const GgufFile& file);
ModelSpec BuildQwen2Moe(const GgufFile& file);
ModelSpec BuildQwen3(const GgufFile& file);  // dense (qwen3) and mixture of experts (qwen3moe)
ModelSpec BuildQwen3Next(const GgufFile& file);
ModelSpec BuildQwen35(const GgufFile& file);  // dense (qwen35) and mixture of experts (qwen35moe)
ModelSpec BuildSeedOss(const GgufFile& file);
ModelSpec BuildSmolLm3(const GgufFile& file);
ModelSpec BuildStableLm(const GgufFile& file);
ModelSpec BuildStarcoder2(const GgufFile& file);

}  // namespace assay
