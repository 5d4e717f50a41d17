#pragma once

#include <stddef.h>
#include <stdint.h>

// What an instruction set offers, as plain function pointers. This header and what it includes are read by sources that
// are compiled with instruction-set flags: plain declarations only.
namespace assay::cpu {

struct KernelTable {
  const char* name;

  // Probes: each runs `rounds` rounds in registers and returns the operations done (a multiply-add counts two).
  double (*int8_loop)(int64_t rounds);
  double (*fma_loop)(int64_t rounds);
  double (*bf16_loop)(int64_t rounds);  // null: the instruction set has none
  // Reads everything once; returns a digest, so that nothing is optimised away.
  uint64_t (*read_all)(const void* data, size_t bytes);
};

// One source each, with its own compile flags; to be called only where the processor has the instructions. The x86 ones
// exist on x86 only.
KernelTable PortableKernels();
KernelTable Avx2Kernels();
KernelTable Avx512Kernels();

}  // namespace assay::cpu
