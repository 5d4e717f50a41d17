#include "base/cpu_quota.h"
#include "base/testing/temporary_directory.h"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <string>

namespace assay {
namespace {

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

TEST(ParseQuotaTest, IsQuotaOverPeriod) {
  EXPECT_EQ(ParseQuota("200000 100000"), 2.0);
  EXPECT_EQ(ParseQuota("150000 100000"), 1.5);
  EXPECT_EQ(ParseQuota("25000 50000"), 0.5);
}

TEST(ParseQuotaTest, WhatIsNoNumberIsNoLimit) {
  for (const char* text : {"max 100000", "-1 100000", "", "max", "100000", "100000 0", "100000 x", "0 100000"}) {
    EXPECT_EQ(ParseQuota(text), kNoLimit) << text;
  }
}

TEST(ThreadsForTest, TheSmallerOfProcessorsAndQuotaAndAtLeastOne) {
  EXPECT_EQ(ThreadsFor(64, kNoLimit), 64);
  EXPECT_EQ(ThreadsFor(64, 2.0), 2);
  EXPECT_EQ(ThreadsFor(64, 1.5), 2);
  EXPECT_EQ(ThreadsFor(4, 16.0), 4);
  EXPECT_EQ(ThreadsFor(4, 0.25), 1);
  EXPECT_EQ(ThreadsFor(0, kNoLimit), 1);
}

// A tree of control groups.
class CpuQuotaTest : public testing::Test {
 protected:
  void Put(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }

  const TemporaryDirectory directory_;
  const std::filesystem::path& root_ = directory_.path();
};

TEST_F(CpuQuotaTest, OfVersion2IsTheTightestOnTheWayUp) {
  Put("pod/cpu.max", "300000 100000\n");
  Put("pod/job/cpu.max", "max 100000\n");
  EXPECT_EQ(CpuQuota("0::/pod/job\n", root_), 3.0);
  Put("pod/job/cpu.max", "50000 100000\n");
  EXPECT_EQ(CpuQuota("0::/pod/job\n", root_), 0.5);
}

TEST_F(CpuQuotaTest, OfAContainerLiesAtTheMount) {
  Put("cpu.max", "200000 100000\n");
  EXPECT_EQ(CpuQuota("0::/\n", root_), 2.0);
  EXPECT_EQ(CpuQuota("0::/a/path/of/the/host\n", root_), 2.0);
}

TEST_F(CpuQuotaTest, OfVersion1BelongsToTheCpuController) {
  const std::string membership = "5:memory:/job\n4:cpu,cpuacct:/job\n1:name=systemd:/job\n";
  Put("cpu,cpuacct/job/cpu.cfs_quota_us", "400000\n");
  Put("cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(CpuQuota(membership, root_), 4.0);
  Put("cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(CpuQuota(membership, root_), kNoLimit);
  Put("cpu/job/cpu.cfs_quota_us", "100000\n");
  Put("cpu/job/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(CpuQuota(membership, root_), 1.0);
}

TEST_F(CpuQuotaTest, NothingToReadIsNoLimit) {
  EXPECT_EQ(CpuQuota("", root_), kNoLimit);
  EXPECT_EQ(CpuQuota("nonsense\n::\n0\n", root_), kNoLimit);
  EXPECT_EQ(CpuQuota("0::/job\n", root_), kNoLimit);
}

}  // namespace
}  // namespace assay
