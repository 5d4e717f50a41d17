#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/rng.h"

namespace assay {

// Simulated worlds in which the truth is known, for tests that count how often an interval or a verdict is wrong.

// How often something was wrong, and the most that a rule with a true rate of 5% would be wrong (its rate and three
// binomial standard errors: one test in a thousand fails for nothing, and seeds are fixed).
struct Rate {
  int wrong = 0;
  int trials = 0;
  double value() const { return static_cast<double>(wrong) / trials; }
  double limit(double rate = 0.05) const { return rate + 3.0 * std::sqrt(rate * (1.0 - rate) / trials); }
};

// Calls trial(rng) so many times, each with a seed of its own; true counts.
inline Rate RateOf(int trials, uint64_t seed, const std::function<bool(Rng&)>& trial) {
  Rate rate;
  rate.trials = trials;
  for (int i = 0; i < trials; ++i) {
    Rng rng(seed * 1'000'003 + static_cast<uint64_t>(i));
    if (trial(rng)) ++rate.wrong;
  }
  return rate;
}

// Student's t with 3 degrees of freedom: heavy tails, finite variance.
inline double HeavyTail(Rng& rng) {
  double squares = 0.0;
  for (int i = 0; i < 3; ++i) {
    const double x = rng.Normal();
    squares += x * x;
  }
  return rng.Normal() / std::sqrt(squares / 3.0);
}

// Positive seconds of a piece of work of one second: lognormal noise, and in one of twenty a hiccup of up to three
// times.
inline double NoisySeconds(Rng& rng, double scatter) {
  const double hiccup = rng.Uniform() < 0.05 ? 1.0 + 2.0 * rng.Uniform() : 1.0;
  return std::exp(scatter * rng.Normal()) * hiccup;
}

// A first-order process of unit variance: each value is rho times the last one and news.
inline std::vector<double> Alike(Rng& rng, int count, double rho) {
  std::vector<double> values;
  double last = rng.Normal();
  for (int i = 0; i < count; ++i) {
    values.push_back(last);
    last = rho * last + std::sqrt(1.0 - rho * rho) * rng.Normal();
  }
  return values;
}

}  // namespace assay
