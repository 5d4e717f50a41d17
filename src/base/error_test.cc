#include "base/error.h"

#include <gtest/gtest.h>

namespace assay {
namespace {

TEST(ErrorTest, EachKindHasTheExitCodeOfTheContract) {
  EXPECT_EQ(ExitCode(ErrorKind::kUsage), 2);
  EXPECT_EQ(ExitCode(ErrorKind::kBadFile), 3);
  EXPECT_EQ(ExitCode(ErrorKind::kUnsupported), 3);
  EXPECT_EQ(ExitCode(ErrorKind::kInvalid), 4);
  EXPECT_EQ(ExitCode(ErrorKind::kIo), 1);
  EXPECT_EQ(ExitCode(ErrorKind::kInternal), 1);
}

}  // namespace
}  // namespace assay
