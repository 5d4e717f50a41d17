#include "measure/log_softmax.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace assay {
namespace {

// The compiler turns loops over so many independent values into vectors.
constexpr size_t kLanes = 16;
// Where exp leaves the normal numbers.
constexpr float kSmallest = -87.0F;

inline float Exp(float x) {
  // x = n log 2 + r, |r| <= log(2) / 2, with log 2 in two parts; the Taylor polynomial of degree 6 is off by less than
  // (log(2) / 2)^7 / 7! = 1.2e-7 relative.
  constexpr float kLog2e = 1.44269504F;
  constexpr float kLog2High = 0.693359375F;
  constexpr float kLog2Low = -2.12194440e-4F;
  const float clamped = x < kSmallest ? kSmallest : x;
  const auto n = static_cast<int32_t>(clamped * kLog2e - 0.5F);
  const auto whole = static_cast<float>(n);
  const float r = (clamped - whole * kLog2High) - whole * kLog2Low;
  float sum = 1.0F / 720.0F;
  sum = sum * r + 1.0F / 120.0F;
  sum = sum * r + 1.0F / 24.0F;
  sum = sum * r + 1.0F / 6.0F;
  sum = sum * r + 0.5F;
  sum = sum * r + 1.0F;
  sum = sum * r + 1.0F;
  const auto power = std::bit_cast<float>((n + 127) << 23);
  return x < kSmallest ? 0.0F : sum * power;
}

// The largest logit, and whether all are finite: x - x is 0 for every finite x, and NaN for the others.
std::pair<float, bool> LargestAndFinite(std::span<const float> logits) {
  std::array<float, kLanes> largest = {};
  std::array<float, kLanes> strange = {};
  largest.fill(-std::numeric_limits<float>::infinity());
  size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const float x = logits[i + lane];
      largest[lane] = x > largest[lane] ? x : largest[lane];
      strange[lane] += x - x;
    }
  }
  for (; i < logits.size(); ++i) {
    largest[0] = logits[i] > largest[0] ? logits[i] : largest[0];
    strange[0] += logits[i] - logits[i];
  }
  bool finite = true;
  for (const float s : strange) finite = finite && s == 0.0F;
  return {*std::max_element(largest.begin(), largest.end()), finite};
}

}  // namespace

float ExpOfNonPositive(float x) { return Exp(x); }

LogSoftmax Normalise(std::span<const float> logits) {
  const auto [largest, finite] = LargestAndFinite(logits);
  if (!finite) return {.finite = false};
  LogSoftmax result;
  result.top = static_cast<int>(std::find(logits.begin(), logits.end(), largest) - logits.begin());
  std::array<double, kLanes> sums{};
  size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) sums[lane] += static_cast<double>(Exp(logits[i + lane] - largest));
  }
  for (; i < logits.size(); ++i) sums[0] += static_cast<double>(Exp(logits[i] - largest));
  double sum = 0.0;
  for (const double s : sums) sum += s;
  result.log_sum = static_cast<double>(largest) + std::log(sum);
  return result;
}

double Divergence(std::span<const float> base, const LogSoftmax& base_norm, std::span<const float> model,
                  const LogSoftmax& model_norm) {
  // log p_base - log p_model is the difference of the logits less that of the normalisers. The probabilities are those
  // of a maximum of 0, scaled at the end.
  const float largest = base[static_cast<size_t>(base_norm.top)];
  const double shift = base_norm.log_sum - model_norm.log_sum;
  std::array<double, kLanes> sums{};
  const auto term = [&](size_t i) {
    const double difference = static_cast<double>(base[i]) - static_cast<double>(model[i]) - shift;
    return static_cast<double>(Exp(base[i] - largest)) * difference;
  };
  size_t i = 0;
  for (; i + kLanes <= base.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) sums[lane] += term(i + lane);
  }
  for (; i < base.size(); ++i) sums[0] += term(i);
  double sum = 0.0;
  for (const double s : sums) sum += s;
  // A divergence is never negative; the rounding of its terms may be.
  return std::max(sum * std::exp(static_cast<double>(largest) - base_norm.log_sum), 0.0);
}

}  // namespace assay
