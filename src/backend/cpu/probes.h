#pragma once

#include <cstdint>

namespace assay {

class ThreadPool;

// Peak multiply-add rates of the best instruction set present, in operations a second over all threads (a multiply-add
// counts two), measured with loops that live in registers. 0: the machine has no such instruction.
struct PeakRates {
  double int8_ops = 0;
  double f32_flops = 0;
  double bf16_flops = 0;
};

// Each rate is the best of several passes in about `seconds` seconds.
PeakRates MeasurePeak(int threads, double seconds);

// Bytes a second that all threads together read from memory: each streams its own part of a buffer far larger than the
// caches. The best of the passes that fit in about `seconds` seconds, at least three.
double MeasureReadBandwidth(int threads, double seconds);

// A fixed piece of arithmetic on all threads of a team that lives in registers, of about two milliseconds on the
// machine as it was when this was made: what it takes later says how fast the machine is then.
class FixedWork {
 public:
  explicit FixedWork(ThreadPool& pool);  // which must outlive it

  double Seconds();

 private:
  ThreadPool& pool_;
  int64_t rounds_ = 1000;
};

}  // namespace assay
