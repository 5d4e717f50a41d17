#include "cli/command.h"

namespace assay {
namespace {

constexpr Command kCommands[] = {
    {"inspect", "show a model file's metadata, layers, tensors and bytes by type",
     "assay inspect models/tiny-qwen35.gguf", AddInspect},
};

}  // namespace

std::span<const Command> Commands() { return kCommands; }

}  // namespace assay
