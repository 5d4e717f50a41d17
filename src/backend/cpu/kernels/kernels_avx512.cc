#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/simd_avx512.h"
#include "backend/cpu/kernels/unroll.h"

// The order matters: each builds on those before it.
// clang-format off
#define ASSAY_ISA avx512
#include "backend/cpu/kernels/probes.inl"
#include "backend/cpu/kernels/packings.inl"
#include "backend/cpu/kernels/dot.inl"
#include "backend/cpu/kernels/encode.inl"
#include "backend/cpu/kernels/ops.inl"
#include "backend/cpu/kernels/attention.inl"
#include "backend/cpu/kernels/delta.inl"
#include "backend/cpu/kernels/table.inl"
// clang-format on

namespace assay::cpu {
namespace {

// Only the probe uses this extension, so only the probe is compiled for it. KernelsFor() hides it where it is missing.
__attribute__((target("avx512bf16"))) double Bf16Loop(int64_t rounds) {
  constexpr int kChains = 16;
  __m512 sums[kChains];
  for (__m512& sum : sums) sum = _mm512_setzero_ps();
  __m512i ones = _mm512_set1_epi16(0x3F80);
  asm volatile("" : "+m"(ones));
  __m512bh x;
  __builtin_memcpy(&x, &ones, sizeof(x));
  for (int64_t round = 0; round < rounds; ++round) {
    for (__m512& sum : sums) sum = _mm512_dpbf16_ps(sum, x, x);
  }
  for (__m512& sum : sums) asm volatile("" : "+m"(sum));
  return static_cast<double>(rounds) * kChains * 64;
}

constexpr KernelTable WithBf16Loop(KernelTable table) {
  table.bf16_loop = &Bf16Loop;
  return table;
}

}  // namespace

constinit const KernelTable kAvx512Kernels = WithBf16Loop(avx512::MakeTable());

}  // namespace assay::cpu
