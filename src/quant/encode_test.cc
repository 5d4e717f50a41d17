#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "base/half.h"
#include "base/rng.h"
#include "quant/formats.h"
#include "quant/rivals_for_test.h"

namespace assay {
namespace {

std::vector<uint8_t> Encode(Format format, const std::vector<float>& x, const std::vector<float>& importance = {}) {
  const FormatTraits& traits = TraitsOf(format);
  std::vector<uint8_t> bytes(BytesOf(traits, x.size()));
  traits.encode(x.data(), bytes.data(), static_cast<int64_t>(x.size()),
                importance.empty() ? nullptr : importance.data());
  return bytes;
}

std::vector<float> Decode(Format format, const std::vector<uint8_t>& bytes) {
  const FormatTraits& traits = TraitsOf(format);
  std::vector<float> x(bytes.size() / static_cast<size_t>(traits.block_bytes) * static_cast<size_t>(traits.block_size));
  traits.decode(bytes.data(), x.data(), static_cast<int64_t>(x.size()));
  return x;
}

std::vector<float> RoundTrip(Format format, const std::vector<float>& x, const std::vector<float>& importance = {}) {
  return Decode(format, Encode(format, x, importance));
}

struct Source {
  std::string name;
  std::function<double(Rng&)> draw;
};

double Laplace(Rng& rng) {
  const double u = rng.Uniform() - 0.5;
  return -std::copysign(std::log(1.0 - 2.0 * std::abs(u) + 1e-12), u);
}

const std::vector<Source>& Sources() {
  static const std::vector<Source> sources = {
      {"gaussian", [](Rng& rng) { return 0.02 * rng.Normal(); }},
      {"laplace", [](Rng& rng) { return 0.02 * Laplace(rng); }},
      {"outliers", [](Rng& rng) { return 0.02 * rng.Normal() * (rng.Below(64) == 0 ? 10.0 : 1.0); }},
      {"shifted", [](Rng& rng) { return 0.02 * rng.Normal() - 0.03; }},
  };
  return sources;
}

std::vector<float> Draw(const Source& source, size_t count, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> x(count);
  for (float& value : x) value = static_cast<float>(source.draw(rng));
  return x;
}

std::vector<float> DrawImportance(size_t count, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> importance(count);
  for (float& value : importance) value = static_cast<float>(std::exp(1.5 * rng.Normal()));
  return importance;
}

double WeightedError(const std::vector<float>& x, const std::vector<float>& y, const std::vector<float>& weights) {
  double error = 0.0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double difference = static_cast<double>(x[i]) - y[i];
    error += weights[i] * difference * difference;
  }
  return error;
}

constexpr size_t kCount = 256 * 256;

class EncodeTest : public testing::TestWithParam<Format> {};

TEST_P(EncodeTest, IsNoWorseThanThePublishedSearch) {
  for (const Source& source : Sources()) {
    const std::vector<float> x = Draw(source, kCount, 7);
    for (const bool with_importance : {false, true}) {
      const std::vector<float> importance = with_importance ? DrawImportance(kCount, 8) : std::vector<float>();
      const std::vector<float> weights = rivals::Weights(GetParam(), x, importance);
      const double ours = WeightedError(x, RoundTrip(GetParam(), x, importance), weights);
      const double theirs = WeightedError(x, rivals::PublishedSearch(GetParam(), x, importance), weights);
      printf("%-8s %-9s imp %d  ratio %.4f flat %.4f\n", std::string(TraitsOf(GetParam()).name).c_str(),
             source.name.c_str(), with_importance, ours / theirs,
             WeightedError(x, RoundTrip(GetParam(), x, importance), std::vector<float>(kCount, 1.f)) /
                 WeightedError(x, rivals::PublishedSearch(GetParam(), x, importance), std::vector<float>(kCount, 1.f)));
      EXPECT_LE(ours, theirs * 1.005) << source.name << (with_importance ? " with importance" : "");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, EncodeTest,
                         testing::Values(Format::kQ8_0, Format::kQ6_K, Format::kQ5_K, Format::kQ4_K, Format::kQ3_K,
                                         Format::kQ2_K, Format::kQ4_0, Format::kQ4_1, Format::kQ5_0, Format::kQ5_1,
                                         Format::kIQ4_NL),
                         [](const auto& row) { return std::string(TraitsOf(row.param).name); });

}  // namespace
}  // namespace assay
