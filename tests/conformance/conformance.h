#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "base/rng.h"

// What every backend is held to: the same meaning as `ref`, and the same bits for a token whatever its company. The
// cases come from the format table and the interface's operations.
namespace assay::conformance {

// The backends under test that this machine can run: every variant of every backend but the oracle.
std::vector<std::string> BackendsUnderTest();

// For names of parameterised tests: "cpu:avx2" -> "cpu_avx2".
std::string TestName(std::string_view backend);

std::vector<float> Normals(Rng& rng, size_t count, double deviation = 1.0);

// A matrix (or a stack of them) as a file has it.
struct FileMatrix {
  Format format;
  int64_t rows, columns, experts;
  std::vector<uint8_t> data;

  std::unique_ptr<Weight> LoadInto(Backend& backend) const {
    return backend.Load({"weight", format, rows, columns, experts, data});
  }
  std::vector<float> Decode() const;
  FileMatrix Expert(int64_t expert) const;
};
FileMatrix RandomMatrix(Rng& rng, Format format, int64_t rows, int64_t columns, int64_t experts = 1);

// One product of one weight.
std::vector<float> MatMul(Backend& backend, const Weight& weight, std::span<const float> in, int tokens,
                          Arithmetic arithmetic = Arithmetic::kEveryday);

// The relative error of one rounding to float32.
constexpr double kRoundingUnit = 0x1p-24;

// How many floats apart two are; the zeros are one.
int64_t UnitsApart(float a, float b);

// Errors of roundings are independent and without bias: a sum of terms, each within half its step, is beyond
// kHalfSteps * (half the Euclidean norm of the steps) once in 1e9 (Hoeffding's inequality: sqrt(2 ln(2e9))).
// Conformance compares some 1e6 values, so that a right backend fails once in a thousand seeds, and the seeds are
// fixed.
inline const double kHalfSteps = std::sqrt(2 * std::log(2e9));

// The steps of the codes that a backend may take for a token's activations: 0 where it may take none.
struct CodeSteps {
  std::vector<double> columns;  // of each activation
  std::vector<double> minima;   // of each sum of activations that a minimum is multiplied with, each kMinimumColumns
};
inline constexpr int kMinimumColumns = 16;
CodeSteps StepsOf(const FileMatrix& matrix, std::span<const float> x, Arithmetic arithmetic);

// What formats with minima subtract from (or add to) each value, per kMinimumColumns columns: [rows][columns / 16].
// Empty for the other formats.
std::vector<double> MinimaOf(const FileMatrix& matrix);

// How far a value may be from the exact one, of that by sums in float32 alone, and the standard deviation.
struct Allowance {
  double bound = 0.0, floats = 0.0, deviation = 0.0;
};

// For each value of out[t][row]: how far a backend may be from the exact product. It may round activations to 8 bits in
// blocks of 32 for block formats (in fine arithmetic to 15) and their sums, which minima are multiplied with, to 16
// bits in records of 256; take 16-bit codes of both sides for 16-bit formats in batches above 32 of everyday
// arithmetic; and accumulate in float32 in any order.
std::vector<Allowance> ProductAllowances(const FileMatrix& matrix, std::span<const float> in, int tokens,
                                         Arithmetic arithmetic);

// Why the products found cannot be those of a right backend; empty when they can. Each value is held to its bound, and
// their mean square, in squared deviations, to what chi-squared reaches once in 1e9 (Laurent and Massart, 2000): that
// sees what each value hides, like codes that are cut off instead of rounded. A token's errors are a linear image of
// its `columns` errors, so that its rows have rows / (1 + rows / columns) degrees of freedom.
std::string Misfit(std::span<const float> found, std::span<const float> exact, std::span<const Allowance> allowed,
                   int64_t rows, int64_t columns);

// The same bits, NaN included.
bool SameBits(std::span<const float> a, std::span<const float> b);

}  // namespace assay::conformance
