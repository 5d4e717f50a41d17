#include "forge/synth.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "forge/mixture.h"

namespace assay {
namespace {

// Large tensors are drawn from a pool of encoded pieces: searching the scales of every block would take minutes, and
// how fast a model runs does not depend on whether its blocks repeat.
constexpr uint64_t kPieceValues = 256;
constexpr uint64_t kPoolPieces = 256;
constexpr uint64_t kChunkPieces = 4096;  // written at a time

constexpr uint32_t kQuantizationVersion = 2;

// FNV-1a, so that a tensor's weights depend on the seed and its name alone.
uint64_t SeedOf(uint64_t seed, std::string_view name) {
  uint64_t hash = 0xCBF29CE484222325ULL ^ seed;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  return hash;
}

float Draw(Rng& rng, SynthKind kind, float deviation) {
  switch (kind) {
    case SynthKind::kMatrix:
      return static_cast<float>(rng.Normal()) * deviation;
    case SynthKind::kNorm:
      return static_cast<float>(0.9 + 0.2 * rng.Uniform());
    case SynthKind::kDecay:
      return static_cast<float>(-0.5 - 4.0 * rng.Uniform());
    case SynthKind::kStep:
      return static_cast<float>(-4.0 + 3.0 * rng.Uniform());
  }
  return 0.0F;
}

// Random values, encoded row by row.
std::vector<uint8_t> EncodeRandom(Rng& rng, SynthKind kind, const FormatTraits& format, uint64_t row_length,
                                  uint64_t rows, float deviation) {
  std::vector<float> row(row_length);
  std::vector<uint8_t> encoded(rows * BytesOf(format, row_length));
  for (uint64_t r = 0; r < rows; ++r) {
    for (float& value : row) value = Draw(rng, kind, deviation);
    format.encode(row.data(), encoded.data() + r * BytesOf(format, row_length), static_cast<int64_t>(row_length),
                  nullptr);
  }
  return encoded;
}

class Synthesizer {
 public:
  Synthesizer(GgufWriter& writer, uint64_t seed) : writer_(writer), seed_(seed) {}

  template <typename Report>
  void Write(const SynthTensor& tensor, const GgufTensorInfo& info, const Report& report) {
    const FormatTraits& format = TraitsOf(info.format);
    const uint64_t row_length = tensor.shape.front();
    uint64_t rows = 1;
    for (size_t d = 1; d < tensor.shape.size(); ++d) rows *= tensor.shape[d];
    const float deviation = 1.0F / std::sqrt(static_cast<float>(row_length));
    Rng rng(SeedOf(seed_, tensor.name));
    if (row_length % kPieceValues != 0 || rows * row_length <= kPoolPieces * kPieceValues) {
      writer_.WriteData(EncodeRandom(rng, tensor.kind, format, row_length, rows, deviation));
      report(info.bytes());
      return;
    }
    const std::vector<uint8_t>& pool = PoolOf(format, row_length, deviation);
    const uint64_t piece_bytes = BytesOf(format, kPieceValues);
    std::vector<uint8_t> chunk;
    for (uint64_t left = rows * row_length / kPieceValues; left > 0;) {
      const uint64_t pieces = std::min(left, kChunkPieces);
      chunk.resize(pieces * piece_bytes);
      for (uint64_t i = 0; i < pieces; ++i) {
        std::memcpy(chunk.data() + i * piece_bytes, pool.data() + rng.Below(kPoolPieces) * piece_bytes, piece_bytes);
      }
      writer_.WriteData(chunk);
      report(chunk.size());
      left -= pieces;
    }
  }

 private:
  const std::vector<uint8_t>& PoolOf(const FormatTraits& format, uint64_t row_length, float deviation) {
    std::vector<uint8_t>& pool = pools_[{format.format, row_length}];
    if (pool.empty()) {
      Rng rng(SeedOf(seed_, fmt::format("{} {}", format.name, row_length)));
      pool = EncodeRandom(rng, SynthKind::kMatrix, format, kPieceValues, kPoolPieces, deviation);
    }
    return pool;
  }

  GgufWriter& writer_;
  uint64_t seed_;
  std::map<std::pair<Format, uint64_t>, std::vector<uint8_t>> pools_;
};

// The formats that quantising the real model would give.
std::vector<GgufTensorInfo> Declare(const SynthPreset& preset, const std::vector<SynthTensor>& tensors, Rung rung) {
  std::vector<MixtureTensor> mixture;
  mixture.reserve(tensors.size());
  for (const SynthTensor& tensor : tensors) mixture.push_back({tensor.name, tensor.shape, Format::kF32});
  MixtureFacts facts;
  facts.architecture = preset.architecture;
  facts.block_count = preset.layers;
  facts.head_count = preset.heads;
  facts.head_count_kv = preset.kv_heads;
  facts.expert_count = preset.experts;
  const std::vector<MixtureChoice> choices = ChooseMixture(rung, facts, mixture);
  std::vector<GgufTensorInfo> infos;
  infos.reserve(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) infos.push_back({tensors[i].name, tensors[i].shape, choices[i].format});
  return infos;
}

}  // namespace

const SynthPreset& FindSynthPreset(std::string_view architecture, std::string_view name) {
  std::vector<std::string_view> names;
  for (const SynthPreset& preset : SynthPresets()) {
    const bool named = preset.name == name || preset.name == fmt::format("{}-{}", architecture, name);
    if (named && (architecture.empty() || preset.architecture == architecture)) return preset;
    names.push_back(preset.name);
  }
  Fail(ErrorKind::kUsage, "no preset '{}' of architecture '{}'; there are {}", name,
       architecture.empty() ? "any" : architecture, fmt::join(names, ", "));
}

SynthResult SynthModel(const SynthPreset& preset, const std::filesystem::path& out, const SynthOptions& options) {
  SynthPreset sized = preset;
  if (options.layers > 0) sized.layers = options.layers;
  const std::vector<SynthTensor> tensors = SynthTensors(sized);
  const std::vector<GgufTensorInfo> infos = Declare(sized, tensors, options.rung);
  GgufMetadata metadata = SynthMetadata(sized);
  SetMetadata(metadata, "general.quantization_version", GgufValue::Of(kQuantizationVersion));
  SetMetadata(metadata, "general.file_type", GgufValue::Of(TraitsOf(options.rung).file_type));

  SynthResult result;
  result.layers = sized.layers;
  uint64_t total = 0, done = 0;
  for (const GgufTensorInfo& info : infos) {
    uint64_t elements = 1;
    for (const uint64_t dimension : info.shape) elements *= dimension;
    result.parameters += elements;
    total += info.bytes();
  }
  GgufWriter writer(out, metadata, infos);
  Synthesizer synthesizer(writer, options.seed);
  for (size_t i = 0; i < tensors.size(); ++i) {
    synthesizer.Write(tensors[i], infos[i], [&](uint64_t bytes) {
      done += bytes;
      if (options.progress) options.progress(done, total, tensors[i].name);
    });
  }
  result.bytes = writer.size();
  writer.Finish();
  return result;
}

}  // namespace assay
