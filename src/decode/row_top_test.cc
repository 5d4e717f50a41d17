#include "decode/row_top.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/rng.h"

namespace assay {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
// Around the widths that the pass works in.
constexpr size_t kSizes[] = {1, 2, 15, 16, 17, 4095, 4096, 4097, 8200};

std::vector<float> Row(size_t size, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> row(size);
  for (float& x : row) x = static_cast<float>(rng.Normal()) - 3.0F;
  return row;
}

TEST(RowTop, IsTheFirstOfTheLargest) {
  for (const size_t size : kSizes) {
    std::vector<float> row = Row(size, size);
    RowTop top = TopOf(row);
    const auto largest = std::max_element(row.begin(), row.end());
    EXPECT_TRUE(top.finite);
    EXPECT_EQ(top.logit, *largest);
    EXPECT_EQ(top.token, largest - row.begin()) << size;
    for (const size_t first : {size_t{0}, size / 2, size - 1}) {
      std::vector<float> equals = row;
      equals[first] = equals[size - 1] = 7.0F;
      EXPECT_EQ(TopOf(equals).token, static_cast<Token>(first)) << size;
    }
  }
}

TEST(RowTop, SeesEveryLogitThatIsNotFinite) {
  for (const size_t size : kSizes) {
    for (const float bad : {kNan, kInfinity, -kInfinity}) {
      for (size_t place = 0; place < size; ++place) {
        if (size > 100 && place % 61 != 0 && place + 1 != size) continue;
        std::vector<float> row = Row(size, size);
        row[place] = bad;
        EXPECT_FALSE(TopOf(row).finite) << bad << " at " << place << " of " << size;
      }
    }
  }
}

TEST(RowTop, TheLargestFloatsAreFinite) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  EXPECT_TRUE(TopOf(std::vector<float>{-kLargest, kLargest, 0.0F}).finite);
}

TEST(RowTop, ARefusalNamesThePositionAndWhoseTheLogitsAre) {
  std::vector<float> rows = Row(12, 5);
  EXPECT_EQ(CheckedTops(rows, 4, 100).size(), 3U);
  rows[10] = kNan;
  try {
    CheckedTops(rows, 4, 100, "the draft's");
    FAIL() << "three rows, the last with a NaN";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInvalid);
    EXPECT_THAT(error.what(), testing::HasSubstr("the draft's logits at token 102 are not finite"));
  }
}

}  // namespace
}  // namespace assay
