// Products of the cpu backend against the limits of the machine: a token at a time against the bandwidth of its memory,
// a prompt against its int8 peak, and what a batch costs as a multiple of one token. All threads that the process may
// use. After the library's options: a backend, such as cpu:avx2.

#include <benchmark/benchmark.h>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/probes.h"
#include "base/rng.h"
#include "base/thread_pool.h"

namespace assay {
namespace {

// The FFN of a 0.8B model. Matrices cycle through so much memory that no cache keeps any of them.
constexpr int64_t kRows = 3584, kColumns = 1024;
constexpr size_t kTotalBytes = size_t{256} << 20;

struct Limits {
  double read_bandwidth = MeasureReadBandwidth(HardwareThreads(), 1.0);
  double int8_ops = MeasurePeak(HardwareThreads(), 0.3).int8_ops;
};

std::string& BackendName() {
  static std::string name = "cpu";
  return name;
}

const Limits& MachineLimits() {
  static const Limits limits;
  return limits;
}

struct Matrices {
  Matrices(const FormatTraits& traits, Backend& backend) : data(BytesOf(traits, kRows * kColumns)) {
    Rng rng(1);
    std::vector<float> values(kColumns);
    const size_t row_bytes = data.size() / kRows;
    for (size_t row = 0; row < kRows; ++row) {
      // A few different rows will do: the time does not depend on the values.
      if (row < 16) {
        for (float& value : values) value = static_cast<float>(rng.Normal() * 0.05);
        traits.encode(values.data(), data.data() + row * row_bytes, kColumns, nullptr);
      } else {
        std::copy_n(data.data() + row % 16 * row_bytes, row_bytes, data.data() + row * row_bytes);
      }
    }
    for (size_t bytes = 0; bytes < kTotalBytes; bytes += data.size()) {
      weights.push_back(backend.Load({"bench", traits.format, kRows, kColumns, 1, data}));
    }
  }

  std::vector<uint8_t> data;
  std::vector<std::unique_ptr<Weight>> weights;
};

// The matrices of the format that is being measured; the library calls a benchmark several times.
const Matrices& MatricesOf(const FormatTraits& traits, Backend& backend) {
  static Format held = Format::kF32;
  static std::unique_ptr<Matrices> matrices;
  if (matrices == nullptr || held != traits.format) {
    matrices.reset();
    matrices = std::make_unique<Matrices>(traits, backend);
    held = traits.format;
  }
  return *matrices;
}

void Product(benchmark::State& state, const FormatTraits& traits, Arithmetic arithmetic) {
  static const std::unique_ptr<Backend> backend = MakeBackend(BackendName(), HardwareThreads());
  static std::map<Format, double> seconds_of_one;
  const Matrices& matrices = MatricesOf(traits, *backend);
  const auto tokens = static_cast<int>(state.range(0));
  std::vector<float> in(static_cast<size_t>(tokens * kColumns), 0.5F), out(static_cast<size_t>(tokens * kRows));
  size_t next = 0;
  const auto start = std::chrono::steady_clock::now();
  for (auto _ : state) {
    const Backend::MatMulTarget target = {matrices.weights[next].get(), out.data()};
    backend->MatMul({&target, 1}, in.data(), tokens, arithmetic);
    next = (next + 1) % matrices.weights.size();
  }
  const auto count = static_cast<double>(state.iterations());
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / count;
  if (tokens == 1 && arithmetic == Arithmetic::kEveryday) seconds_of_one[traits.format] = seconds;
  const double operations = 2.0 * static_cast<double>(kRows * kColumns) * tokens;
  using benchmark::Counter;
  state.counters["GB/s"] = Counter(static_cast<double>(matrices.data.size()) * count / 1e9, Counter::kIsRate);
  state.counters["of_bandwidth"] =
      Counter(static_cast<double>(matrices.data.size()) * count / MachineLimits().read_bandwidth, Counter::kIsRate);
  if (seconds_of_one.contains(traits.format)) state.counters["of_one_token"] = seconds / seconds_of_one[traits.format];
  state.counters["of_int8_peak"] = Counter(operations * count / MachineLimits().int8_ops, Counter::kIsRate);
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (argc == 2) assay::BackendName() = argv[1];
  if (argc > 2 && benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  for (const assay::FormatTraits& traits : assay::Formats()) {
    const auto add = [&](const std::string& name, assay::Arithmetic arithmetic, const std::vector<int64_t>& tokens) {
      const auto run = [&traits, arithmetic](benchmark::State& state) { assay::Product(state, traits, arithmetic); };
      auto* entry = benchmark::RegisterBenchmark(name.c_str(), run)->ArgName("tokens")->UseRealTime();
      for (const int64_t count : tokens) entry->Arg(count);
    };
    const std::string name(traits.name);
    add(name, assay::Arithmetic::kEveryday, {1, 2, 5, 9, 512});
    add(name + " fine", assay::Arithmetic::kFine, {512});
  }
  const assay::Limits& limits = assay::MachineLimits();
  benchmark::AddCustomContext("read_bandwidth", fmt::format("{:.1f} GB/s", limits.read_bandwidth / 1e9));
  benchmark::AddCustomContext("int8_peak", fmt::format("{:.0f} Gop/s", limits.int8_ops / 1e9));
  benchmark::AddCustomContext("backend",
                              assay::MakeBackend(assay::BackendName(), assay::HardwareThreads())->description());
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
