#include "measure/probe.h"

#include <algorithm>

#include "backend/cpu/probes.h"
#include "base/thread_pool.h"
#include "judge/statistics.h"

namespace assay {

Probe::Probe(int threads, double seconds_per_sample)
    : threads_(threads > 0 ? threads : HardwareThreads()), seconds_(seconds_per_sample) {}

void Probe::SampleRead() { result_.read_samples.push_back(MeasureReadBandwidth(threads_, seconds_)); }

void Probe::SamplePeak() {
  const PeakRates rates = MeasurePeak(threads_, seconds_);
  result_.int8_ops = std::max(result_.int8_ops, rates.int8_ops);
  result_.f32_flops = std::max(result_.f32_flops, rates.f32_flops);
  result_.bf16_flops = std::max(result_.bf16_flops, rates.bf16_flops);
}

ProbeResult Probe::Result() const {
  ProbeResult result = result_;
  if (result.read_samples.empty()) return result;
  const Summary summary = Summarize(result.read_samples);
  result.read_bytes_per_s = summary.median;
  result.read_drift = (summary.max - summary.min) / summary.median;
  return result;
}

}  // namespace assay
