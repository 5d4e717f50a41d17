// Products of every format on every backend.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "base/error.h"
#include "base/half.h"
#include "conformance/conformance.h"
#include "quant/k_layouts.h"

namespace assay::conformance {
namespace {

struct Case {
  std::string backend;
  Format format;
  Arithmetic arithmetic;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << TraitsOf(c.format).name << " on " << c.backend << ", " << ArithmeticName(c.arithmetic);
}

std::vector<Case> AllCases() {
  std::vector<Case> cases;
  for (const std::string& backend : BackendsUnderTest()) {
    for (const FormatTraits& traits : Formats()) {
      for (const Arithmetic arithmetic : {Arithmetic::kEveryday, Arithmetic::kFine}) {
        cases.push_back({backend, traits.format, arithmetic});
      }
    }
  }
  return cases;
}

std::string CaseName(const testing::TestParamInfo<Case>& info) {
  return fmt::format("{}_{}_{}", TestName(info.param.backend), TraitsOf(info.param.format).name,
                     ArithmeticName(info.param.arithmetic));
}

// Columns that fill whole records of the backend and ones that do not.
std::vector<int64_t> ColumnsFor(Format format) {
  switch (TraitsOf(format).block_size) {
    case 1:
      return {1, 31, 64, 100, 320};
    case 32:
      return {32, 64, 96, 320};
    default:
      return {256, 768};
  }
}

class ProductsTest : public testing::TestWithParam<Case> {
 protected:
  static std::unique_ptr<Backend> Make(int threads) { return MakeBackend(GetParam().backend, threads); }
  static std::vector<float> Multiply(Backend& backend, const Weight& weight, std::span<const float> in, int tokens) {
    return MatMul(backend, weight, in, tokens, GetParam().arithmetic);
  }
};

TEST_P(ProductsTest, AgreeWithTheOracleWithinTheRoundingOfTheActivations) {
  const auto backend = Make(2);
  const auto ref = MakeBackend("ref", 2);
  Rng rng(1);
  for (const int64_t columns : ColumnsFor(GetParam().format)) {
    for (const int64_t rows : {1, 15, 16, 17, 33}) {
      const FileMatrix matrix = RandomMatrix(rng, GetParam().format, rows, columns);
      const auto weight = matrix.LoadInto(*backend);
      const auto exact_weight = matrix.LoadInto(*ref);
      for (const int tokens : {1, 2, 3, 5, 8, 9, kInvariantTokens + 1}) {
        const std::vector<float> in = Normals(rng, static_cast<size_t>(tokens * columns));
        const std::vector<float> found = Multiply(*backend, *weight, in, tokens);
        const std::vector<float> exact = MatMul(*ref, *exact_weight, in, tokens);
        ASSERT_EQ(Misfit(found, exact, ProductAllowances(matrix, in, tokens, GetParam().arithmetic), rows, columns), "")
            << rows << " x " << columns << ", " << tokens << " tokens";
      }
    }
  }
}

TEST_P(ProductsTest, OfATokenHaveTheSameBitsInEveryBatchAndThreadCount) {
  // Fine arithmetic has no path of its own for long batches.
  const int most = GetParam().arithmetic == Arithmetic::kFine ? kInvariantTokens + 12 : kInvariantTokens;
  const int64_t columns = ColumnsFor(GetParam().format).back();
  Rng rng(2);
  const FileMatrix matrix = RandomMatrix(rng, GetParam().format, 150, columns);
  const std::vector<float> in = Normals(rng, static_cast<size_t>(most * columns));
  std::vector<float> alone;
  for (const int threads : {1, 2, 3}) {
    const auto backend = Make(threads);
    const auto weight = matrix.LoadInto(*backend);
    if (alone.empty()) {
      for (int t = 0; t < most; ++t) {
        const auto row = std::span(in).subspan(static_cast<size_t>(t * columns), static_cast<size_t>(columns));
        const std::vector<float> out = Multiply(*backend, *weight, row, 1);
        alone.insert(alone.end(), out.begin(), out.end());
      }
    }
    for (int tokens = 1; tokens <= most; ++tokens) {
      const std::vector<float> batch = Multiply(*backend, *weight, in, tokens);
      ASSERT_TRUE(SameBits(batch, std::span(alone).first(batch.size())))
          << tokens << " tokens, " << threads << " threads";
    }
  }
}

// The bound is no larger than it has to be: one token more, and half precision takes the path that rounds otherwise.
TEST(InvariantTokensTest, AreAllThatHaveTheBitsOfSingleTokens) {
  constexpr int kTokens = kInvariantTokens + 1;
  constexpr int64_t kColumns = 256;
  for (const std::string& name : BackendsUnderTest()) {
    for (const Format format : {Format::kF16, Format::kBF16}) {
      const auto backend = MakeBackend(name, 2);
      Rng rng(7);
      const FileMatrix matrix = RandomMatrix(rng, format, 32, kColumns);
      const auto weight = matrix.LoadInto(*backend);
      const std::vector<float> in = Normals(rng, kTokens * kColumns);
      const std::vector<float> alone = MatMul(*backend, *weight, std::span(in).first(kColumns), 1);
      const std::vector<float> batch = MatMul(*backend, *weight, in, kTokens);
      EXPECT_FALSE(SameBits(alone, std::span(batch).first(alone.size()))) << TraitsOf(format).name << " on " << name;
    }
  }
}

TEST_P(ProductsTest, ReadTheSourceNoMoreWhenTheWeightSaysSo) {
  const auto backend = Make(1);
  Rng rng(8);
  FileMatrix matrix = RandomMatrix(rng, GetParam().format, 20, 256);
  const auto weight = matrix.LoadInto(*backend);
  ASSERT_FALSE(weight->reads_source);
  const std::vector<float> in = Normals(rng, 256);
  const std::vector<float> before = Multiply(*backend, *weight, in, 1);
  std::ranges::fill(matrix.data, uint8_t{0});
  EXPECT_TRUE(SameBits(Multiply(*backend, *weight, in, 1), before));
}

TEST_P(ProductsTest, ShareOneInputAmongSeveralWeights) {
  const auto backend = Make(2);
  Rng rng(3);
  const int64_t columns = 256;
  const FileMatrix first = RandomMatrix(rng, GetParam().format, 40, columns);
  const FileMatrix second = RandomMatrix(rng, Format::kQ6_K, 7, columns);
  const FileMatrix third = RandomMatrix(rng, Format::kF32, 3, columns);
  for (const int tokens : {1, 40}) {
    const std::vector<float> in = Normals(rng, static_cast<size_t>(tokens * columns));
    std::vector<std::unique_ptr<Weight>> weights;
    std::vector<std::vector<float>> outs;
    std::vector<Backend::MatMulTarget> targets;
    for (const FileMatrix* matrix : {&first, &second, &third}) {
      weights.push_back(matrix->LoadInto(*backend));
      outs.emplace_back(static_cast<size_t>(matrix->rows * tokens));
    }
    for (size_t i = 0; i < weights.size(); ++i) targets.push_back({weights[i].get(), outs[i].data()});
    backend->MatMul(targets, in.data(), tokens, GetParam().arithmetic);
    for (size_t i = 0; i < weights.size(); ++i) {
      EXPECT_TRUE(SameBits(outs[i], Multiply(*backend, *weights[i], in, tokens))) << "weight " << i;
    }
  }
}

TEST_P(ProductsTest, LookUpRowsExactly) {
  const auto backend = Make(1);
  Rng rng(4);
  const int64_t columns = 256;
  const FileMatrix matrix = RandomMatrix(rng, GetParam().format, 9, columns);
  const auto table = backend->LoadTable({"table", matrix.format, matrix.rows, matrix.columns, 1, matrix.data});
  const std::vector<float> rows = matrix.Decode();
  const std::vector<int32_t> tokens = {8, 0, 3};
  std::vector<float> out(tokens.size() * static_cast<size_t>(columns));
  backend->Embed(*table, tokens, 2.0F, out.data());
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t row = static_cast<size_t>(tokens[i / static_cast<size_t>(columns)]);
    ASSERT_EQ(out[i], 2.0F * rows[row * static_cast<size_t>(columns) + i % static_cast<size_t>(columns)]);
  }
}

TEST_P(ProductsTest, ShowAnActivationThatIsNotANumber) {
  const auto backend = Make(1);
  Rng rng(5);
  const int64_t columns = 256;
  const auto matrix = RandomMatrix(rng, GetParam().format, 16, columns);
  const auto weight = matrix.LoadInto(*backend);
  for (const int tokens : {1, 40}) {
    std::vector<float> in = Normals(rng, static_cast<size_t>(tokens * columns));
    in[77] = std::nanf("");
    const std::vector<float> out = Multiply(*backend, *weight, in, tokens);
    EXPECT_TRUE(std::isnan(out[3]));
    if (tokens == 1) continue;
    EXPECT_TRUE(std::isfinite(out[16]));
  }
}

INSTANTIATE_TEST_SUITE_P(All, ProductsTest, testing::ValuesIn(AllCases()), CaseName);

// ---- The bounds bite: the oracle with a plausible bug is beyond them.

struct WrongCase {
  Format format;
  Arithmetic arithmetic;
};

void PrintTo(const WrongCase& c, std::ostream* out) {
  *out << TraitsOf(c.format).name << ", " << ArithmeticName(c.arithmetic);
}

class WrongProductsTest : public testing::TestWithParam<WrongCase> {
 protected:
  static constexpr int64_t kRows = 33;
  static constexpr int kTokens = 33;

