#include "base/whereabouts.h"

#include <gtest/gtest.h>

#include <string>

namespace assay {
namespace {

bool IsId(const std::string& id) {
  return id.size() == 16 && id.find_first_not_of("0123456789abcdef") == std::string::npos;
}

TEST(Whereabouts, AreTheSameEachTimeAndDifferFromOneAnother) {
  EXPECT_TRUE(IsId(MachineId())) << MachineId();
  EXPECT_TRUE(IsId(ProcessId())) << ProcessId();
  EXPECT_EQ(MachineId(), MachineId());
  EXPECT_EQ(ProcessId(), ProcessId());
  EXPECT_NE(MachineId(), ProcessId());
}

}  // namespace
}  // namespace assay
