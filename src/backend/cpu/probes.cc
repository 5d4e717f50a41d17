#include "backend/cpu/probes.h"

#include <algorithm>
#include <atomic>

#include "backend/cpu/aligned.h"
#include "backend/cpu/isa.h"
#include "base/clock.h"
#include "base/thread_pool.h"

namespace assay {
namespace {

double MeasureLoop(ThreadPool& pool, double (*loop)(int64_t rounds), double seconds) {
  if (loop == nullptr) return 0;
  // A pass of about a millisecond, so that the best one saw no interruption.
  int64_t rounds = 1000;
  for (;;) {
    const Stopwatch pass_time;
    loop(rounds);
    if (pass_time.Seconds() > 1e-3) break;
    rounds *= 2;
  }
  double best = 0;
  const Stopwatch all;
  do {
    std::atomic<double> total = 0;
    const Stopwatch pass_time;
    pool.ParallelFor(pool.size(), [&](int64_t) { total.fetch_add(loop(rounds)); });
    best = std::max(best, total.load() / pass_time.Seconds());
  } while (all.Seconds() < seconds);
  return best;
}

}  // namespace

PeakRates MeasurePeak(int threads, double seconds) {
  ThreadPool pool(threads);
  const cpu::KernelTable kernels = cpu::KernelsFor("");
  PeakRates rates;
  rates.int8_ops = MeasureLoop(pool, kernels.int8_loop, seconds);
  rates.f32_flops = MeasureLoop(pool, kernels.fma_loop, seconds);
  rates.bf16_flops = MeasureLoop(pool, kernels.bf16_loop, seconds);
  return rates;
}

double MeasureReadBandwidth(int threads, double seconds) {
  ThreadPool pool(threads);
  const cpu::KernelTable kernels = cpu::KernelsFor("");
  constexpr size_t kBytes = size_t{512} << 20;
  const size_t part = kBytes / static_cast<size_t>(pool.size()) / 4096 * 4096;
  cpu::AlignedBytes buffer(kBytes);
  pool.ParallelFor(pool.size(), [&](int64_t i) {
    std::fill_n(buffer.data() + static_cast<size_t>(i) * part, part, static_cast<uint8_t>(i + 1));
  });
  std::atomic<uint64_t> digest = 0;
  double best = 0;
  const Stopwatch all;
  for (int pass = 0; pass < 3 || all.Seconds() < seconds; ++pass) {
    const Stopwatch pass_time;
    pool.ParallelFor(pool.size(), [&](int64_t i) {
      digest.fetch_add(kernels.read_all(buffer.data() + static_cast<size_t>(i) * part, part));
    });
    best = std::max(best, static_cast<double>(part) * pool.size() / pass_time.Seconds());
  }
  return best;
}

FixedWork::FixedWork(ThreadPool& pool) : pool_(pool) {
  constexpr double kSeconds = 2e-3;
  while (Seconds() < kSeconds / 2) rounds_ *= 2;
}

double FixedWork::Seconds() {
  const cpu::KernelTable& kernels = cpu::KernelsFor("");
  std::atomic<double> total = 0;
  const Stopwatch watch;
  pool_.ParallelFor(pool_.size(), [&](int64_t) { total.fetch_add(kernels.fma_loop(rounds_)); });
  return watch.Seconds();
}

}  // namespace assay
