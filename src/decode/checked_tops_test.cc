#include "decode/checked_tops.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "base/error.h"

namespace assay {
namespace {

TEST(CheckedTopsTest, ARefusalNamesThePositionAndWhoseTheLogitsAre) {
  std::array<RowTop, 3> tops = {};
  EXPECT_EQ(CheckedTops(tops, 100, CacheType::kF16).size(), 3U);
  tops[2].finite = false;
  try {
    CheckedTops(tops, 100, CacheType::kF16, "the draft's");
    FAIL() << "three rows, the last with a NaN";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInvalid);
    EXPECT_THAT(error.what(), testing::HasSubstr("the draft's logits at token 102 are not finite"));
  }
}

TEST(CheckedTopsTest, TheAdviceIsNotWhatWasDoneAlready) {
  using testing::HasSubstr;
  using testing::Not;
  EXPECT_THAT(NonFiniteAdvice(CacheType::kF16), HasSubstr("--cache f32"));
  EXPECT_THAT(NonFiniteAdvice(CacheType::kF32), Not(HasSubstr("--cache")));
}

}  // namespace
}  // namespace assay
