#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "forge/synth_presets.h"
#include "quant/rung.h"

namespace assay {

struct SynthOptions {
  Rung rung = Rung::kF16;
  int layers = 0;  // 0: as many as the real model has
  uint64_t seed = 1;
  std::function<void(uint64_t done, uint64_t total, const std::string& tensor)> progress;  // in bytes written
};

struct SynthResult {
  uint64_t parameters = 0, bytes = 0;
  int layers = 0;
};

// The preset of that name, with or without the architecture in front of it ("qwen35-0.8B", or "0.8B" of "qwen35").
// Throws kUsage and lists the presets when there is none.
const SynthPreset& FindSynthPreset(std::string_view architecture, std::string_view name);

// Writes a model of a real model's shape with random weights: for throughput, which does not depend on them, where the
// real file cannot be had. The same bytes for the same preset, rung, layers and seed. Memory stays small.
SynthResult SynthModel(const SynthPreset& preset, const std::filesystem::path& out, const SynthOptions& options);

}  // namespace assay
