#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace assay {

// Scalar functions in double precision, as the oracle uses them.

inline double Sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
inline double Silu(double x) { return x * Sigmoid(x); }
inline double Softplus(double x) { return x > 0.0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }
// The tanh form of GELU (Hendrycks and Gimpel 2016): x/2 (1 + tanh u) as x sigmoid(2u), since 1 +
// tanh u cancels far below 0.
inline double GeluTanh(double x) { return x * Sigmoid(2.0 * 0.7978845608028653559 * (x + 0.044715 * x * x * x)); }
// As Activation::kClampedSwiglu says. Comparisons let NaN through.
inline double ClampedSwiglu(double gate, double up) {
  const double g = gate > 7.0 ? 7.0 : gate;
  const double u = up > 7.0 ? 7.0 : up < -7.0 ? -7.0 : up;
  return g * Sigmoid(1.702 * g) * (u + 1.0);
}
inline double Capped(double x, double cap) { return cap * std::tanh(x / cap); }

inline double Dot(const float* a, const float* b, int64_t count) {
  double sum = 0.0;
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

}  // namespace assay
