#pragma once

#include <vector>

namespace assay {

// The machine's own limits, measured in the same run as what is compared with them.
struct ProbeResult {
  std::vector<double> read_samples;  // bytes/s, in the order taken
  double read_bytes_per_s = 0.0;     // their median
  double read_drift = 0.0;           // (largest - smallest) / median
  double int8_ops = 0.0;             // peak rates, operations (a multiply-add is two) per second
  double f32_flops = 0.0;
  double bf16_flops = 0.0;  // zero where the processor has no such instruction
};

// Takes samples as a run goes on. `threads` as the backend has them; 0: all that the process may use.
class Probe {
 public:
  Probe(int threads, double seconds_per_sample);

  void SampleRead();
  void SamplePeak();  // other load only ever lowers a peak: the largest sample counts
  ProbeResult Result() const;

 private:
  int threads_;
  double seconds_;
  ProbeResult result_;
};

}  // namespace assay
