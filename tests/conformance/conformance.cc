#include "conformance/conformance.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/cpu_features.h"

namespace assay::conformance {

std::vector<std::string> BackendsUnderTest() {
  std::vector<std::string> names = {"cpu:portable"};
  if (HostCpu().avx2) names.emplace_back("cpu:avx2");
  if (HostCpu().avx512_vnni) names.emplace_back("cpu:avx512");
  return names;
}

std::string TestName(std::string_view backend) {
  std::string name(backend);
  std::ranges::replace(name, ':', '_');
  return name;
}

std::vector<float> Normals(Rng& rng, size_t count, double deviation) {
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(rng.Normal() * deviation);
  return values;
}

std::vector<float> FileMatrix::Decode() const {
  std::vector<float> values(static_cast<size_t>(experts * rows * columns));
  TraitsOf(format).decode(data.data(), values.data(), static_cast<int64_t>(values.size()));
  return values;
}

FileMatrix RandomMatrix(Rng& rng, Format format, int64_t rows, int64_t columns, int64_t experts) {
  const FormatTraits& traits = TraitsOf(format);
  const std::vector<float> values = Normals(rng, static_cast<size_t>(experts * rows * columns), 0.05);
  FileMatrix matrix = {format, rows, columns, experts, {}};
  matrix.data.resize(BytesOf(traits, values.size()));
  traits.encode(values.data(), matrix.data.data(), static_cast<int64_t>(values.size()), nullptr);
  return matrix;
}

std::vector<float> MatMul(Backend& backend, const Weight& weight, std::span<const float> in, int tokens) {
  std::vector<float> out(static_cast<size_t>(weight.rows * tokens), std::nanf(""));
  const Backend::MatMulTarget target = {&weight, out.data()};
  backend.MatMul({&target, 1}, in.data(), tokens);
  return out;
}

std::vector<double> ProductBounds(const FileMatrix& matrix, std::span<const float> in, int tokens) {
  constexpr int kBlock = 32, kRecord = 256;
  constexpr double kEpsilon = 0x1p-24;
  // The scale-and-minimum formats add two terms a block whose magnitudes exceed the weight's own a few times.
  constexpr double kCancellation = 16;
  const std::vector<float> weights = matrix.Decode();
  const bool blocks = TraitsOf(matrix.format).block_size > 1;
  const bool records = TraitsOf(matrix.format).block_size == kRecord;
  const bool shorts = matrix.format == Format::kF16 || matrix.format == Format::kBF16;
  const auto columns = static_cast<size_t>(matrix.columns);
  std::vector<double> bounds;
  for (int t = 0; t < tokens; ++t) {
    const float* x = in.data() + static_cast<size_t>(t) * columns;
    for (int64_t r = 0; r < matrix.rows; ++r) {
      const float* w = weights.data() + static_cast<size_t>(r) * columns;
      double bound = 0, products = 0;
      double most_sum_x = 0, sum_most_w = 0;  // of the record's blocks
      for (size_t begin = 0; begin < columns; begin += kBlock) {
        double most_x = 0, squares_x = 0, sum_x = 0, most_w = 0, squares_w = 0, sum_w = 0;
        for (size_t i = begin; i < std::min(columns, begin + kBlock); ++i) {
          const double a = std::abs(static_cast<double>(x[i])), b = std::abs(static_cast<double>(w[i]));
          most_x = std::max(most_x, a), squares_x += a * a, sum_x += a;
          most_w = std::max(most_w, b), squares_w += b * b, sum_w += b;
          products += a * b;
        }
        if (blocks) bound += most_x / 127 / 2 * sum_w;
        if (records) {
          if (begin % kRecord == 0) most_sum_x = sum_most_w = 0;
          most_sum_x = std::max(most_sum_x, sum_x), sum_most_w += most_w;
          if ((begin + kBlock) % kRecord == 0) bound += most_sum_x / 32767 / 2 * sum_most_w * kCancellation;
        }
        if (shorts) {
          const double step_x = std::max(most_x / 32767, std::sqrt(squares_x) / 46336) / 2;
          const double step_w = std::max(most_w / 32767, std::sqrt(squares_w) / 46336) / 2;
          bound += step_x * sum_w + step_w * sum_x + kBlock * step_x * step_w;
        }
      }
      bound += (static_cast<double>(columns) + 8) * kEpsilon * products * (blocks ? kCancellation : 1);
      bounds.push_back(bound * 1.0001);
    }
  }
  return bounds;
}

int64_t UnitsApart(float a, float b) {
  const auto place = [](float x) {
    const auto magnitude = static_cast<int64_t>(std::bit_cast<uint32_t>(x) & 0x7FFFFFFFU);
    return std::signbit(x) ? -magnitude : magnitude;
  };
  return std::abs(place(a) - place(b));
}

bool SameBits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

}  // namespace assay::conformance
