#include "cli/command.h"

namespace assay {
namespace {

constexpr Command kCommands[] = {
    {"inspect", "show a model file's metadata, layers, tensors and bytes by type",
     "assay inspect models/tiny-qwen35.gguf", AddInspect},
    {"quantize", "write a model at a rung of the quantisation ladder",
     "assay quantize models/tiny-qwen35.gguf /tmp/tiny-Q4_K_M.gguf Q4_K_M", AddQuantize},
    {"synth", "write a model of a real model's shape with random weights, for throughput alone",
     "assay synth --arch qwen35 --preset 0.8B --type Q4_K_M /tmp/synth-0.8B-Q4_K_M.gguf", AddSynth},
};

}  // namespace

std::span<const Command> Commands() { return kCommands; }

}  // namespace assay
