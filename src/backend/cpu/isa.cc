#include "backend/cpu/isa.h"

#include "base/error.h"

namespace assay::cpu {
namespace {

struct IsaRow {
  std::string_view name;
  bool present;
  const KernelTable* kernels;
};

}  // namespace

KernelTable KernelsFor(std::string_view variant, const CpuFeatures& cpu) {
  // The best first.
  const IsaRow rows[] = {
#if defined(__x86_64__)
    {"avx512", cpu.avx512_vnni, &kAvx512Kernels},
    {"avx2", cpu.avx2, &kAvx2Kernels},
#else
    {"avx512", false, nullptr},
    {"avx2", false, nullptr},
#endif
    {"portable", true, &kPortableKernels}
  };
  for (const IsaRow& row : rows) {
    const bool asked = variant.empty() ? row.present : variant == row.name;
    if (!asked) continue;
    if (!row.present) {
      Fail(ErrorKind::kUnsupported,
           "--backend cpu:{}: this machine has no {} (avx512 takes VNNI); leave the variant out", variant, variant);
    }
    KernelTable kernels = *row.kernels;
    if (!cpu.avx512_bf16) kernels.bf16_loop = nullptr;
    return kernels;
  }
  Fail(ErrorKind::kUsage, "--backend cpu:{}: no such instruction set; there are portable, avx2, avx512", variant);
}

}  // namespace assay::cpu
