#include "model/arch/table.h"

namespace assay {

std::span<const ArchitectureRow> Architectures() {
  static constexpr ArchitectureRow kRows[] = {
      {"gemma3", &BuildGemma3}, {"llama", &BuildLlama},      {"qwen3", &BuildQwen3},
      {"qwen35", &BuildQwen35}, {"qwen35moe", &BuildQwen35},
  };
  return kRows;
}

}  // namespace assay
