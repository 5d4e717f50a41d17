#pragma once

#include <string>
#include <vector>

namespace assay {

// What the processor and the operating system together offer (CPUID and XGETBV).
struct CpuFeatures {
  bool avx2 = false;         // AVX2, FMA and F16C
  bool avx512 = false;       // F, BW, DQ, VL
  bool avx512_vnni = false;  // VPDPBUSD on 512 bits
  bool avx512_bf16 = false;
};

const CpuFeatures& HostCpu();

// The names of the features that are present, for reports: {"avx2", "avx512", ...}.
std::vector<std::string> CpuFeatureNames();

}  // namespace assay
