// The top of a row of logits, on every backend and the oracle: a value that is not finite is never missed, wherever it
// is.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "conformance/conformance.h"

namespace assay::conformance {
namespace {

std::vector<std::string> AllBackends() {
  std::vector<std::string> names = BackendsUnderTest();
  names.emplace_back("ref");
  return names;
}

class TopsTest : public testing::TestWithParam<std::string> {
 protected:
  RowTop Top(std::span<const float> row) {
    RowTop top;
    backend_->Tops(row.data(), static_cast<int>(row.size()), {&top, 1});
    return top;
  }

  std::unique_ptr<Backend> backend_ = MakeBackend(GetParam(), 2);
};

// Less than a register, whole ones, a remainder, and the same beyond the blocks that kernels take.
constexpr size_t kWidths[] = {1, 5, 16, 17, 47, 1024, 1025, 2063};

TEST_P(TopsTest, TheLargestAtEachPlace) {
  for (const size_t width : kWidths) {
    Rng rng(width);
    std::vector<float> row = Normals(rng, width);
    for (size_t place = 0; place < width; ++place) {
      const float kept = std::exchange(row[place], 9.0F);
      const RowTop top = Top(row);
      ASSERT_EQ(top.token, static_cast<int32_t>(place)) << "of " << width;
      ASSERT_TRUE(top.finite);
      row[place] = kept;
    }
  }
}

TEST_P(TopsTest, TheLowestOfEquals) {
  for (const size_t width : kWidths) {
    const std::vector<float> equal(width, -3.0F);
    EXPECT_EQ(Top(equal).token, 0) << width;
    std::vector<float> row(width, -1.0F);
    for (const size_t place : {width / 3, width / 2, width - 1}) row[place] = 2.0F;
    EXPECT_EQ(Top(row).token, static_cast<int32_t>(width / 3)) << width;
    for (size_t i = 0; i < width; ++i) row[i] = i % 2 == 0 ? -0.0F : 0.0F;  // these are equal too
    EXPECT_EQ(Top(row).token, 0) << width;
  }
}

TEST_P(TopsTest, AnythingThatIsNotFiniteAtEachPlace) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float values[] = {std::nanf(""), -std::nanf(""), kInfinity, -kInfinity};
  for (const size_t width : kWidths) {
    Rng rng(width);
    std::vector<float> row = Normals(rng, width);
    for (size_t place = 0; place < width; ++place) {
      for (const float value : values) {
        const float kept = std::exchange(row[place], value);
        const RowTop top = Top(row);
        ASSERT_FALSE(top.finite) << value << " at " << place << " of " << width;
        ASSERT_GE(top.token, 0);
        ASSERT_LT(top.token, static_cast<int32_t>(width));
        row[place] = kept;
      }
    }
    EXPECT_TRUE(Top(row).finite);
    for (const float value : values) EXPECT_FALSE(Top(std::vector<float>(width, value)).finite);
  }
}

TEST_P(TopsTest, TheLargestFiniteNumbersAreFinite) {
  const std::vector<float> row = {std::numeric_limits<float>::lowest(), std::numeric_limits<float>::max(),
                                  std::numeric_limits<float>::denorm_min()};
  EXPECT_TRUE(Top(row).finite);
  EXPECT_EQ(Top(row).token, 1);
}

TEST_P(TopsTest, EachRowHasItsOwn) {
  constexpr int kRows = 40, kWidth = 1300;
  Rng rng(3);
  std::vector<float> rows = Normals(rng, kRows * kWidth);
  rows[7 * kWidth + 600] = std::nanf("");
  std::vector<RowTop> tops(kRows);
  backend_->Tops(rows.data(), kWidth, tops);
  for (size_t r = 0; r < kRows; ++r) {
    const RowTop alone = Top(std::span(rows).subspan(r * kWidth, kWidth));
    EXPECT_EQ(tops[r].token, alone.token) << "row " << r;
    EXPECT_EQ(tops[r].finite, r != 7) << "row " << r;
  }
}

TEST_P(TopsTest, TheProbabilityOfTheLargest) {
  const auto ref = MakeBackend("ref", 1);
  for (const size_t width : kWidths) {
    Rng rng(width);
    const std::vector<float> row = Normals(rng, width, 3.0);
    const int32_t top = Top(row).token;
    const double exact = ref->TopProbability(row.data(), static_cast<int>(width), top);
    // Each exponential is off by rounding x - top, which is below 32, and a unit of its own; a block adds up to 1024.
    EXPECT_NEAR(backend_->TopProbability(row.data(), static_cast<int>(width), top) / exact, 1.0,
                (32 + 2 + 1024 / 16 + 4) * 0x1p-24)
        << width;
  }
}

INSTANTIATE_TEST_SUITE_P(All, TopsTest, testing::ValuesIn(AllBackends()),
                         [](const auto& test) { return TestName(test.param); });

}  // namespace
}  // namespace assay::conformance
