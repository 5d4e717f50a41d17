#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/simd_avx2.h"
#include "backend/cpu/kernels/unroll.h"

// The order matters: each builds on those before it.
// clang-format off
#define ASSAY_ISA avx2
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

constinit const KernelTable kAvx2Kernels = avx2::MakeTable();

}  // namespace assay::cpu