  WrongProductsTest() : matrix_(RandomMatrix(rng_, GetParam().format, kRows, columns_)) {}

  // What is found with other weights or activations than those at hand.
  std::string MisfitOf(const std::vector<float>& weights, std::span<const float> in) {
    std::vector<uint8_t> bytes(weights.size() * sizeof(float));
    std::memcpy(bytes.data(), weights.data(), bytes.size());
    const FileMatrix wrong = {Format::kF32, kRows, columns_, 1, bytes};
    const auto exact_weight = matrix_.LoadInto(*ref_), wrong_weight = wrong.LoadInto(*ref_);
    return Misfit(MatMul(*ref_, *wrong_weight, in, kTokens), MatMul(*ref_, *exact_weight, in_, kTokens),
                  ProductAllowances(matrix_, in_, kTokens, GetParam().arithmetic), kRows, columns_);
  }

  // The activations as codes by `round` of their quotients by the step.
  std::vector<float> Coded(Arithmetic arithmetic, const std::function<double(double)>& round) const {
    std::vector<float> coded = in_;
    for (int t = 0; t < kTokens; ++t) {
      const size_t begin = static_cast<size_t>(t * columns_);
      const CodeSteps steps =
          StepsOf(matrix_, std::span(in_).subspan(begin, static_cast<size_t>(columns_)), arithmetic);
      for (size_t i = 0; i < steps.columns.size(); ++i) {
        if (steps.columns[i] == 0) continue;
        coded[begin + i] =
            static_cast<float>(round(static_cast<double>(in_[begin + i]) / steps.columns[i]) * steps.columns[i]);
      }
    }
    return coded;
  }

