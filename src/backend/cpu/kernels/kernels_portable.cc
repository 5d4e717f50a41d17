#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/simd_portable.h"

#define ASSAY_ISA portable
#include "backend/cpu/kernels/probes.inl"
#include "backend/cpu/kernels/table.inl"

namespace assay::cpu {

KernelTable PortableKernels() { return portable::MakeTable(); }

}  // namespace assay::cpu
