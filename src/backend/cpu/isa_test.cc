// Which kernels a processor is given: never an instruction that it lacks. The processors are made up, so that each is
// tested on any machine.

#include "backend/cpu/isa.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace assay::cpu {
namespace {

#if defined(__x86_64__)
constexpr CpuFeatures kNone;
constexpr CpuFeatures kHaswell = {.avx2 = true};
constexpr CpuFeatures kSkylakeX = {.avx2 = true, .avx512 = true};
constexpr CpuFeatures kIceLake = {.avx2 = true, .avx512 = true, .avx512_vnni = true};
constexpr CpuFeatures kZen4 = {.avx2 = true, .avx512 = true, .avx512_vnni = true, .avx512_bf16 = true};

// By a pointer that each instruction set has of its own.
void ExpectTable(const KernelTable& found, const KernelTable& expected) {
  EXPECT_STREQ(found.name, expected.name);
  EXPECT_EQ(found.encode, expected.encode);
  EXPECT_EQ(found.int8_loop, expected.int8_loop);
  EXPECT_EQ(found.packings[0].tile[0].dot, expected.packings[0].tile[0].dot);
}

TEST(IsaTest, TheBestThatTheProcessorRunsWhole) {
  ExpectTable(KernelsFor("", kNone), kPortableKernels);
  ExpectTable(KernelsFor("", kHaswell), kAvx2Kernels);
  ExpectTable(KernelsFor("", kSkylakeX), kAvx2Kernels);
  ExpectTable(KernelsFor("", kIceLake), kAvx512Kernels);
  ExpectTable(KernelsFor("", kZen4), kAvx512Kernels);
}

TEST(IsaTest, VnniWithoutBf16HasNoBf16Probe) {
  EXPECT_EQ(KernelsFor("", kIceLake).bf16_loop, nullptr);
  EXPECT_EQ(KernelsFor("avx512", kIceLake).bf16_loop, nullptr);
  EXPECT_EQ(KernelsFor("", kHaswell).bf16_loop, nullptr);
  ASSERT_NE(kAvx512Kernels.bf16_loop, nullptr);
  EXPECT_EQ(KernelsFor("", kZen4).bf16_loop, kAvx512Kernels.bf16_loop);
}

TEST(IsaTest, ANamedSetIsGivenOrRefused) {
  ExpectTable(KernelsFor("portable", kZen4), kPortableKernels);
  ExpectTable(KernelsFor("avx2", kZen4), kAvx2Kernels);
  const auto kind_of = [](std::string_view variant, const CpuFeatures& cpu) {
    try {
      KernelsFor(variant, cpu);
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::kInternal;
  };
  EXPECT_EQ(kind_of("avx512", kSkylakeX), ErrorKind::kUnsupported);
  EXPECT_EQ(kind_of("avx2", kNone), ErrorKind::kUnsupported);
  EXPECT_EQ(kind_of("sse2", kZen4), ErrorKind::kUsage);
}
#endif

}  // namespace
}  // namespace assay::cpu
