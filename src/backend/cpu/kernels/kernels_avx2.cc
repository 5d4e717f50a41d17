#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/simd_avx2.h"

#define ASSAY_ISA avx2
#include "backend/cpu/kernels/probes.inl"
#include "backend/cpu/kernels/table.inl"

namespace assay::cpu {

KernelTable Avx2Kernels() { return avx2::MakeTable(); }

}  // namespace assay::cpu
