#pragma once

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
};
FileMatrix RandomMatrix(Rng& rng, Format format, int64_t rows, int64_t columns, int64_t experts = 1);

// One product of one weight.
std::vector<float> MatMul(Backend& backend, const Weight& weight, std::span<const float> in, int tokens);

// The relative error of one rounding to float32.
constexpr double kRoundingUnit = 0x1p-24;

// How many floats apart two are; the zeros are one.
int64_t UnitsApart(float a, float b);

// For each value of out[t][row]: how far a backend may be from the exact product. It may round activations to 8 bits in
// blocks of 32 for block formats and their sums, which minima are multiplied with, to 16 bits in records of 256; take
// 16-bit codes of both sides for 16-bit formats; and accumulate in float32.
std::vector<double> ProductBounds(const FileMatrix& matrix, std::span<const float> in, int tokens);

// The same bits, NaN included.
bool SameBits(std::span<const float> a, std::span<const float> b);

}  // namespace assay::conformance
