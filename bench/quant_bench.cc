#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "base/rng.h"
#include "quant/formats.h"

// Throughput of each format's scalar decoder and of its encoder, in weights per second on one core.

namespace {

constexpr int64_t kCount = 256 * 256;

std::vector<float> Gaussian() {
  assay::Rng rng(1);
  std::vector<float> x(kCount);
  for (float& value : x) value = static_cast<float>(0.02 * rng.Normal());
  return x;
}

void Encode(benchmark::State& state, const assay::FormatTraits& traits) {
  const std::vector<float> x = Gaussian();
  std::vector<uint8_t> bytes(assay::BytesOf(traits, kCount));
  for (auto _ : state) {
    traits.encode(x.data(), bytes.data(), kCount, nullptr);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kCount);
}

void Decode(benchmark::State& state, const assay::FormatTraits& traits) {
  std::vector<float> x = Gaussian();
  std::vector<uint8_t> bytes(assay::BytesOf(traits, kCount));
  traits.encode(x.data(), bytes.data(), kCount, nullptr);
  for (auto _ : state) {
    traits.decode(bytes.data(), x.data(), kCount);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kCount);
}

}  // namespace

int main(int argc, char** argv) {
  for (const assay::FormatTraits& traits : assay::Formats()) {
    const std::string name(traits.name);
    benchmark::RegisterBenchmark(("encode/" + name).c_str(), [&traits](benchmark::State& s) { Encode(s, traits); });
    benchmark::RegisterBenchmark(("decode/" + name).c_str(), [&traits](benchmark::State& s) { Decode(s, traits); });
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
