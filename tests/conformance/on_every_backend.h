#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <span>
#include <string>

#include "conformance/conformance.h"

// What tests of whole operations share: a backend beside the oracle, and bounds value by value.
namespace assay::conformance {

class OnEveryBackend : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Backend> backend_ = MakeBackend(GetParam(), 2);
  std::unique_ptr<Backend> ref_ = MakeBackend("ref", 2);
};

constexpr double kSigmoidUnits = 4;  // of relative error in sigmoid and silu: elementwise_test.cc

inline double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// The first value that is further off than its bound; -1 when none is.
inline int64_t FirstBeyond(std::span<const float> found, std::span<const float> exact, std::span<const double> bounds) {
  for (size_t i = 0; i < found.size(); ++i) {
    const double off = std::abs(static_cast<double>(found[i]) - static_cast<double>(exact[i]));
    if (!(off <= bounds[i])) return static_cast<int64_t>(i);
  }
  return -1;
}

inline void ExpectWithin(std::span<const float> found, std::span<const float> exact, std::span<const double> bounds) {
  ASSERT_EQ(found.size(), exact.size());
  ASSERT_EQ(found.size(), bounds.size());
  const int64_t at = FirstBeyond(found, exact, bounds);
  if (at < 0) return;
  const auto i = static_cast<size_t>(at);
  FAIL() << "value " << i << " of " << found.size() << " is " << found[i] << ", exactly " << exact[i] << "; "
         << bounds[i] << " is allowed";
}

}  // namespace assay::conformance
