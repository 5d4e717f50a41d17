#include "quant/rung.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace assay {
namespace {

constexpr std::array kRungs = {
    RungTraits{Rung::kF16, "F16", 1, Format::kF16, true},
    RungTraits{Rung::kBF16, "BF16", 32, Format::kBF16, false},
    RungTraits{Rung::kQ8_0, "Q8_0", 7, Format::kQ8_0, true},
    RungTraits{Rung::kQ6_K, "Q6_K", 18, Format::kQ6_K, true},
    RungTraits{Rung::kQ5_1, "Q5_1", 9, Format::kQ5_1, false},
    RungTraits{Rung::kQ5_K_M, "Q5_K_M", 17, Format::kQ5_K, true},
    RungTraits{Rung::kQ5_K_S, "Q5_K_S", 16, Format::kQ5_K, false},
    RungTraits{Rung::kQ5_0, "Q5_0", 8, Format::kQ5_0, false},
    RungTraits{Rung::kQ4_1, "Q4_1", 3, Format::kQ4_1, false},
    RungTraits{Rung::kQ4_K_M, "Q4_K_M", 15, Format::kQ4_K, true},
    RungTraits{Rung::kQ4_K_S, "Q4_K_S", 14, Format::kQ4_K, false},
    RungTraits{Rung::kIQ4_NL, "IQ4_NL", 25, Format::kIQ4_NL, false},
    RungTraits{Rung::kQ4_0, "Q4_0", 2, Format::kQ4_0, true},
    RungTraits{Rung::kIQ4_XS, "IQ4_XS", 30, Format::kIQ4_XS, false},
    RungTraits{Rung::kMXFP4_MOE, "MXFP4_MOE", 38, Format::kMXFP4, false},  // experts; all else is Q8_0
    RungTraits{Rung::kQ3_K_L, "Q3_K_L", 13, Format::kQ3_K, false},
    RungTraits{Rung::kQ3_K_M, "Q3_K_M", 12, Format::kQ3_K, true},
    RungTraits{Rung::kQ3_K_S, "Q3_K_S", 11, Format::kQ3_K, false},
    RungTraits{Rung::kQ2_K, "Q2_K", 10, Format::kQ2_K, true},
};

}  // namespace

std::span<const RungTraits> Rungs() { return kRungs; }

const RungTraits& TraitsOf(Rung rung) { return *std::ranges::find(kRungs, rung, &RungTraits::rung); }

const RungTraits* FindRung(std::string_view name) {
  const auto* row = std::ranges::find_if(kRungs, [name](const RungTraits& rung) {
    return std::ranges::equal(rung.name, name,
                              [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); });
  });
  return row == kRungs.end() ? nullptr : row;
}

}  // namespace assay