  Rng rng_{7};
  int64_t columns_ = ColumnsFor(GetParam().format).back();
  FileMatrix matrix_;
  std::vector<float> in_ = Normals(rng_, static_cast<size_t>(kTokens* columns_));
  std::unique_ptr<Backend> ref_ = MakeBackend("ref", 2);
};

TEST_P(WrongProductsTest, RoundedCodesAreWithinTheBoundsAndCutOffOnesBeyond) {
  const Arithmetic own = GetParam().arithmetic;
  EXPECT_EQ(MisfitOf(matrix_.Decode(), Coded(own, [](double x) { return std::nearbyint(x); })), "");
  if (TraitsOf(GetParam().format).block_size == 1) return;  // float formats have no codes
  EXPECT_NE(MisfitOf(matrix_.Decode(), Coded(own, [](double x) { return std::trunc(x); })), "");
  EXPECT_NE(MisfitOf(matrix_.Decode(), Coded(own, [](double x) { return std::floor(x); })), "");
}

TEST_P(WrongProductsTest, EverydayCodesAreBeyondTheBoundsOfFineOnes) {
  if (GetParam().arithmetic == Arithmetic::kEveryday || TraitsOf(GetParam().format).block_size == 1) return;
  const auto nearest = [](double x) { return std::nearbyint(x); };
  EXPECT_NE(MisfitOf(matrix_.Decode(), Coded(Arithmetic::kEveryday, nearest)), "");
}

TEST_P(WrongProductsTest, ADroppedColumnIsBeyondTheBounds) {
  for (const int64_t column : {int64_t{0}, columns_ / 2, columns_ - 1}) {
    std::vector<float> dropped = in_;
    for (int t = 0; t < kTokens; ++t) dropped[static_cast<size_t>(t * columns_ + column)] = 0.0F;
    EXPECT_NE(MisfitOf(matrix_.Decode(), dropped), "") << "column " << column;
  }
}

// One block of 32 columns with the scale of another that has values a quarter larger or smaller.
TEST_P(WrongProductsTest, AScaleOfANeighbourIsBeyondTheBounds) {
  for (const float ratio : {1.25F, 0.8F}) {
    std::vector<float> wrong = matrix_.Decode();
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t i = 32; i < 64; ++i) wrong[static_cast<size_t>(r * columns_ + i)] *= ratio;
    }
    EXPECT_NE(MisfitOf(wrong, in_), "") << ratio;
  }
}

