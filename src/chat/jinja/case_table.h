#pragma once

#include <cstdint>
#include <span>

namespace assay::jinja {

// Unicode's letter cases. case_table.cc is written by tools/make_case_table.py.

// The characters first, first + step, ... last become themselves + delta.
struct CaseRun {
  uint32_t first, last;
  uint32_t step;
  int32_t delta;
};

// A character whose other case is no single character.
struct CaseSpecial {
  uint32_t code;
  const char* text;
};

std::span<const CaseRun> UpperRuns();
std::span<const CaseRun> LowerRuns();
std::span<const CaseSpecial> UpperSpecials();
std::span<const CaseSpecial> LowerSpecials();
std::span<const CaseSpecial> TitleSpecials();  // where the title case is not the upper case

}  // namespace assay::jinja
