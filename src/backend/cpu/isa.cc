#include "backend/cpu/isa.h"

#include "base/cpu_features.h"
#include "base/error.h"

namespace assay::cpu {
namespace {

struct IsaRow {
  std::string_view name;
  bool present;
  const KernelTable* kernels;
};

}  // namespace

const KernelTable& KernelsFor(std::string_view variant) {
  static const KernelTable portable = PortableKernels();
#if defined(__x86_64__)
  static const KernelTable avx2 = HostCpu().avx2 ? Avx2Kernels() : KernelTable{};
  static const KernelTable avx512 = HostCpu().avx512_vnni ? Avx512Kernels() : KernelTable{};
  const IsaRow rows[] = {
      {"avx512", HostCpu().avx512_vnni, &avx512}, {"avx2", HostCpu().avx2, &avx2}, {"portable", true, &portable}};
#else
  const IsaRow rows[] = {{"avx512", false, nullptr}, {"avx2", false, nullptr}, {"portable", true, &portable}};
#endif
  for (const IsaRow& row : rows) {
    if (variant.empty() && row.present) return *row.kernels;
    if (variant != row.name) continue;
    if (row.present) return *row.kernels;
    Fail(ErrorKind::kUnsupported, "--backend cpu:{}: this machine has no {} (avx512 takes VNNI and VBMI)", variant,
         variant);
  }
  Fail(ErrorKind::kUsage, "--backend cpu:{}: no such instruction set; known: portable, avx2, avx512", variant);
}

}  // namespace assay::cpu
