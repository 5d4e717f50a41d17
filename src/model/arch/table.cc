#include "model/arch/table.h"

namespace assay {

std::span<const ArchitectureRow> Architectures() {
  static constexpr ArchitectureRow kRows[] = {
      {"cohere2", &BuildCohere2},
      {"command-r", &BuildCommandR},
      {"ernie4_5", &BuildErnie45},
      {"exaone4", &BuildExaone4},
      {"gemma", &BuildGemma},
      {"gemma2", &BuildGemma2},
      {"gemma3", &BuildGemma3},
      {"gemma4", &BuildGemma4},
      {"glm4", &BuildGlm4},
      {"gpt-oss", &BuildGptOss},
      {"granite", &BuildGranite},
      {"granitemoe", &BuildGranite},
      {"hunyuan-dense", &BuildHunyuanDense},
      {"llama", &BuildLlama},
      {"mistral3", &BuildMistral3},
      {"olmo2", &BuildOlmo2},
      {"phi2", &BuildPhi2},
      {"phi3", &BuildPhi3},
      {"qwen2", &BuildQwen2},
      {"qwen2moe", &BuildQwen2Moe},
      {"qwen3", &BuildQwen3},
      {"qwen3moe", &BuildQwen3},
      {"qwen3next", &BuildQwen3Next},
      {"qwen35", &BuildQwen35},
      {"qwen35moe", &BuildQwen35},
      {"seed_oss", &BuildSeedOss},
      {"smollm3", &BuildSmolLm3},
      {"stablelm", &BuildStableLm},
      {"starcoder2", &BuildStarcoder2},
  };
  return kRows;
}

}  // namespace assay
