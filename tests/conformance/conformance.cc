#include "conformance/conformance.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/cpu_features.h"
#include "base/half.h"
#include "quant/k_layouts.h"
#include "quant/q_layouts.h"

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

FileMatrix FileMatrix::Expert(int64_t expert) const {
  const auto bytes = static_cast<int64_t>(data.size()) / experts;
  return {format, rows, columns, 1, {data.begin() + expert * bytes, data.begin() + (expert + 1) * bytes}};
}

FileMatrix RandomMatrix(Rng& rng, Format format, int64_t rows, int64_t columns, int64_t experts) {
  const FormatTraits& traits = TraitsOf(format);
  const std::vector<float> values = Normals(rng, static_cast<size_t>(experts * rows * columns), 0.05);
  FileMatrix matrix = {format, rows, columns, experts, {}};
  matrix.data.resize(BytesOf(traits, values.size()));
  traits.encode(values.data(), matrix.data.data(), static_cast<int64_t>(values.size()), nullptr);
  return matrix;
}

std::vector<float> MatMul(Backend& backend, const Weight& weight, std::span<const float> in, int tokens,
                          Arithmetic arithmetic) {
  std::vector<float> out(static_cast<size_t>(weight.rows * tokens), std::nanf(""));
  const Backend::MatMulTarget target = {&weight, out.data()};
  backend.MatMul({&target, 1}, in.data(), tokens, arithmetic);
  return out;
}

namespace {

constexpr size_t kBlock = 32, kRecord = 256;
constexpr int kInvariantTokens = 32;  // half precision may take integers above

bool IsBlockFormat(Format format) { return TraitsOf(format).block_size > 1; }
bool HasMinima(Format format) {
  return format == Format::kQ4_1 || format == Format::kQ5_1 || format == Format::kQ2_K || format == Format::kQ4_K ||
         format == Format::kQ5_K;
}
// Minima that are multiplied with coded sums: those of records.
bool HasCodedSums(Format format) { return HasMinima(format) && TraitsOf(format).block_size == kRecord; }

double Magnitude(float x) { return std::abs(static_cast<double>(x)); }

// The largest magnitude and the norm of a block.
struct BlockSize {
  double most = 0.0, norm = 0.0;
};
BlockSize SizeOf(std::span<const float> block) {
  BlockSize size;
  for (const float value : block) {
    size.most = std::max(size.most, Magnitude(value));
    size.norm = std::hypot(size.norm, Magnitude(value));
  }
  return size;
}

// Of 16-bit codes whose sums of products stay within 32 bits: docs/kernels.md.
std::vector<double> ShortSteps(std::span<const float> row) {
  std::vector<double> steps;
  for (size_t begin = 0; begin < row.size(); begin += kBlock) {
    const std::span<const float> block = row.subspan(begin, std::min(kBlock, row.size() - begin));
    const BlockSize size = SizeOf(block);
    steps.insert(steps.end(), block.size(), std::max(size.most / 32767, size.norm / 46336));
  }
  return steps;
}

template <typename Layout>
void AddSuperMinima(const uint8_t* block, std::vector<double>& minima) {
  AffineFields fields;
  Layout::Unpack(block, fields);
  constexpr int kRepeats = static_cast<int>(kRecord) / Layout::kGroups / kMinimumColumns;
  for (int group = 0; group < Layout::kGroups; ++group) {
    const double minimum = Magnitude(HalfToFloat(fields.dmin)) * fields.min[group];
    minima.insert(minima.end(), kRepeats, minimum);
  }
}

template <typename Layout>
void AddMinima(const uint8_t* block, std::vector<double>& minima) {
  BlockFields fields;
  Layout::Unpack(block, fields);
  minima.insert(minima.end(), kBlock / kMinimumColumns, Magnitude(HalfToFloat(fields.min)));
}

}  // namespace

std::vector<double> MinimaOf(const FileMatrix& matrix) {
  std::vector<double> minima;
  if (!HasMinima(matrix.format)) return minima;
  const auto bytes = static_cast<size_t>(TraitsOf(matrix.format).block_bytes);
  for (size_t at = 0; at < matrix.data.size(); at += bytes) {
    const uint8_t* block = matrix.data.data() + at;
    switch (matrix.format) {
      case Format::kQ4_1:
        AddMinima<Q41Layout>(block, minima);
        break;
      case Format::kQ5_1:
        AddMinima<Q51Layout>(block, minima);
        break;
      case Format::kQ2_K:
        AddSuperMinima<Q2KLayout>(block, minima);
        break;
      case Format::kQ4_K:
        AddSuperMinima<Q4KLayout>(block, minima);
        break;
      default:
        AddSuperMinima<Q5KLayout>(block, minima);
        break;
    }
  }
  return minima;
}

