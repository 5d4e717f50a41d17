#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace assay {

// xoshiro256** (Blackman and Vigna, 2018), seeded through splitmix64: the same integers on every machine, which the
// standard library's distributions do not promise. (Normal() also depends on the last bit of the system's log and cos.)
class Rng {
 public:
  explicit Rng(uint64_t seed) {
    for (uint64_t& word : state_) {
      seed += 0x9E3779B97F4A7C15ULL;
      uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
      z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
      word = z ^ (z >> 31);
    }
  }

  uint64_t Next() {
    const uint64_t result = Rotate(state_[1] * 5, 7) * 9;
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = Rotate(state_[3], 45);
    return result;
  }

  // Uniform in [0, 1) with 53 bits.
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1p-53; }

  // Uniform in [0, bound), bound >= 1 (multiply-shift; the bias is below 2^-32 for bounds below 2^32).
  uint64_t Below(uint64_t bound) { return static_cast<uint64_t>((static_cast<Uint128>(Next()) * bound) >> 64); }

  // Standard normal (Box and Muller).
  double Normal() {
    const double u = 1.0 - Uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * Uniform());
  }

 private:
  __extension__ using Uint128 = unsigned __int128;

  static uint64_t Rotate(uint64_t x, int bits) { return x << bits | x >> (64 - bits); }

  uint64_t state_[4] = {};
};

}  // namespace assay