// Minima that meet the sums of the neighbouring block.
TEST_P(WrongProductsTest, AMinimumOfTheNeighbourIsBeyondTheBounds) {
  const std::vector<double> minima = MinimaOf(matrix_);
  if (minima.empty()) return;  // the format has none
  std::vector<float> wrong = matrix_.Decode();
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t i = 0; i < 32; ++i) {
      const auto at = static_cast<size_t>(r * columns_ + i);
      wrong[at] += static_cast<float>(minima[at / kMinimumColumns] - minima[(at + 32) / kMinimumColumns]);
    }
  }
  EXPECT_NE(MisfitOf(wrong, in_), "");
}

std::vector<WrongCase> AllWrongCases() {
  std::vector<WrongCase> cases;
  for (const FormatTraits& traits : Formats()) {
    for (const Arithmetic arithmetic : {Arithmetic::kEveryday, Arithmetic::kFine}) {
      cases.push_back({traits.format, arithmetic});
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(All, WrongProductsTest, testing::ValuesIn(AllWrongCases()), [](const auto& test) {
  return fmt::format("{}_{}", TraitsOf(test.param.format).name, ArithmeticName(test.param.arithmetic));
});

// One row of a super-block with the same scale and code everywhere.
template <typename Layout>
FileMatrix ConstantRow(Format format, int scale, int code) {
  SymmetricFields fields;
  fields.d = FloatToHalf(1.0F);
  std::ranges::fill(fields.scale, static_cast<int8_t>(scale));
  std::ranges::fill(fields.code, static_cast<int8_t>(code));
  FileMatrix matrix = {format, 1, kSuperBlock, 1, std::vector<uint8_t>(Layout::kBytes)};
  Layout::Pack(fields, matrix.data.data());
  return matrix;
}

// Of all formats blocks of Q6_K and then of IQ4_XS can have the largest sums: docs/kernels.md.
TEST(FineArithmeticTest, HoldsTheLargestSums) {
  const FileMatrix six = ConstantRow<Q6KLayout>(Format::kQ6_K, Q6KLayout::kMinScale, Q6KLayout::kMinCode);
  const FileMatrix four = ConstantRow<Iq4XsLayout>(Format::kIQ4_XS, Iq4XsLayout::kMinScale, 0);  // level -127
  for (const FileMatrix& matrix : {six, four}) {
    const float value = matrix.Decode().front();
    EXPECT_EQ(value, matrix.format == Format::kQ6_K ? 128.0F * 32 : 32.0F * 127);
    for (const float x : {1.0F, -1.0F}) {
      const std::vector<float> in(kSuperBlock, x);
      const std::vector<float> exact = {x * value * kSuperBlock};
      for (const std::string& name : BackendsUnderTest()) {
        const auto backend = MakeBackend(name, 1);
        const std::vector<float> found = MatMul(*backend, *matrix.LoadInto(*backend), in, 1, Arithmetic::kFine);
        EXPECT_EQ(Misfit(found, exact, ProductAllowances(matrix, in, 1, Arithmetic::kFine), 1, kSuperBlock), "")
            << TraitsOf(matrix.format).name << " on " << name;
      }
    }
  }
}

TEST(InstructionSetsTest, GiveTheSameBits) {
  Rng rng(6);
  for (const FormatTraits& traits : Formats()) {
    const int64_t columns = ColumnsFor(traits.format).back();
    const FileMatrix matrix = RandomMatrix(rng, traits.format, 37, columns);
    for (const Arithmetic arithmetic : {Arithmetic::kEveryday, Arithmetic::kFine}) {
      for (const int tokens : {1, 7, kInvariantTokens, 45}) {
        const std::vector<float> in = Normals(rng, static_cast<size_t>(tokens * columns));
        std::vector<float> first;
        for (const std::string& name : BackendsUnderTest()) {
          const auto backend = MakeBackend(name, 2);
          const std::vector<float> out = MatMul(*backend, *matrix.LoadInto(*backend), in, tokens, arithmetic);
          if (first.empty()) first = out;
          EXPECT_TRUE(SameBits(out, first))
              << traits.name << " on " << name << ", " << tokens << " tokens, " << ArithmeticName(arithmetic);
        }
      }
    }
  }
}

TEST(InstructionSetsTest, RunWhereTheyAreAskedFor) {
  for (const std::string& name : BackendsUnderTest()) {
    const std::string isa = name.substr(name.find(':') + 1);
    EXPECT_NE(MakeBackend(name, 2)->description().find(isa), std::string::npos) << name;
  }
  EXPECT_THROW(MakeBackend("cpu:sse9", 1), Error);
}

}  // namespace
}  // namespace assay::conformance
