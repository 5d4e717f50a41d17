#include "quant/rung.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace assay {
namespace {

constexpr std::array kRungs = {
    RungTraits{Rung::kF16, "F16", 1, Format::kF16},         RungTraits{Rung::kQ8_0, "Q8_0", 7, Format::kQ8_0},
    RungTraits{Rung::kQ6_K, "Q6_K", 18, Format::kQ6_K},     RungTraits{Rung::kQ5_K_M, "Q5_K_M", 17, Format::kQ5_K},
    RungTraits{Rung::kQ4_K_M, "Q4_K_M", 15, Format::kQ4_K}, RungTraits{Rung::kQ4_0, "Q4_0", 2, Format::kQ4_0},
    RungTraits{Rung::kQ3_K_M, "Q3_K_M", 12, Format::kQ3_K}, RungTraits{Rung::kQ2_K, "Q2_K", 10, Format::kQ2_K},
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