CodeSteps StepsOf(const FileMatrix& matrix, std::span<const float> x, Arithmetic arithmetic) {
  const double largest_code = arithmetic == Arithmetic::kFine ? 16383 : 127;
  constexpr double kScaleError = 1.0 + 0x1p-20;  // the scale and its inverse are floats themselves
  CodeSteps steps;
  steps.columns.resize(x.size());
  steps.minima.resize((x.size() + kMinimumColumns - 1) / kMinimumColumns);
  if (!IsBlockFormat(matrix.format)) return steps;
  for (size_t begin = 0; begin < x.size(); begin += kBlock) {
    const double step = SizeOf(x.subspan(begin, kBlock)).most / largest_code * kScaleError;
    std::fill_n(steps.columns.begin() + static_cast<int64_t>(begin), kBlock, step);
  }
  if (!HasCodedSums(matrix.format)) return steps;
  const size_t wide = matrix.format == Format::kQ2_K ? 16 : 32;  // columns of a minimum
  for (size_t record = 0; record < x.size(); record += kRecord) {
    double most = 0.0;  // sum of the codes
    for (size_t begin = record; begin < record + kRecord; begin += wide) {
      double sum = 0.0;
      for (size_t i = begin; i < begin + wide; ++i) sum += static_cast<double>(x[i]);
      most = std::max(most, std::abs(sum) + static_cast<double>(wide) / 2 * steps.columns[begin]);
    }
    // A sum over 32 columns is one error, which two of the sixteens share.
    for (size_t begin = record; begin < record + kRecord; begin += wide) {
      steps.minima[begin / kMinimumColumns] = most / 32767 * kScaleError;
    }
  }
  return steps;
}

std::vector<Allowance> ProductAllowances(const FileMatrix& matrix, std::span<const float> in, int tokens,
                                         Arithmetic arithmetic) {
  const std::vector<float> weights = matrix.Decode();
  const std::vector<double> minima = MinimaOf(matrix);
  const bool shorts = (matrix.format == Format::kF16 || matrix.format == Format::kBF16) &&
                      arithmetic == Arithmetic::kEveryday && tokens > kInvariantTokens;
  const auto columns = static_cast<size_t>(matrix.columns);
  std::vector<Allowance> allowed;
  for (int t = 0; t < tokens; ++t) {
    const std::span<const float> x = in.subspan(static_cast<size_t>(t) * columns, columns);
    CodeSteps steps = StepsOf(matrix, x, arithmetic);
    if (shorts) steps.columns = ShortSteps(x);
    for (size_t r = 0; r < static_cast<size_t>(matrix.rows); ++r) {
      const std::span<const float> w = std::span(weights).subspan(r * columns, columns);
      const std::vector<double> w_steps = shorts ? ShortSteps(w) : std::vector<double>(columns);
      double worst = 0.0, squares = 0.0;      // of the errors of codes; the worst in half steps
      double products = 0.0, variance = 0.0;  // of what is added up in float32
      for (size_t i = 0; i < columns; ++i) {
        const double minimum = minima.empty() ? 0.0 : minima[(r * columns + i) / kMinimumColumns];
        const double by_x = steps.columns[i] * Magnitude(w[i]), by_w = w_steps[i] * Magnitude(x[i]);
        const double both = steps.columns[i] * w_steps[i] / 2;
        worst += by_x + by_w + both;
        squares += by_x * by_x + by_w * by_w + both * both;
        if (i % kMinimumColumns == 0) {
          const double by_sum = steps.minima[i / kMinimumColumns] * minimum;
          worst += by_sum, squares += by_sum * by_sum;
        }
        // A product whose minimum is taken apart is the difference of two that are larger.
        const double product = (Magnitude(w[i]) + 2 * minimum) * (Magnitude(x[i]) + steps.columns[i] / 2);
        products += product, variance += product * product;
      }
      // A chain of n additions: each rounds a partial sum, by a unit at most; partial sums grow like the root of their
      // length. Eight more for scales and codes.
      const double n = static_cast<double>(columns);
      const double of_codes = std::min(worst, kHalfSteps * std::sqrt(squares)) / 2;
      const double of_floats = (n + 8) * kRoundingUnit * products;
      allowed.push_back({of_codes + of_floats, of_floats,
                         std::sqrt(squares / 12 + (n / 2 + 8) * kRoundingUnit * kRoundingUnit * variance)});
    }
  }
  return allowed;
}

std::string Misfit(std::span<const float> found, std::span<const float> exact, std::span<const Allowance> allowed,
                   int64_t rows, int64_t columns) {
  double squares = 0.0;
  for (size_t i = 0; i < found.size(); ++i) {
    const double off = std::abs(static_cast<double>(found[i]) - static_cast<double>(exact[i]));
    if (!(off <= allowed[i].bound)) {
      return fmt::format("value {} is {}, exactly {}: {} off where {} is allowed", i, found[i], exact[i], off,
                         allowed[i].bound);
    }
    if (off > 0.0) squares += std::pow(off / allowed[i].deviation, 2) / static_cast<double>(found.size());
  }
  const double share = static_cast<double>(rows) / static_cast<double>(columns);
  const double freedom = std::max(1.0, static_cast<double>(found.size()) / (1 + share));
  const double rare = std::log(1e9);
  const double most = 1 + 2 * std::sqrt(rare / freedom) + 2 * rare / freedom;
  if (squares <= most) return "";
  return fmt::format("the mean square of {} errors is {} squared deviations where {} is allowed", found.size(), squares,
                     most);
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
