// What choosing a token costs at the largest vocabularies in use.

#include <benchmark/benchmark.h>

#include <vector>

#include "base/rng.h"
#include "decode/sampler.h"
#include "decode/testing/top_of.h"

namespace {

constexpr size_t kVocab = 248320;

// Logits as models have them: most far below, a few above the rest.
std::vector<float> Row() {
  assay::Rng rng(1);
  std::vector<float> row(kVocab);
  for (float& x : row) x = static_cast<float>(2.5 * rng.Normal());
  for (int i = 0; i < 50; ++i) row[rng.Below(kVocab)] = static_cast<float>(10.0 + 3.0 * rng.Normal());
  return row;
}

void Draw(benchmark::State& state, const assay::SamplingOptions& options) {
  const std::vector<float> row = Row();
  const assay::RowTop top = assay::TopOf(row);  // found as the logits are checked, Session::Tops()
  assay::Rng rng(2);
  for (auto _ : state) {
    benchmark::DoNotOptimize(assay::SamplingDistribution(row, top, options).Draw(rng));
  }
}

}  // namespace

BENCHMARK_CAPTURE(Draw, greedy, {});
BENCHMARK_CAPTURE(Draw, temperature, {.temperature = 0.8F});
BENCHMARK_CAPTURE(Draw, top_k_40, {.temperature = 0.8F, .top_k = 40});
BENCHMARK_CAPTURE(Draw, top_p_95, {.temperature = 0.8F, .top_p = 0.95F});
BENCHMARK_CAPTURE(Draw, min_p_05, {.temperature = 0.8F, .min_p = 0.05F});

BENCHMARK_MAIN();
